"""Which samples of subjects train and which validate: by subject, or by block of a map."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from realface.data.packing.captures import Capture
from realface.data.packing.patches import (
    Cut,
    Cutting,
    Measured,
    Place,
    WholeFace,
    check_size,
    measure,
)
from realface.data.packing.threads import in_threads
from realface.data.samples import Patch
from realface.errors import InputError

log = logging.getLogger(__name__)

GUARD = 512  # texels between training and validation patches of one map
LEAST_SUBJECTS = 3  # subjects, from which on whole ones are kept for validation
_MEASURED_AT_ONCE = 2  # subjects: each takes 1.5 GB at 6144 x 4096


class Sample(Protocol):
    """A sample before it is made: plain data that travels to worker processes."""

    def sample(self) -> Patch:
        """Make it."""


Splits = dict[str, list[Sample]]
Progress = Callable[[int, int], None]


def split_subjects(
    captures: Sequence[Capture],
    cutting: Cutting,
    val_fraction: float,
    whole_faces: bool,
    workers: int,
    progress: Progress | None = None,
) -> tuple[Splits, tuple[str, ...]]:
    """Patches of subjects and, if wanted, their whole faces, by split; and lines for people.

    From three subjects on, some of them validate. Of fewer, a block of each map does, with a
    guard around it; their whole faces all train.

    Args:
        captures: The subjects.
        cutting: How patches are cut from them; its seed chooses those that validate, too.
        val_fraction: Share of the subjects, or of each map, that validates.
        whole_faces: Also give the subjects at 1/8 size.
        workers: Subjects are measured in as many threads, up to two.
        progress: Called with (subjects measured, subjects in all).

    Raises:
        InputError: If maps are smaller than a patch, or no patch is left to train or validate.
    """
    for capture in captures:
        check_size(capture, cutting.patch)
    measured = in_threads(
        partial(_measure, cutting),
        list(enumerate(captures)),
        min(workers, _MEASURED_AT_ONCE),
        progress,
    )
    side = _by_subject if len(captures) >= LEAST_SUBJECTS else _by_block
    sides = side(captures, measured, cutting, val_fraction)
    _require_patches(len(captures), sides)
    splits: Splits = {
        "train": _cuts(captures, measured, sides.train, cutting.patch),
        "val": _cuts(captures, measured, sides.val, cutting.patch),
    }
    if whole_faces:
        faces = [
            WholeFace(capture, one.placement)
            for capture, one in zip(captures, measured, strict=True)
        ]
        splits["whole-train"] = [face for n, face in enumerate(faces) if n not in sides.held]
        splits["whole-val"] = [face for n, face in enumerate(faces) if n in sides.held]
    return splits, (*_held_lines(captures, sides.held), *_empty_lines(captures, measured))


@dataclass(frozen=True)
class _Sides:
    """Where patches train and where they validate, subject by subject.

    Attributes:
        train: Places by subject.
        val: Likewise.
        held: Numbers of the subjects that validate as a whole.
    """

    train: list[tuple[Place, ...]]
    val: list[tuple[Place, ...]]
    held: frozenset[int] = frozenset()


def _by_subject(
    captures: Sequence[Capture],
    measured: Sequence[Measured],
    cutting: Cutting,
    val_fraction: float,
) -> _Sides:
    count = len(captures)
    wanted = min(max(1, round(val_fraction * count)), count - 1)
    held = frozenset(random.Random(cutting.seed).sample(range(count), wanted))
    return _Sides(
        [() if n in held else one.places for n, one in enumerate(measured)],
        [one.places if n in held else () for n, one in enumerate(measured)],
        held,
    )


def _by_block(
    captures: Sequence[Capture],
    measured: Sequence[Measured],
    cutting: Cutting,
    val_fraction: float,
) -> _Sides:
    log.warning(
        "%d subject(s): validation is a block of the map with a guard of %d texels around it; "
        "it shares the face with training",
        len(captures),
        GUARD,
    )
    parts = [
        _split_map(one.places, capture.size[1], cutting.patch, val_fraction)
        for capture, one in zip(captures, measured, strict=True)
    ]
    return _Sides([train for train, _ in parts], [val for _, val in parts])


def _measure(cutting: Cutting, numbered: tuple[int, Capture]) -> Measured:
    """Each subject has a seed of its own, so that places differ between them."""
    number, capture = numbered
    return measure(capture, replace(cutting, seed=cutting.seed + number))


def _split_map(
    places: Sequence[Place], width: int, patch: int, val_fraction: float
) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
    """A full-height block right of the middle for validation, a guard on both its sides."""
    block = max(2 * patch, round(val_fraction * width))
    left = (width * 5 // 8) - block // 2
    right = left + block
    val = tuple(place for place in places if left <= place.x and place.x + patch <= right)
    train = tuple(p for p in places if p.x + patch <= left - GUARD or p.x >= right + GUARD)
    return train, val


def _require_patches(subjects: int, sides: _Sides) -> None:
    for name, part in (("training", sides.train), ("validation", sides.val)):
        if not any(part):
            raise InputError(
                f"{subjects} subject(s) that leave no {name} patch",
                "at least one patch on each side",
                "give three subjects or more, larger maps, a smaller --patch or --minimum-valid, "
                "or more --patches-per-subject",
            )


def _cuts(
    captures: Sequence[Capture],
    measured: Sequence[Measured],
    places: Sequence[Sequence[Place]],
    patch: int,
) -> list[Sample]:
    """Subject by subject, so that the maps of one are in memory at a time."""
    return [
        Cut(capture, one.placement, place, patch)
        for capture, one, part in zip(captures, measured, places, strict=True)
        for place in part
    ]


def _held_lines(captures: Sequence[Capture], held: frozenset[int]) -> list[str]:
    names = ", ".join(captures[number].name for number in sorted(held))
    return [f"validation subjects: {names}"] if held else []


def _empty_lines(captures: Sequence[Capture], measured: Sequence[Measured]) -> list[str]:
    empty = [
        capture.name for capture, one in zip(captures, measured, strict=True) if not one.places
    ]
    return [f"subjects without a patch inside their mask: {', '.join(empty)}"] if empty else []
