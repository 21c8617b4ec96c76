"""Read every byte of packed shards and list what is wrong."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
import webdataset

from realface.data.samples import Patch, read_patch
from realface.data.shards import read_index
from realface.errors import InputError
from realface.maps.kinds import KINDS


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
    samples = webdataset.DataPipeline(
        webdataset.SimpleShardList([f"file:{path.resolve().as_posix()}"]),
        webdataset.tarfile_to_samples(handler=webdataset.reraise_exception),
    )
    try:
        for sample in samples:
            count += 1
            key = sample["__key__"]
            if key in seen:
                faults.append(f"{path.name}: key {key} occurs twice")
            seen.add(key)
            try:
                faults += _patch_faults(path, read_patch(sample, kinds))
            except InputError as error:
                faults.append(f"{path.name}: {error.given}")
    except Exception as error:  # a broken tar raises what tarfile likes
        faults.append(f"{path.name}: broken after {count} samples: {error}")
    if count != expected:
        faults.append(f"{path.name}: {count} samples, index.json says {expected}")
    return faults


def _patch_faults(path: Path, patch: Patch) -> list[str]:
    faults = []
    sizes = {values.shape[-2:] for values in patch.maps.values()}
    if len(sizes) > 1:
        faults.append(f"{path.name}: key {patch.key} has maps of different sizes")
    valid = patch.maps.get("mask")
    for kind, values in patch.maps.items():
        if not torch.isfinite(values).all():
            faults.append(f"{path.name}: key {patch.key}: {kind} is not finite")
        if KINDS[kind].encoding == "unit_vector":
            inside = torch.ones_like(values[:1]) if valid is None else valid
            length = values.norm(dim=0, keepdim=True)
            if ((length - 1).abs() * (inside > 0.5) > 0.01).any():
                faults.append(f"{path.name}: key {patch.key}: {kind} has vectors without length")
    return faults
