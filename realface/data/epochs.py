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
        self._epoch = 0
        self._done = 0  # batches of this epoch that were handed out
        self._entry: dict[str, int] | None = None  # a state to go on from

    def __iter__(self) -> Iterator[Any]:
        # A generator: Lightning makes iterators that it never asks for a batch.
        entry, self._entry = self._entry, None
        self._epoch, self._done = self._epoch_now(), 0
        if entry is not None and entry["epoch"] == self._epoch:
            self._check_layout(entry)
            self._done = entry["batches"]
        for batch in self._batches(self._epoch, self._done):
            self._done += 1
            yield batch

    def __len__(self) -> int:
        return self._steps

    def state_dict(self) -> dict[str, int]:
        """How far this epoch is."""
        return {"epoch": self._epoch, "batches": self._done, **self._layout}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on within the epoch in which the state was taken; another one is begun at its start.

        A state of another layout is refused when its epoch is entered.
        """
        self._entry = dict(state)

    def _check_layout(self, state: dict[str, int]) -> None:
        changed = [name for name, value in self._layout.items() if state.get(name) != value]
        if changed:
            raise InputError(
                "a checkpoint from the middle of an epoch with "
                + ", ".join(f"{name} {state.get(name)}" for name in changed),
                ", ".join(f"{name} {self._layout[name]}" for name in changed)
                + " as here, or a checkpoint from an epoch's end",
                "go on with the settings and the number of processes that it was trained with",
            )


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
