"""What a sample in a shard is: member names, bytes, and back.

A sample is one patch of one subject, as WebDataset members ``<key>.<kind>.png`` and
``<key>.json``. Every map is stored as its kind means it (normals green up, albedo in the
kind's encoding), positions in millimetres relative to the subject's median position.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
from torch import Tensor

from realface.errors import InputError
from realface.maps.files import Array, encode_png
from realface.maps.io import decode, encode, tight_range
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord, default_record, map_record_from

VERSION = 1


@dataclass(frozen=True)
class Patch:
    """One training patch before it is written, or after it is read.

    Attributes:
        key: Unique, no dots: ``<subject>-y00000-x00000``, or a running number.
        subject: Whose face; None where the source does not say.
        y: Row of the patch in its map [px]; None where it is not known.
        x: Column likewise.
        map_size: ``(height, width)`` of the whole map, likewise.
        millimetres_per_texel: Median over the subject; None where it is not known.
        centre: The subject's median position ``(x, y, z)`` [mm], already taken off ``shape``;
            its z is the median depth.
        bits: Per kind, the depth of the source.
        maps: By kind, ``(C, h, w)`` as in memory; ``shape`` in millimetres.
    """

    key: str
    subject: str | None
    y: int | None
    x: int | None
    map_size: tuple[int, int] | None
    millimetres_per_texel: float | None
    centre: tuple[float, float, float]
    bits: Mapping[str, int]
    maps: Mapping[str, Tensor]


def write_patch(patch: Patch) -> dict[str, Any]:
    """A patch as a WebDataset sample of bytes, ready for `webdataset.TarWriter`."""
    records = {kind: _record(kind, values, patch.bits[kind]) for kind, values in patch.maps.items()}
    sample: dict[str, Any] = {"__key__": patch.key}
    for kind, record in records.items():
        pixels = encode(patch.maps[kind], KINDS[kind], record, np.dtype(f"u{record.bits // 8}"))
        sample[f"{kind}.png"] = encode_png(pixels)
    about = {
        "version": VERSION,
        "subject": patch.subject,
        "y": patch.y,
        "x": patch.x,
        "map_size": patch.map_size,
        "millimetres_per_texel": patch.millimetres_per_texel,
        "median_depth": patch.centre[2],
        "centre": patch.centre,
        "maps": {kind: asdict(record) for kind, record in records.items()},
    }
    sample["json"] = json.dumps(about).encode()
    return sample


def _record(kind: str, values: Tensor, bits: int) -> MapRecord:
    height, width = values.shape[-2:]
    record = default_record(kind, f"{kind}.png", height, width, 8 if bits == 8 else 16)
    if KINDS[kind].encoding == "position":
        record = replace(record, range=tight_range(values), bits=16)
    return record


def read_patch(sample: Mapping[str, Any], kinds: Iterable[str] | None = None) -> Patch:
    """A WebDataset sample of bytes as a patch; only the wanted kinds are decoded.

    Args:
        sample: As WebDataset yields it, undecoded.
        kinds: What is wanted; None: everything that the sample holds.

    Raises:
        InputError: Naming shard and key, if a wanted map is missing or cannot be decoded.
    """
    with _located(sample):
        about, records = _about(sample)
        wanted = tuple(records) if kinds is None else tuple(kinds)
        stored = {kind: _read_map(sample, kind, records) for kind in wanted}
        return Patch(
            key=str(sample["__key__"]),
            subject=about["subject"],
            y=about["y"],
            x=about["x"],
            map_size=about["map_size"] and tuple(about["map_size"]),
            millimetres_per_texel=about["millimetres_per_texel"],
            centre=tuple(about["centre"]),
            bits={kind: records[kind].bits for kind in wanted},
            maps={kind: decode(stored[kind], KINDS[kind], records[kind]) for kind in wanted},
        )


def read_stored(sample: Mapping[str, Any], kind: str) -> tuple[Array, MapRecord]:
    """One map of a sample as it is stored, ``(h, w, C)``, and what it means.

    Raises:
        InputError: Naming shard and key, if the map is missing or cannot be decoded.
    """
    with _located(sample):
        _, records = _about(sample)
        return _read_map(sample, kind, records), records[kind]


@contextmanager
def _located(sample: Mapping[str, Any]) -> Iterator[None]:
    """Errors with the shard and key where they happened."""
    try:
        yield
    except Exception as error:  # damaged bytes raise whatever the codec likes
        raise InputError(
            f"sample {sample['__key__']} of {sample.get('__url__', 'a shard')}: "
            f"{type(error).__name__}: {error}",
            "the maps and json that `realface pack` wrote",
            "run `realface verify` on the shards, then pack again",
        ) from error


def _about(sample: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, MapRecord]]:
    about = json.loads(sample["json"])
    if about["version"] != VERSION:
        raise ValueError(f"version {about['version']}, and this realface reads {VERSION}")
    return about, {kind: map_record_from(kind, entry) for kind, entry in about["maps"].items()}


def _read_map(sample: Mapping[str, Any], kind: str, records: Mapping[str, MapRecord]) -> Array:
    if kind not in records or f"{kind}.png" not in sample:
        raise KeyError(f"{kind} is missing (there are {', '.join(sorted(records))})")
    pixels: Array = imagecodecs.png_decode(sample[f"{kind}.png"])
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    record = records[kind]
    if pixels.shape != (*record.size, KINDS[kind].channels):
        raise ValueError(f"{kind} has shape {pixels.shape}, its json says {record.size}")
    return pixels
