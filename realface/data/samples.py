"""What a sample in a shard is: named members, their bytes, and back.

A sample is one patch of one subject: members ``<kind>.<suffix>``, the suffix naming the codec, and
``json``. Every map is stored as its kind means it (normals green up, albedo in the kind's
encoding), positions in millimetres relative to the subject's median position.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from realface.data.codecs import CODECS
from realface.data.codecs import decode as decode_pixels
from realface.errors import InputError
from realface.maps.files import Array
from realface.maps.io import decode, encode, tight_range
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord, default_record, map_record_from

VERSION = 2
ABOUT = "json"
"""The member that says what a sample is."""


@dataclass(frozen=True)
class About:
    """What a sample says of itself, besides its maps.

    Attributes:
        key: Unique in its split, no dots: ``<subject>-y00000-x00000``, or a running number.
        subject: Whose face; None where the source does not say.
        y: Row of the patch in its map [px]; None where it is not known.
        x: Column likewise.
        map_size: ``(height, width)`` of the whole map, likewise.
        millimetres_per_texel: Median over the subject; None where it is not known.
        centre: The subject's median position ``(x, y, z)`` [mm], already taken off ``shape``;
            its z is the median depth.
        source: Of a lent patch, the path of its first map below the source that was packed, with
            ``/`` on every system; None of others, whose subject and place say where they are from.
    """

    key: str
    subject: str | None
    y: int | None
    x: int | None
    map_size: tuple[int, int] | None
    millimetres_per_texel: float | None
    centre: tuple[float, float, float]
    source: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Patch(About):
    """One training patch before it is written, or after it is read.

    Attributes:
        bits: Per kind, the depth of the source.
        maps: By kind, ``(C, h, w)`` as in memory; ``shape`` in millimetres.
    """

    bits: Mapping[str, int]
    maps: Mapping[str, Tensor]


def write_patch(patch: Patch, codec: str = "png") -> dict[str, bytes]:
    """A patch as the members of a sample, by name.

    Args:
        patch: What to write; depths other than 8 bits are stored with 16.
        codec: Of the maps, a name of `realface.data.codecs.CODECS`.
    """
    members = {}
    records = {}
    for kind, values in patch.maps.items():
        record = _record(kind, f"{kind}.{codec}", values, patch.bits[kind])
        pixels = encode(values, KINDS[kind], record, _dtype(record))
        members[record.file] = CODECS[codec].encode(pixels)
        records[kind] = asdict(record)
    about = {one.name: getattr(patch, one.name) for one in fields(About)}
    about["median_depth"] = patch.centre[2]
    text = json.dumps({"version": VERSION, **about, "maps": records})
    return {**members, ABOUT: text.encode()}


def _record(kind: str, member: str, values: Tensor, bits: int) -> MapRecord:
    height, width = values.shape[-2:]
    record = default_record(kind, member, height, width, 8 if bits == 8 else 16, floats=False)
    if KINDS[kind].encoding == "position":
        record = replace(record, range=tight_range(values), bits=16)
    return record


def _dtype(record: MapRecord) -> np.dtype:
    return np.dtype(f"u{record.bits // 8}")


def read_patch(
    members: Mapping[str, bytes], where: str, kinds: Iterable[str] | None = None
) -> Patch:
    """The members of a sample as a patch; only the wanted kinds are decoded.

    Args:
        members: By name; those of kinds that are not wanted may be missing.
        where: The shard and key, for errors.
        kinds: What is wanted; None: everything that the json names.

    Raises:
        InputError: Naming ``where``, if a wanted map is missing or cannot be decoded.
    """
    about, stored = read_stored(members, where, kinds)
    return Patch(
        **vars(about),
        bits={kind: record.bits for kind, (_, record) in stored.items()},
        maps={kind: decode(pixels, KINDS[kind], rec) for kind, (pixels, rec) in stored.items()},
    )


def read_stored(
    members: Mapping[str, bytes], where: str, kinds: Iterable[str] | None = None
) -> tuple[About, dict[str, tuple[Array, MapRecord]]]:
    """What a sample says of itself, and its maps as they are stored.

    Args:
        members: As `read_patch` takes them.
        where: Likewise.
        kinds: Likewise.

    Returns:
        What it says; by kind ``(h, w, C)`` uint8 or uint16 and what their values mean.

    Raises:
        InputError: As `read_patch`.
    """
    with _located(where):
        if ABOUT not in members:
            raise ValueError(f"{ABOUT} is missing")
        data = json.loads(members[ABOUT])
        about = _about(data)
        wanted = data["maps"] if kinds is None else kinds
        stored = {kind: _read_map(members, kind, data["maps"]) for kind in wanted}
        sizes = {kind: record.size for kind, (_, record) in stored.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"its maps differ in size: {sizes}")
        return about, stored


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Errors of damaged bytes with the shard and key where they are."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{where}: {what}",
            "the maps and json that `realface pack` wrote",
            "run `realface verify` on the shards, then copy or pack them again",
        ) from error


def _about(data: Mapping[str, Any]) -> About:
    if data["version"] != VERSION:
        raise ValueError(f"json of version {data['version']}, and this realface reads {VERSION}")
    size, centre = data["map_size"], data["centre"]
    x, y, z = centre
    return About(
        key=str(data["key"]),
        subject=data["subject"],
        y=data["y"],
        x=data["x"],
        map_size=None if size is None else (int(size[0]), int(size[1])),
        millimetres_per_texel=data["millimetres_per_texel"],
        centre=(float(x), float(y), float(z)),
        source=data["source"],
    )


def _read_map(
    members: Mapping[str, bytes], kind: str, entries: Mapping[str, Any]
) -> tuple[Array, MapRecord]:
    if kind not in entries:
        raise ValueError(f"{kind} is missing (there are {', '.join(sorted(entries))})")
    record = map_record_from(kind, entries[kind])
    if record.file not in members:
        raise ValueError(f"{record.file} is missing (there are {', '.join(sorted(members))})")
    _check_meaning(kind, record)
    shape = (*record.size, KINDS[kind].channels)
    return decode_pixels(record.file, members[record.file], shape, _dtype(record)), record


def _check_meaning(kind: str, record: MapRecord) -> None:
    """Every map of a shard is stored as its kind means it, so training need not ask."""
    usual = default_record(kind, record.file, *record.size, record.bits, floats=False)
    told = replace(record, derived=False)
    if KINDS[kind].encoding == "position":
        told = replace(told, range=usual.range)
    if record.bits == 32 or told != usual:
        raise ValueError(f"{kind} of {record.bits} bits as {record.meaning}: no map of a shard")
