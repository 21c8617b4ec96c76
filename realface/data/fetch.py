"""Shards from a server to a local folder, once: for servers without byte ranges, or far away."""

import hashlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from realface.data.index import INDEX_NAME, TABLE_NAME, Index, Shard, index_text
from realface.data.remote import redacted
from realface.data.storage import download, join, read_file
from realface.errors import FailureError, InputError
from realface.maps.files import disk_failure

log = logging.getLogger(__name__)

_TRIES = 2  # of a shard that comes whole, but with other bytes than were packed
_ABANDONED = 3600  # s without a byte, after which a part belongs to no running process


def fetch_folder(
    folder: str,
    into: Path,
    index: Index,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Copy a folder of shards, unless it is there.

    Each shard is written beside its place, checked by its SHA-256, and renamed. What is there and
    whole is kept, so the same call goes on where another was broken off; several processes may
    fetch at once. Data that changes on the server comes into a folder of its own.

    Args:
        folder: Location of a folder of shards.
        into: Where the copies of such folders lie; made if it is not there.
        index: Of ``folder``.
        progress: Called with (bytes that are there, bytes in all), maybe from another thread.

    Returns:
        The local folder: ``into`` and the first letters of the table's SHA-256.

    Raises:
        InputError: If something is missing on the server, or is not what its index says.
        FailureError: If a server does not answer, or the disk is full.
    """
    out = into / index.table_sha256[:16]
    try:
        out.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(out)
        missing = [shard for shard in index.shards if not _is_whole(out, shard)]
    except OSError as error:
        raise disk_failure(out, error) from error
    left = sum(shard.bytes for shard in missing)
    _check_room(out, left)
    total = sum(shard.bytes for shard in index.shards)
    done = total - left
    for shard in missing:
        _fetch(folder, out, shard, _advance(progress, done, total))
        done += shard.bytes
    _write(out / TABLE_NAME, _table(folder, index))
    _write(out / INDEX_NAME, index_text(index).encode())
    if progress is not None:
        progress(total, total)
    return out


def _advance(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[int], None] | None:
    return None if progress is None else lambda fetched: progress(done + fetched, total)


def _fetch(folder: str, out: Path, shard: Shard, advance: Callable[[int], None] | None) -> None:
    where = join(folder, shard.file)
    with _part(out / shard.file) as part:
        for left in range(_TRIES - 1, -1, -1):
            download(where, part, advance)
            if _sha256(part) == shard.sha256:
                break
            if left:
                log.warning("%s: it came damaged; fetching it again", redacted(where))
        else:
            raise InputError(
                f"{redacted(where)}, whose SHA-256 is not the one in its index.json",
                "the shard that was packed with this index",
                "run `realface verify` where it was packed, and copy it to the server again",
            )
    _write(_marker(out, shard), shard.sha256.encode())


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """A name to write to that no other process has; renamed at the end, removed after an error."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise disk_failure(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _is_whole(out: Path, shard: Shard) -> bool:
    """Whether a shard is there; its bytes are hashed once, and a file beside it says so."""
    path, marker = out / shard.file, _marker(out, shard)
    if not path.is_file() or path.stat().st_size != shard.bytes:
        return False
    if marker.is_file() and marker.read_text(encoding="ascii") == shard.sha256:
        return True
    if _sha256(path) != shard.sha256:
        return False
    _write(marker, shard.sha256.encode())
    return True


def _marker(out: Path, shard: Shard) -> Path:
    return out / f".{shard.file}.sha256"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(folder: str, index: Index) -> bytes:
    where = join(folder, TABLE_NAME)
    data = read_file(where)
    if hashlib.sha256(data).hexdigest() != index.table_sha256:
        raise InputError(
            f"{redacted(where)}, whose SHA-256 is not the one in its index.json",
            "the table that was packed with this index",
            "run the command again; if that does not help, copy the folder to the server again",
        )
    return data


def _write(path: Path, data: bytes) -> None:
    with _part(path) as part:
        part.write_bytes(data)


def _check_room(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if needed > free:
        raise FailureError(
            f"{out}, with {free / 2**30:.1f} GiB free for {needed / 2**30:.1f} GiB of shards",
            "room for all of them",
            "free some space or choose another folder for --data.cache",
        )


def _remove_abandoned(out: Path) -> None:
    for part in out.glob(".*.partial"):
        with suppress(FileNotFoundError):  # another process may have finished it just now
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
