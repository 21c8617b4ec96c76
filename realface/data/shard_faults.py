"""What is wrong with one shard: every byte of it is read, by the tar's own headers."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np

from realface.data.index import Entry, Index, Member, Shard
from realface.data.plain_stream import plain_faults
from realface.data.samples import About, read_stored
from realface.data.storage import download, is_remote, join
from realface.errors import InputError
from realface.maps.files import Array
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord

LISTED = 20  # faults of a shard, before the rest is only counted
PICKLED = {"pyd", "pth", "pickle", "pkl", "pt"}
"""Suffixes that WebDataset would unpickle, which runs whatever program the file holds."""

_LENGTH_TOLERANCE = 0.02  # of unit vectors; an 8-bit level is 0.004 a component
_NAME_SHOWN = 100  # letters

Stored = Mapping[str, tuple[Array, MapRecord]]


@dataclass(frozen=True)
class Place:
    """Where a readable sample was cut from.

    Attributes:
        subject: Whose face; None where the source does not say.
        y: First row in the map [px]; None where it is not known.
        x: First column likewise.
        height: Rows [px].
        width: Columns [px].
    """

    subject: str | None
    y: int | None
    x: int | None
    height: int
    width: int


@dataclass(frozen=True)
class ShardReport:
    """What is wrong with a shard, one line each, and where its readable samples were cut from."""

    faults: tuple[str, ...]
    places: tuple[Place, ...]


def check_shard(
    folder: str,
    shard: Shard,
    entries: Sequence[Entry] | None,
    index: Index,
    step: Callable[[], None],
) -> ShardReport:
    """Read a shard from end to end; from a server, by way of a temporary file.

    Args:
        folder: Location of the folder of shards.
        shard: Which one.
        entries: Its samples as the table lists them; None if the table cannot be read.
        index: Of the folder.
        step: Called after each sample; what it raises breaks off.

    Raises:
        FailureError: If a server does not answer, or the temporary disk is full.
    """
    where = join(folder, shard.file)
    if not is_remote(folder):
        return _check_file(Path(where), shard, entries, index, step)
    with TemporaryDirectory(prefix="realface-verify-") as scratch:
        path = Path(scratch) / shard.file
        try:
            download(where, path)
        except InputError as error:
            return ShardReport((f"{shard.file}: {error.given}",), ())
        return _check_file(path, shard, entries, index, step)


def _check_file(
    path: Path,
    shard: Shard,
    entries: Sequence[Entry] | None,
    index: Index,
    step: Callable[[], None],
) -> ShardReport:
    if not path.is_file():
        return ShardReport((f"{shard.file}: missing",), ())
    faults: list[str] = []
    if path.stat().st_size != shard.bytes:
        faults.append(f"{path.stat().st_size} bytes, index.json says {shard.bytes}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != shard.sha256:
            faults.append("its SHA-256 is not the one in index.json")
        file.seek(0)
        found, places = _contents(file, shard, entries, index, step)
    faults += found
    if not faults and entries is not None:
        faults += plain_faults(path, entries)
    more = [f"and {len(faults) - LISTED} more"] if len(faults) > LISTED else []
    listed = (f"{shard.file}: {fault}" for fault in faults[:LISTED] + more)
    return ShardReport(tuple(listed), tuple(places))


def _contents(
    file: BinaryIO,
    shard: Shard,
    entries: Sequence[Entry] | None,
    index: Index,
    step: Callable[[], None],
) -> tuple[list[str], list[Place]]:
    headers, faults = _headers(file)
    faults += [fault for info in headers if (fault := _header_fault(info))]
    usable = [info for info in headers if _header_fault(info) is None]
    table = None if entries is None else {entry.key: entry for entry in entries}
    places = []
    seen: set[str] = set()
    for key, group in groupby(usable, lambda info: info.name.partition(".")[0]):
        if key in seen:
            faults.append(f"key {key} occurs twice")
        seen.add(key)
        entry = None if table is None else table.get(key)
        if table is not None and entry is None:
            faults.append(f"key {key} is not in samples.jsonl")
        members, damaged = _members(file, group, entry)
        faults += [f"key {key}: {fault}" for fault in damaged]
        if not damaged:
            found, place = _sample(key, members, entry, index)
            faults += found
            places += [place] if place else []
        step()
    missing = [] if table is None else [key for key in table if key not in seen]
    faults += [f"key {key} is missing" for key in missing]
    if len(seen) != shard.samples:
        faults.append(f"{len(seen)} samples, index.json says {shard.samples}")
    return faults, places


def _headers(file: BinaryIO) -> tuple[list[tarfile.TarInfo], list[str]]:
    """The headers of a tar as far as they can be read, and what ended them."""
    headers: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            headers += tar  # one by one: those before the damage are kept
    except Exception as error:  # damaged headers raise whatever the field they hit makes of it
        return headers, [f"broken after {len(headers)} members ({error})"]
    return headers, []


def _header_fault(info: tarfile.TarInfo) -> str | None:
    """Why a member must not be in a shard that any program may unpack."""
    name = info.name if len(info.name) <= _NAME_SHOWN else info.name[:_NAME_SHOWN] + "..."
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return f"{name!r} is a link, folder or device, not a file"
    if any(letter in info.name for letter in "/\\:") or info.name.startswith("."):
        return f"{name!r} is a path, not the plain name of a member"
    if PICKLED & set(info.name.lower().split(".")[1:]):
        return f"{name!r} is a pickle, which runs programs when it is loaded"
    return None


def _members(
    file: BinaryIO, group: Iterable[tarfile.TarInfo], entry: Entry | None
) -> tuple[dict[str, bytes], list[str]]:
    """The members of a sample by name, and how they differ from the table."""
    members: dict[str, bytes] = {}
    faults = []
    listed = {member.name: member for member in entry.members} if entry else {}
    for info in group:
        name = info.name.partition(".")[2]
        if name in members:
            faults.append(f"{name} occurs twice")
        file.seek(info.offset_data)
        members[name] = file.read(info.size)  # never more than the file holds
        if entry is not None:
            found = Member(name, info.offset_data, info.size, zlib.crc32(members[name]))
            faults += _member_faults(found, listed.get(name))
    return members, faults


def _member_faults(found: Member, listed: Member | None) -> list[str]:
    if listed is None:
        return [f"{found.name} is not in samples.jsonl (a key holds no dots)"]
    if (found.offset, found.size) != (listed.offset, listed.size):
        return [
            f"{found.name} is {found.size} bytes at {found.offset}, samples.jsonl says "
            f"{listed.size} at {listed.offset}"
        ]
    return (
        [] if found.crc32 == listed.crc32 else [f"{found.name}: its CRC-32 is not the packed one"]
    )


def _sample(
    key: str, members: Mapping[str, bytes], entry: Entry | None, index: Index
) -> tuple[list[str], Place | None]:
    """What is wrong with a sample whose bytes are there, and where it was cut from."""
    try:
        about, stored = read_stored(members, f"key {key}", index.kinds)
    except InputError as error:
        return [error.given], None
    faults = _about_faults(key, about, entry)
    faults += [fault for kind in stored for fault in _record_faults(kind, stored[kind][1], index)]
    sizes = {record.size for _, record in stored.values()}
    if len(sizes) != 1:
        return [f"key {key}: {fault}" for fault in [*faults, "its maps differ in size"]], None
    (height, width) = sizes.pop()
    place = Place(about.subject, about.y, about.x, height, width)
    faults += _place_faults(place, about.map_size) + _vector_faults(stored)
    return [f"key {key}: {fault}" for fault in faults], place


def _about_faults(key: str, about: About, entry: Entry | None) -> list[str]:
    faults = []
    if about.key != key:
        faults.append(f"its json says key {about.key}")
    if entry is not None and about.subject != entry.subject:
        faults.append(f"its json says subject {about.subject}, samples.jsonl {entry.subject}")
    return faults


def _record_faults(kind: str, record: MapRecord, index: Index) -> list[str]:
    """Whether a map is stored as the index says that all of its kind are."""
    said: Mapping[str, Any] = index.maps.get(kind, {})
    found = {name: getattr(record, name) for name in ("encoding", "space", "green")}
    faults = [
        f"{kind} has {name} {value}, index.json says {said.get(name)}"
        for name, value in found.items()
        if value != said.get(name)
    ]
    if record.bits not in said.get("bits", ()):
        faults.append(f"{kind} has {record.bits} bits, index.json says {said.get('bits')}")
    if record.file != f"{kind}.{index.codec}":
        faults.append(f"{kind} is stored as {record.file}, index.json says {index.codec}")
    return faults


def _place_faults(place: Place, map_size: tuple[int, int] | None) -> list[str]:
    if place.y is None or place.x is None or map_size is None:
        return []
    rows, columns = place.y + place.height, place.x + place.width
    inside = place.y >= 0 and place.x >= 0 and rows <= map_size[0] and columns <= map_size[1]
    return [] if inside else [f"it lies at (y={place.y}, x={place.x}), outside its map"]


def _vector_faults(stored: Stored) -> list[str]:
    """Vectors inside the mask that are not of unit length."""
    faults = []
    for kind, (pixels, record) in stored.items():
        if KINDS[kind].encoding != "unit_vector" or record.range is None:
            continue
        scale = np.float32(record.range.scale / np.iinfo(pixels.dtype).max)
        vectors = pixels * scale + np.array(record.range.offset, np.float32)
        lengths = np.sqrt(np.einsum("yxc,yxc->yx", vectors, vectors))
        off = np.abs(lengths - 1) > _LENGTH_TOLERANCE
        if "mask" in stored:
            mask = stored["mask"][0]
            off &= mask[..., 0] > np.iinfo(mask.dtype).max // 2
        if off.any():
            faults.append(f"{kind} has {int(off.sum())} vectors that are not of unit length")
    return faults
