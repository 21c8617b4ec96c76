"""Loaders for Lightning: one whose epochs can be entered in the middle, one that repeats itself."""

from collections.abc import Callable, Iterator
from typing import Any

from realface.errors import InputError


class EpochLoader:
    """Batches by epoch, for Lightning: each ``iter`` is an epoch, and its state can be resumed.

    It has a length, for else Lightning fetches a batch ahead, which a checkpoint would count as
    seen.

    Args:
        batches: Makes the batches of an epoch from a step on, both counted from 0.
        steps: Batches in an epoch.
        epoch_now: Number of the epoch that begins; asked at its first batch and not before.
        layout: What a batch's number means: a state with another one is refused.
    """

    def __init__(
        self,
        batches: Callable[[int, int], Iterator[Any]],
        steps: int,
        epoch_now: Callable[[], int],
        layout: dict[str, int],
    ) -> None:
        self._batches, self._steps, self._epoch_now = batches, steps, epoch_now
        self._layout = layout
        self._done = 0  # batches of this epoch that were handed out
        self._first = 0  # where the next epoch is entered

    def __iter__(self) -> Iterator[Any]:
        # A generator: Lightning makes iterators that it never asks for a batch.
        first, self._first = self._first, 0
        self._done = first
        for batch in self._batches(self._epoch_now(), first):
            self._done += 1
            yield batch

    def __len__(self) -> int:
        return self._steps

    def state_dict(self) -> dict[str, int]:
        """How far this epoch is."""
        return {"batches": self._done, **self._layout}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Enter the next epoch where the state was taken.

        Raises:
            InputError: If the state was taken in the middle of an epoch with another layout.
        """
        first = state["batches"]
        changed = [name for name, value in self._layout.items() if state.get(name) != value]
        if changed and first > 0:
            raise InputError(
                "a checkpoint from the middle of an epoch with "
                + ", ".join(f"{name} {state.get(name)}" for name in changed),
                ", ".join(f"{name} {self._layout[name]}" for name in changed)
                + " as here, or a checkpoint from an epoch's end",
                "go on with the same number of processes and samples",
            )
        self._first = first


class FixedLoader:
    """The same batches in every epoch.

    Args:
        batches: Makes them.
        steps: How many there are.
    """

    def __init__(self, batches: Callable[[], Iterator[Any]], steps: int) -> None:
        self._batches, self._steps = batches, steps

    def __iter__(self) -> Iterator[Any]:
        return self._batches()

    def __len__(self) -> int:
        return self._steps
