"""Subject folders or a folder of patches to WebDataset shards."""

import hashlib
import json
import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import webdataset

from realface.data.patch_folder import PatchFolder
from realface.data.patches import Place, SubjectPatches
from realface.data.samples import Patch, write_patch
from realface.data.shards import INDEX_NAME, INDEX_VERSION
from realface.errors import InputError
from realface.maps.files import disk_failure
from realface.maps.record import FILE_NAME

log = logging.getLogger(__name__)

GUARD = 512  # texels between training and validation patches of one map


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
        layout: YAML file of per-kind patterns with ``{key}``, for a folder of patches.
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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out}, which exists", "a new or empty folder", "remove it or name another"
        )
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        splits = _splits(
            source, layout, patch, stride, patches_per_subject, minimum_valid, val_fraction,
            millimetres_per_unit, seed,
        )  # fmt: skip
        partial.mkdir(parents=True)
        _write(partial, splits, samples_per_shard, seed, progress)
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    except OSError as error:
        raise disk_failure(out, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Packed(out, splits["train"].count, splits["val"].count)


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
    if (source / FILE_NAME).exists():
        return [source]
    return sorted(path.parent for path in source.glob(f"*/{FILE_NAME}"))


def _split_subjects(
    subjects: Sequence[SubjectPatches],
    places: Sequence[list[Place]],
    patch: int,
    val_fraction: float,
    seed: int,
) -> tuple[list[list[Place]], list[list[Place]]]:
    """Training and validation places of each subject."""
    if len(subjects) >= 3:
        held = max(1, round(val_fraction * len(subjects)))
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
        # Streaming shuffles within a buffer only, so subjects are mixed here: every patch goes
        # to a shard drawn for it, and the shards of a split are open side by side.
        order = list(range(split.count))
        random.Random(seed).shuffle(order)
        paths = [
            folder / f"{name}-{number:06d}.tar"
            for number in range(-(-split.count // samples_per_shard))
        ]
        with ExitStack() as stack:
            writers = [_open_shard(path, stack) for path in paths]
            for place, patch in zip(order, split.patches, strict=True):
                writers[place // samples_per_shard].write(write_patch(patch))
                kinds |= patch.maps.keys()
                if patch.millimetres_per_texel is not None:
                    texels.append(patch.millimetres_per_texel)
                done += 1
                if progress is not None:
                    progress(done, total)
        counts = Counter(place // samples_per_shard for place in order)
        shards += [_describe(path, name, counts[n]) for n, path in enumerate(paths)]
    index = {
        "version": INDEX_VERSION,
        "kinds": sorted(kinds),
        "samples": {name: split.count for name, split in splits.items()},
        "millimetres_per_texel": median(texels) if texels else None,
        "shards": shards,
    }
    (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _open_shard(path: Path, stack: ExitStack) -> webdataset.TarWriter:
    # A fixed time and owner: the same input gives the same bytes.
    file = stack.enter_context(path.open("wb"))
    writer = webdataset.TarWriter(file, encoder=False, mtime=0, user="", group="")
    stack.callback(writer.close)
    return writer


def _describe(path: Path, split: str, samples: int) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    return {
        "file": path.name, "split": split, "samples": samples, "bytes": size, "sha256": digest
    }  # fmt: skip
