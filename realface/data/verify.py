"""Read every byte of packed shards and list what is wrong."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from realface.data.index import (
    INDEX_NAME,
    TABLE_NAME,
    Entry,
    Index,
    Shard,
    expiry_warnings,
)
from realface.data.remote import redacted
from realface.data.shard_faults import Place, ShardReport, check_shard
from realface.data.shard_set import read_index, read_table
from realface.data.storage import checked, is_remote
from realface.data.workers import Step, cores, run_tasks
from realface.errors import InputError
from realface.maps.files import Array

log = logging.getLogger(__name__)

FEW_SUBJECTS = 3  # with fewer, a split lies within their maps
_SMALL = 256 << 20  # bytes that one process reads before others have started
_PATCH_SPLITS = ("train", "val")  # whole faces hold whatever their patches hold

Places = Mapping[str, Sequence[Place]]
"""By split."""


def verify(
    location: str | Path,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = 1,
) -> list[str]:
    """Faults of a folder of shards, one line each; empty when all is well.

    Checks that index, table and shards agree in sizes, SHA-256, CRC-32, counts and names; that
    each shard is a tar that any program can unpack without harm; that every sample holds every
    kind, decodes, and means what its kinds and the index say; that no face is on both sides of
    the split; that nothing else lies in the folder; and that the data may still be held. Where it
    must be destroyed soon, that is logged.

    Args:
        location: A folder as `realface pack` wrote it, or its URL.
        progress: Called with (samples read, samples in all).
        workers: Processes; 1: this one; None: one per core, unless the shards are small.

    Raises:
        InputError: If there is no index to check by.
        FailureError: If a server does not answer, or a process is killed.
    """
    folder = checked(str(location))
    index = read_index(folder)
    faults: list[str] = []
    try:
        entries = read_table(folder, index)
    except InputError as error:
        faults.append(error.given)
        listed: dict[str, list[Entry]] | None = None
    else:
        listed = {shard.file: [] for shard in index.shards}
        for entry in entries:
            listed[entry.shard].append(entry)
    places: dict[str, list[Place]] = {shard.split: [] for shard in index.shards}
    for shard, report in zip(
        index.shards, _reports(folder, index, listed, workers, progress), strict=True
    ):
        faults += report.faults
        places[shard.split] += report.places
    faults += _split_faults(places)
    faults += _stray_faults(folder, index)
    return faults + _expired(folder, index)


def _reports(
    folder: str,
    index: Index,
    listed: Mapping[str, Sequence[Entry]] | None,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> list[ShardReport]:
    """Of each shard of the index, in order; ``listed`` is the table by shard."""
    total = sum(shard.samples for shard in index.shards)

    def tell(samples: int) -> None:
        if progress is not None:
            progress(min(samples, total), total)  # a damaged shard may hold more than it should

    if workers is None:
        workers = 1 if sum(shard.bytes for shard in index.shards) < _SMALL else cores()
    items = [(shard, None if listed is None else listed[shard.file]) for shard in index.shards]
    return run_tasks(partial(_report, folder, index), items, workers, tell)


def _report(
    folder: str, index: Index, item: tuple[Shard, Sequence[Entry] | None], step: Step
) -> ShardReport:
    return check_shard(folder, *item, index, step)


def _split_faults(places: Places) -> list[str]:
    """Faces that are trained on and validated with.

    With fewer than three subjects that is allowed, as long as no two patches overlap.
    """
    train, val = (
        {place.subject for split in (side, f"whole-{side}") for place in places.get(split, ())}
        - {None}
        for side in _PATCH_SPLITS
    )
    shared = sorted(subject for subject in train & val if subject is not None)
    if len(train | val) >= FEW_SUBJECTS:
        return [f"subject {subject} is trained on and validated with" for subject in shared]
    return [fault for subject in shared for fault in _overlap_faults(subject, places)]


def _overlap_faults(subject: str, places: Places) -> list[str]:
    patches = [
        [place for place in places.get(split, ()) if place.subject == subject]
        for split in _PATCH_SPLITS
    ]
    if any(place.y is None or place.x is None for side in patches for place in side):
        return [f"subject {subject} is trained on and validated with, at places unknown"]
    train, val = (_boxes(side) for side in patches)
    # (validation, training): two boxes overlap where each begins before the other ends
    overlap = (val[:, None, :2] < train[None, :, 2:]) & (train[None, :, :2] < val[:, None, 2:])
    count = int(np.count_nonzero(np.any(np.all(overlap, axis=2), axis=1)))
    return [f"subject {subject}: {count} validation patches overlap with training"] if count else []


def _boxes(places: Sequence[Place]) -> Array:
    """``(N, 4)``: first row, first column, and the row and column after the last."""
    boxes = [(p.y, p.x, (p.y or 0) + p.height, (p.x or 0) + p.width) for p in places]
    return np.array(boxes, dtype=np.int64).reshape(-1, 4)


def _stray_faults(folder: str, index: Index) -> list[str]:
    """What lies in a folder of this machine, unnamed; hidden files are left to the system."""
    if is_remote(folder):
        return []
    named = {INDEX_NAME, TABLE_NAME, *(shard.file for shard in index.shards)}
    names = sorted(path.name for path in Path(folder).iterdir())
    return [
        f"{name}: not in index.json"
        for name in names
        if name not in named and not name.startswith(".")
    ]


def _expired(folder: str, index: Index) -> list[str]:
    """The terms that have run out; those that soon will are logged."""
    today = date.today()
    faults = []
    for terms in index.terms:
        for line in expiry_warnings([terms], today, redacted(folder)):
            if terms.expires is not None and date.fromisoformat(terms.expires) < today:
                faults.append(line)
            else:
                log.warning(line)
    return faults
