"""Subject folders or a folder of patches to WebDataset shards."""

import json
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from realface.data.patch_folder import PatchFolder
from realface.data.patches import Place, SubjectPatches, key_of
from realface.data.samples import Patch, write_patch
from realface.data.shards import INDEX_NAME, INDEX_VERSION, describe_shard, open_shard
from realface.errors import InputError
from realface.maps.files import whole_folder
from realface.maps.record import FILE_NAME
from realface.maps.subject import map_files

log = logging.getLogger(__name__)

GUARD = 512  # texels between training and validation patches of one map
_OPEN_SHARDS = 256  # side by side; systems allow a process some thousand files at best


@dataclass(frozen=True)
class Packed:
    """What was packed: samples per split, and where."""

    folder: Path
    train: int
    val: int


def pack(
    source: Path,
    out: Path,
    *,
    layout: Path | None = None,
    patch: int = 512,
    stride: int = 256,
    patches_per_subject: int | None = None,
    minimum_valid: float = 0.5,
    val_fraction: float = 0.1,
    samples_per_shard: int = 64,
    millimetres_per_unit: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Pack a source into shards: subject folders, one subject, or a folder of patches.

    Everything is written to a folder beside ``out`` and renamed at the end, so ``out`` is
    either whole or absent. The same arguments give the same bytes.

    Args:
        source: A subject folder, a folder of subject folders, or a folder of patches by kind
            (RealFaceDB).
        out: New folder for the shards.
        layout: YAML file of per-kind patterns with ``{key}``, for a folder of patches; see
            `realface.data.patch_folder`.
        patch: Side of a patch [px].
        stride: Step of the grid on which patches are cut from whole maps [px].
        patches_per_subject: Draw this many at random instead.
        minimum_valid: Share of a patch that must lie inside the mask.
        val_fraction: Share of subjects (or patches, or of the map) kept for validation.
        samples_per_shard: At most.
        millimetres_per_unit: Of ``shape``, where ``subject.json`` does not say.
        seed: Of the split, of random places and of the order in the shards.
        progress: Called with (samples written, samples in all).

    Raises:
        InputError: If there is nothing to pack, or ``out`` is in the way.
        FailureError: If the disk refuses.
    """
    _check_numbers(patch, stride, patches_per_subject, minimum_valid, val_fraction,
                   samples_per_shard, millimetres_per_unit)  # fmt: skip
    with whole_folder(out) as partial:
        splits = _splits(
            source, layout, patch, stride, patches_per_subject, minimum_valid, val_fraction,
            millimetres_per_unit, seed,
        )  # fmt: skip
        _write(partial, splits, samples_per_shard, seed, progress)
    return Packed(out.resolve(), splits["train"].count, splits["val"].count)


def _check_numbers(
    patch: int,
    stride: int,
    patches_per_subject: int | None,
    minimum_valid: float,
    val_fraction: float,
    samples_per_shard: int,
    millimetres_per_unit: float | None,
) -> None:
    for name, value, good, expected in (
        ("patch", patch, patch >= 1, "at least 1"),
        ("stride", stride, stride >= 1, "at least 1"),
        ("patches per subject", patches_per_subject,
         patches_per_subject is None or patches_per_subject >= 1, "at least 1"),
        ("minimum valid", minimum_valid, 0 <= minimum_valid <= 1, "a share between 0 and 1"),
        ("val fraction", val_fraction, 0 < val_fraction < 1, "a share between 0 and 1"),
        ("samples per shard", samples_per_shard, samples_per_shard >= 1, "at least 1"),
        ("millimetres per unit", millimetres_per_unit,
         millimetres_per_unit is None or 0 < millimetres_per_unit < math.inf, "a positive number"),
    ):  # fmt: skip
        if not good:
            raise InputError(f"{name} {value}", expected, "correct the flag")


@dataclass(frozen=True)
class _Split:
    """How many patches, and the patches, made as they are asked for."""

    count: int
    patches: Iterator[Patch]


def _splits(
    source: Path,
    layout: Path | None,
    patch: int,
    stride: int,
    patches_per_subject: int | None,
    minimum_valid: float,
    val_fraction: float,
    millimetres_per_unit: float | None,
    seed: int,
) -> dict[str, _Split]:
    """The source's training and validation patches."""
    folders = _subject_folders(source)
    if not folders:
        lent = PatchFolder(source, layout, millimetres_per_unit)
        train, val = lent.split(val_fraction, seed)
        return {"train": _read(lent, train), "val": _read(lent, val)}
    subjects = [SubjectPatches(folder, millimetres_per_unit) for folder in folders]
    _check_alike(subjects)
    places = [
        subject.places(patch, stride, patches_per_subject, seed + number, minimum_valid)
        for number, subject in enumerate(subjects)
    ]
    chosen = _split_subjects(subjects, places, patch, val_fraction, seed)
    return {"train": _cut(subjects, chosen[0], patch), "val": _cut(subjects, chosen[1], patch)}


def _read(lent: PatchFolder, numbers: Sequence[int]) -> _Split:
    return _Split(len(numbers), (lent.read(number) for number in numbers))


def _cut(subjects: Sequence[SubjectPatches], places: Sequence[list[Place]], patch: int) -> _Split:
    """Patches subject by subject, so that one subject's maps are in memory at a time."""
    chosen = [(subject, part) for subject, part in zip(subjects, places, strict=True) if part]
    return _Split(
        sum(len(part) for part in places),
        (cut for subject, part in chosen for cut in subject.cut(part, patch)),
    )


def _subject_folders(source: Path) -> list[Path]:
    """The subject folders in a source; none if it is a folder of patches."""
    if not source.is_dir():
        raise InputError(
            f"{source}, which is no folder", "subject folders or patches", "check the path"
        )
    if _is_subject(source):
        return [source]
    return sorted(path for path in source.iterdir() if path.is_dir() and _is_subject(path))


def _is_subject(folder: Path) -> bool:
    """A hidden folder is one that is still being written."""
    if folder.name.startswith("."):
        return False
    return (folder / FILE_NAME).exists() or bool(map_files(folder))


def _check_alike(subjects: Sequence[SubjectPatches]) -> None:
    """Refuse subjects of different kinds, and names that would be one key."""
    everything = set().union(*(subject.kinds for subject in subjects))
    lacking = [
        f"{subject.subject.name} lacks {', '.join(sorted(everything - set(subject.kinds)))}"
        for subject in subjects
        if everything - set(subject.kinds)
    ]
    if lacking:
        raise InputError(
            f"subjects with different maps: {'; '.join(lacking[:5])}",
            "the same kinds in every subject, since they are batched together",
            "complete these subjects, or leave the map out of the others",
        )
    names: dict[str, list[str]] = {}
    for subject in subjects:
        names.setdefault(key_of(subject.subject.name), []).append(subject.subject.name)
    for same in names.values():
        if len(same) > 1:
            raise InputError(
                f"subjects {' and '.join(same)}",
                "names that differ in letters and digits: dots and spaces are no part of a key",
                "rename one",
            )


def _split_subjects(
    subjects: Sequence[SubjectPatches],
    places: Sequence[list[Place]],
    patch: int,
    val_fraction: float,
    seed: int,
) -> tuple[list[list[Place]], list[list[Place]]]:
    """Training and validation places of each subject."""
    if len(subjects) >= 3:
        held = min(max(1, round(val_fraction * len(subjects))), len(subjects) - 1)
        chosen = set(random.Random(seed).sample(range(len(subjects)), held))
        names = ", ".join(subjects[number].subject.name for number in sorted(chosen))
        log.info("validation subjects: %s", names)
        train = [[] if n in chosen else part for n, part in enumerate(places)]
        val = [part if n in chosen else [] for n, part in enumerate(places)]
    else:
        log.warning(
            "%d subject(s): validation is a block of the map with a guard of %d texels around it; "
            "it shares the face with training",
            len(subjects),
            GUARD,
        )
        parts = [
            _split_map(part, subject.size[1], patch, val_fraction)
            for part, subject in zip(places, subjects, strict=True)
        ]
        train, val = [part[0] for part in parts], [part[1] for part in parts]
    for name, part in (("training", train), ("validation", val)):
        if not any(part):
            raise InputError(
                f"{len(subjects)} subject(s) that leave no {name} patch",
                "at least one patch on each side",
                "give three subjects or more, larger maps, a smaller --patch or --minimum-valid, "
                "or more --patches-per-subject",
            )
    return train, val


def _split_map(
    places: Sequence[Place], width: int, patch: int, val_fraction: float
) -> tuple[list[Place], list[Place]]:
    """A full-height block right of the middle for validation, a guard on both its sides."""
    block = max(2 * patch, round(val_fraction * width))
    left = (width * 5 // 8) - block // 2
    right = left + block
    val = [place for place in places if left <= place.x and place.x + patch <= right]
    train = [p for p in places if p.x + patch <= left - GUARD or p.x >= right + GUARD]
    return train, val


def _write(
    folder: Path,
    splits: Mapping[str, _Split],
    samples_per_shard: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    total = sum(split.count for split in splits.values())
    shards: list[dict[str, Any]] = []
    kinds: set[str] = set()
    texels: list[float] = []
    done = 0
    for name, split in splits.items():
        rng = random.Random(seed)
        for first in range(0, split.count, samples_per_shard * _OPEN_SHARDS):
            # Streaming shuffles within a buffer only, so subjects are mixed here: every patch
            # goes to a shard drawn for it, and many shards are open side by side.
            block = min(samples_per_shard * _OPEN_SHARDS, split.count - first)
            order = [number // samples_per_shard for number in range(block)]
            rng.shuffle(order)
            start = first // samples_per_shard
            paths = [folder / f"{name}-{start + number:06d}.tar" for number in sorted({*order})]
            with ExitStack() as stack:
                writers = [open_shard(path, stack) for path in paths]
                for number, patch in zip(order, islice(split.patches, block), strict=True):
                    writers[number].write(write_patch(patch))
                    kinds |= patch.maps.keys()
                    if patch.millimetres_per_texel is not None:
                        texels.append(patch.millimetres_per_texel)
                    done += 1
                    if progress is not None:
                        progress(done, total)
            counts = Counter(order)
            shards += [describe_shard(path, name, counts[n]) for n, path in enumerate(paths)]
        if next(split.patches, None) is not None:  # its end frees the last subject's maps
            raise RuntimeError(f"more than {split.count} {name} patches")
    index = {
        "version": INDEX_VERSION,
        "kinds": sorted(kinds),
        "samples": {name: split.count for name, split in splits.items()},
        "millimetres_per_texel": median(texels) if texels else None,
        "shards": shards,
    }
    (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
