"""Read every byte of packed shards and list what is wrong."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from realface.data.samples import read_patch, read_stored
from realface.data.shards import all_samples, read_index, url_of
from realface.errors import InputError
from realface.maps.files import Array
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord

_LENGTH_TOLERANCE = 0.02  # of unit vectors; an 8-bit level is 0.004 a component


def verify(folder: Path, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Faults of the shards in a folder, one line each; empty when all is well.

    Checks sizes, SHA-256, the number of samples, unique keys, that every sample holds every
    kind and decodes, and that its values are what their kinds allow.

    Args:
        folder: As `realface pack` wrote it.
        progress: Called with (shards read, shards in all).

    Raises:
        InputError: If there is no index.
    """
    index = read_index(folder)
    faults: list[str] = []
    seen: set[str] = set()
    for number, shard in enumerate(index["shards"]):
        path = folder / shard["file"]
        if not path.is_file():
            faults.append(f"{path.name}: missing")
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != shard["sha256"]:
                faults.append(f"{path.name}: its SHA-256 is not the one in index.json")
        faults += _samples_faults(path, shard["samples"], index["kinds"], seen)
        if progress is not None:
            progress(number + 1, len(index["shards"]))
    listed = {shard["file"] for shard in index["shards"]}
    faults += [f"{p.name}: not in index.json" for p in folder.glob("*.tar") if p.name not in listed]
    return faults


def _samples_faults(path: Path, expected: int, kinds: list[str], seen: set[str]) -> list[str]:
    faults: list[str] = []
    count = 0
    samples = all_samples([url_of(path)])
    try:
        for sample in samples:
            count += 1
            key = sample["__key__"]
            if key in seen:
                faults.append(f"{path.name}: key {key} occurs twice")
            seen.add(key)
            try:
                read_patch(sample, ())  # its json
                stored = {kind: read_stored(sample, kind) for kind in kinds}
                faults += [f"{path.name}: key {key}: {fault}" for fault in _map_faults(stored)]
            except InputError as error:
                faults.append(f"{path.name}: {error.given}")
    except InputError as error:
        faults.append(f"{path.name}: broken after {count} samples: {error.given}")
    if count != expected:
        faults.append(f"{path.name}: {count} samples, index.json says {expected}")
    return faults


def _map_faults(stored: Mapping[str, tuple[Array, MapRecord]]) -> list[str]:
    faults = []
    if len({record.size for _, record in stored.values()}) > 1:
        return ["its maps differ in size"]
    for kind, (pixels, record) in stored.items():
        if KINDS[kind].encoding != "unit_vector" or record.range is None:
            continue
        vectors = pixels / np.iinfo(pixels.dtype).max * record.range.scale + record.range.offset
        off = np.abs(np.linalg.norm(vectors, axis=2) - 1) > _LENGTH_TOLERANCE
        if "mask" in stored:
            mask = stored["mask"][0]
            off &= mask[..., 0] > np.iinfo(mask.dtype).max // 2
        if off.any():
            faults.append(f"{kind} has {int(off.sum())} vectors that are not of unit length")
    return faults
