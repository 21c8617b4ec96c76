"""Read every byte of packed shards and list what is wrong."""

import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from realface.data.index import (
    INDEX_NAME,
    TABLE_NAME,
    Entry,
    Index,
    expiry_warnings,
)
from realface.data.remote import redacted
from realface.data.shard_faults import Place, ShardReport, check_shard
from realface.data.shard_set import read_index, read_table
from realface.data.storage import checked, is_remote
from realface.errors import FailureError, InputError
from realface.maps.files import Array

log = logging.getLogger(__name__)

FEW_SUBJECTS = 3  # with fewer, a split lies within their maps
_PATCH_SPLITS = ("train", "val")  # whole faces hold whatever their patches hold

Places = Mapping[str, Sequence[Place]]
"""By split."""


def verify(
    location: str | Path, progress: Callable[[int, int], None] | None = None, workers: int = 1
) -> list[str]:
    """Faults of a folder of shards, one line each; empty when all is well.

    Checks that index, table and shards agree in sizes, SHA-256, CRC-32, counts and names; that
    each shard is a tar that any program can unpack without harm; that every sample holds every
    kind, decodes, and means what its kinds and the index say; that no face is on both sides of
    the split; that nothing else lies in the folder; and that the data may still be held. Where it
    must be destroyed soon, that is logged.

    Args:
        location: A folder as `realface pack` wrote it, or its URL.
        progress: Called with (shards read, shards in all).
        workers: Processes; 1: this one.

    Raises:
        InputError: If there is no index to check by.
        FailureError: If a server does not answer.
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
    for number, report in enumerate(_reports(folder, index, listed, workers)):
        faults += report.faults
        places[index.shards[number].split] += report.places
        if progress is not None:
            progress(number + 1, len(index.shards))
    faults += _split_faults(places)
    faults += _stray_faults(folder, index)
    return faults + _expired(folder, index)


def _reports(
    folder: str, index: Index, listed: Mapping[str, Sequence[Entry]] | None, workers: int
) -> Iterator[ShardReport]:
    """Of each shard of the index, in order; ``listed`` is the table by shard."""
    entries = [None if listed is None else listed[shard.file] for shard in index.shards]
    arguments = (repeat(folder), index.shards, entries, repeat(index))
    if min(workers, len(index.shards)) < 2:
        yield from map(check_shard, *arguments)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(index.shards)), get_context("spawn"), _leave_interrupts
    )
    try:
        yield from pool.map(check_shard, *arguments)
    except BrokenProcessPool as error:
        raise FailureError(
            f"a process that reads the shards of {redacted(folder)} was killed",
            "memory for one shard's largest sample in each",
            "run it again with fewer --workers",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
