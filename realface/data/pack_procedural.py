"""Procedural subjects straight to shards: only the windows that are kept are ever made."""

import json
import multiprocessing
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from realface.data.pack import Packed
from realface.data.procedural import draw_window, patch_key, subject_name
from realface.data.samples import Patch, write_patch
from realface.data.shards import INDEX_NAME, INDEX_VERSION, describe_shard, open_shard
from realface.errors import InputError
from realface.maps.files import whole_folder
from realface.synthetic import ProceduralSubject
from realface.synthetic.flaws import IN_TRUTH, apply_flaws, check_flaws
from realface.synthetic.lattice import CHART_WIDTH, Window
from realface.synthetic.placement import placements

_BITS = {"mask": 8}  # the others: 16


@dataclass(frozen=True)
class _Shard:
    """One shard before it is made: everything that its bytes depend on."""

    split: str
    number: int
    map_size: tuple[int, int]
    patches: tuple[tuple[int, Window], ...]
    """Seeds and windows."""
    flaws: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:06d}.tar"


@dataclass(frozen=True)
class _Made:
    """A shard that is written: its entry in the index, and what the index says of all."""

    entry: dict[str, Any]
    kinds: list[str]
    scales: list[float]


def pack_procedural(
    out: Path,
    patches: int,
    *,
    height: int,
    width: int,
    subjects: int | None = None,
    first: int = 0,
    patch: int = 512,
    minimum_valid: float = 0.5,
    val_fraction: float = 0.1,
    samples_per_shard: int = 64,
    flaws: Sequence[str] = (),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Make patches of procedural subjects as shards, as `pack` makes them of subject folders.

    The same arguments give the same bytes, however many processes make them; ``out`` is either
    whole or absent.

    Args:
        out: New folder for the shards.
        patches: How many, training and validation together.
        height: Of the whole maps that the patches are windows of [px].
        width: Of the whole maps, half as much again.
        subjects: How many faces share the patches; None: every patch has a face of its own.
        first: Seed of the first subject.
        patch: Side of a patch [px].
        minimum_valid: Share of a patch that lies inside the mask.
        val_fraction: Share of the subjects that is kept for validation, the last ones.
        samples_per_shard: At most.
        flaws: Of captures, to put on the maps: names of `IN_TRUTH`.
        workers: Processes that make shards; 1: this one.
        progress: Called with (samples written, samples in all).

    Raises:
        InputError: If a number is out of range, a flaw is not for maps that are learnt, or
            ``out`` is in the way.
        FailureError: If the disk refuses.
    """
    check_flaws(flaws, IN_TRUTH)
    faces = patches if subjects is None else min(subjects, patches)
    for name, value, good, expected in (
        ("patches", patches, patches >= 2, "at least 2: one to train on, one to validate"),
        ("subjects", subjects, faces >= 2, "at least 2: one to train on, one to validate"),
        ("seed", first, first >= 0, "0 or more"),
        ("patch", patch, patch >= 1, "at least 1"),
        ("minimum valid", minimum_valid, 0 <= minimum_valid <= 1, "a share between 0 and 1"),
        ("val fraction", val_fraction, 0 < val_fraction < 1, "a share between 0 and 1"),
        ("samples per shard", samples_per_shard, samples_per_shard >= 1, "at least 1"),
        ("workers", workers, workers >= 1, "at least 1"),
    ):
        if not good:
            raise InputError(f"{name} {value}", expected, "correct the flag")
    held = min(max(1, round(val_fraction * faces)), faces - 1)
    windows = _windows(faces, patches, first, (height, width), patch, minimum_valid)
    splits = {"train": range(first, first + faces - held),
              "val": range(first + faces - held, first + faces)}  # fmt: skip
    shards = [
        _Shard(
            split, number, (height, width), tuple(chosen[at : at + samples_per_shard]), tuple(flaws)
        )
        for split, seeds in splits.items()
        for chosen in [[one for one in windows if one[0] in seeds]]
        for number, at in enumerate(range(0, len(chosen), samples_per_shard))
    ]
    with whole_folder(out) as folder:
        made: list[_Made] = []
        for one in _made(folder, shards, workers):
            made.append(one)
            if progress is not None:
                progress(sum(len(one.scales) for one in made), patches)
        made.sort(key=lambda one: str(one.entry["file"]))
        counts = {
            split: sum(len(shard.patches) for shard in shards if shard.split == split)
            for split in splits
        }
        index = {
            "version": INDEX_VERSION,
            "kinds": made[0].kinds,
            "samples": counts,
            "millimetres_per_texel": median(scale for one in made for scale in one.scales),
            "shards": [one.entry for one in made],
        }
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return Packed(out.resolve(), counts["train"], counts["val"])


def _windows(
    faces: int,
    patches: int,
    first: int,
    map_size: tuple[int, int],
    patch: int,
    minimum_valid: float,
) -> list[tuple[int, Window]]:
    """Seeds and windows, subjects taking turns; no window twice."""
    generators = [random.Random(f"procedural {first + face}") for face in range(faces)]
    chosen: dict[tuple[int, Window], None] = {}
    for number in range(patches):
        face = number % faces
        for _ in range(100):
            one = first + face, draw_window(generators[face], map_size, patch, minimum_valid)
            if one not in chosen:
                break
        else:
            raise InputError(
                f"{patches} patches of {faces} subjects of {map_size[0]}x{map_size[1]}",
                "more places for patches than patches",
                "ask for fewer patches, more subjects or larger maps",
            )
        chosen[one] = None
    return list(chosen)


def _made(folder: Path, shards: list[_Shard], workers: int) -> Iterator[_Made]:
    """The shards as they are finished."""
    make = partial(_make_shard, folder)
    if workers == 1:
        yield from map(make, shards)
        return
    # Spawned, not forked: forking a process that holds threads can lock up.
    pool = ProcessPoolExecutor(
        min(workers, len(shards)), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    )
    try:
        running: list[Future[_Made]] = [pool.submit(make, shard) for shard in shards]
        for done in as_completed(running):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _make_shard(folder: Path, shard: _Shard) -> _Made:
    path = folder / shard.name
    kinds: set[str] = set()
    scales: list[float] = []
    with ExitStack() as stack:
        writer = open_shard(path, stack)
        for seed, window in shard.patches:
            patch = _patch(seed, window, shard.map_size, shard.flaws)
            writer.write(write_patch(patch))
            kinds |= patch.maps.keys()
            assert patch.millimetres_per_texel is not None
            scales.append(patch.millimetres_per_texel)
    return _Made(describe_shard(path, shard.split, len(shard.patches)), sorted(kinds), scales)


def _patch(seed: int, window: Window, map_size: tuple[int, int], flaws: tuple[str, ...]) -> Patch:
    maps = ProceduralSubject(seed).maps(*map_size, window)
    maps = apply_flaws(maps, flaws, [seed], windows=[window], map_width=map_size[1])
    placed = placements([seed])
    x, y, z = placed.centres[0].tolist()
    maps["shape"] = maps["shape"] - placed.centres[0][:, None, None]
    return Patch(
        key=patch_key(seed, window),
        subject=subject_name(seed),
        y=window[0],
        x=window[1],
        map_size=map_size,
        millimetres_per_texel=placed.stretch[0].item() * CHART_WIDTH / map_size[1],
        centre=(x, y, z),
        bits={kind: _BITS.get(kind, 16) for kind in maps},
        maps=maps,
    )
