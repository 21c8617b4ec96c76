"""Which samples train and which validate: by subject, by block of a map, by group of patches."""

import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from realface.data.packing.captures import Capture
from realface.data.packing.groups import group, split_groups
from realface.data.packing.patch_folder import LentPatch, signature_of
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
_TO_SPLIT = 3  # subjects, from which on whole ones are kept for validation
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
    side = _by_subject if len(captures) >= _TO_SPLIT else _by_block
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


def split_lent(
    source: Path,
    captures: Sequence[Capture],
    scale: float,
    val_fraction: float,
    seed: int,
    workers: int,
    progress: Progress | None = None,
) -> tuple[Splits, tuple[str, ...]]:
    """Lent patches by split, near-duplicates on one side; and lines for people.

    Args:
        source: The folder that they lie in.
        captures: The patches.
        scale: Millimetres per unit of their ``shape``.
        val_fraction: Share of the patches that validates.
        seed: Of the choice.
        workers: Signatures are made in as many threads.
        progress: Called with (signatures made, patches in all).

    Raises:
        InputError: If a map cannot be read, or all patches are of one group.
    """
    folders = subjects_by_folder([capture.name for capture in captures])
    skins = _groups(captures, scale, workers, progress)
    groups = skins if folders is None else _joined(skins, folders)
    train, val = split_groups(groups, val_fraction, seed)
    samples = [
        LentPatch(capture, n, capture.maps[0].path.relative_to(source).as_posix(), scale)
        for n, capture in enumerate(captures)
    ]
    splits: Splits = {
        "train": [samples[number] for number in train],
        "val": [samples[number] for number in val],
    }
    lines = [_group_line(skins, "shape" in captures[0].kinds)]
    if folders is None:
        log.warning("no subjects are known: validation patches may show faces seen in training")
    else:
        lines.append(f"{len(set(folders))} subjects told by folders; each is on one side")
    return splits, tuple(lines)


def subjects_by_folder(keys: Sequence[str]) -> list[int] | None:
    """Numbers of the subjects whose folders patches lie in; None where folders tell of none.

    They do where every key has one, and they are three or more, of two patches or more on average.
    """
    folders = [key.rpartition("/")[0] for key in keys]
    names = sorted(set(folders))
    if "" in names or len(names) < _TO_SPLIT or len(keys) < 2 * len(names):
        return None
    return [names.index(folder) for folder in folders]


def _joined(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Groups that keep together what either of two keeps together."""
    labels = list(other)
    for members in _members(one):
        together = {labels[n] for n in members}
        if len(together) > 1:
            first = min(together)
            labels = [first if label in together else label for label in labels]
    return labels


def _members(groups: Sequence[int]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for number, label in enumerate(groups):
        found.setdefault(label, []).append(number)
    return list(found.values())


def _groups(
    captures: Sequence[Capture], scale: float, workers: int, progress: Progress | None
) -> list[int]:
    """The group of each patch: those that show the same skin share one."""
    if "shape" in captures[0].kinds:
        return group(in_threads(partial(signature_of, scale=scale), captures, workers, progress))
    log.warning("no shape: only copies of a patch are kept on one side, not those that overlap")
    first: dict[bytes, int] = {}
    digests = in_threads(_digest, captures, workers, progress)
    return [first.setdefault(digest, n) for n, digest in enumerate(digests)]


def _digest(capture: Capture) -> bytes:
    """Of a patch's pixels, in the first of its maps."""
    return hashlib.sha256(capture.maps[0].open().whole().numpy().tobytes()).digest()


def _group_line(groups: Sequence[int], by_skin: bool) -> str:
    sizes = Counter(groups)
    linked = sum(size for size in sizes.values() if size > 1)
    if not by_skin:
        return f"{len(groups)} patches, {linked} of them copies; overlaps unknown (no shape)"
    return (
        f"{len(groups)} patches in {len(sizes)} groups that share no skin: {linked} patches "
        f"overlap others, the largest group has {max(sizes.values())}"
    )
