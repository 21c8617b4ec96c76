"""Procedural subjects straight to shards: only the windows that are kept are ever made."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from realface import __version__
from realface.data.pack import Packed
from realface.data.procedural import VALIDATION_SUBJECTS, draw_window, patch_key, subject_name
from realface.data.samples import Patch, write_patch
from realface.data.shards import INDEX_NAME, INDEX_VERSION, describe_shard, open_shard
from realface.errors import InputError
from realface.maps.files import disk_failure, partial_path, whole_file
from realface.synthetic import ProceduralSubject
from realface.synthetic.flaws import IN_TRUTH, apply_flaws, check_flaws
from realface.synthetic.lattice import CHART_WIDTH, Window
from realface.synthetic.placement import placements

_BITS = {"mask": 8}  # the others: 16
_PLAN = "plan"  # in an unfinished folder: which shards it is to hold


@dataclass(frozen=True)
class _Wanted:
    """A patch before it is made: everything that its bytes depend on."""

    seed: int
    window: Window
    map_size: tuple[int, int]
    flaws: tuple[str, ...]


@dataclass(frozen=True)
class _Sample:
    """A patch that is made: what a shard holds of it, and what the index says of all."""

    members: dict[str, Any]
    kinds: frozenset[str]
    millimetres_per_texel: float


@dataclass(frozen=True)
class _Shard:
    """One shard before it is made."""

    split: str
    number: int
    patches: tuple[_Wanted, ...]

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
    whole or absent. Shards that are finished when the work breaks off are kept beside it, and the
    same arguments go on from there.

    Args:
        out: New folder for the shards.
        patches: How many, training and validation together.
        height: Of the whole maps that the patches are windows of [px].
        width: Of the whole maps, half as much again.
        subjects: How many faces share the patches; None: every patch has a face of its own.
        first: Seed of the first subject; none of them may be held out (`VALIDATION_SUBJECTS`).
        patch: Side of a patch [px].
        minimum_valid: Share of a patch that lies inside the mask.
        val_fraction: Share of the subjects that is kept for validation, the last ones.
        samples_per_shard: At most.
        flaws: Of captures, to put on the maps: names of `IN_TRUTH`.
        workers: Processes that make patches; 1: this one.
        progress: Called with (samples written, samples in all).

    Raises:
        InputError: If a number is out of range, the size is not 3:2, a flaw is not for maps that
            are learnt, or ``out`` is in the way.
        FailureError: If the disk refuses.
    """
    check_flaws(flaws, IN_TRUTH)
    faces = patches if subjects is None else min(subjects, patches)
    for name, value, good, expected in (
        ("patches", patches, patches >= 2, "at least 2: one to train on, one to validate"),
        ("subjects", subjects, faces >= 2, "at least 2: one to train on, one to validate"),
        ("seed", first, 0 <= first <= VALIDATION_SUBJECTS.start - faces,
         f"at least 0, and no face from {VALIDATION_SUBJECTS.start} on: they are held out"),
        ("patch", patch, patch >= 1, "at least 1"),
        ("minimum valid", minimum_valid, 0 <= minimum_valid <= 1, "a share between 0 and 1"),
        ("val fraction", val_fraction, 0 < val_fraction < 1, "a share between 0 and 1"),
        ("samples per shard", samples_per_shard, samples_per_shard >= 1, "at least 1"),
        ("workers", workers, workers >= 1, "at least 1"),
    ):  # fmt: skip
        if not good:
            raise InputError(f"{name} {value}", expected, "correct the flag")
    # One texel of a face: a size that faces are not made in is refused as such.
    ProceduralSubject(first).maps(height, width, (0, 0, 1, 1))
    windows = _windows(faces, patches, first, (height, width), patch, minimum_valid)
    held = min(max(1, round(val_fraction * faces)), faces - 1)
    wanted = [_Wanted(seed, window, (height, width), tuple(flaws)) for seed, window in windows]
    splits = {
        "train": [one for one in wanted if one.seed < first + faces - held],
        "val": [one for one in wanted if one.seed >= first + faces - held],
    }
    shards = [
        _Shard(split, number, tuple(chosen[at : at + samples_per_shard]))
        for split, chosen in splits.items()
        for number, at in enumerate(range(0, len(chosen), samples_per_shard))
    ]
    with _kept_folder(out, shards) as folder:
        made = _make_shards(folder, shards, workers, progress)
        index = {
            "version": INDEX_VERSION,
            "kinds": made[0].kinds,
            "samples": {split: len(chosen) for split, chosen in splits.items()},
            "millimetres_per_texel": median(scale for one in made for scale in one.scales),
            "shards": [one.entry for one in made],
        }
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return Packed(out.resolve(), len(splits["train"]), len(splits["val"]))


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


@contextmanager
def _kept_folder(out: Path, shards: Sequence[_Shard]) -> Iterator[Path]:
    """A temporary folder to fill, renamed to ``out`` at the end; until then it stays.

    Raises:
        InputError: If ``out`` is there and not an empty folder.
        FailureError: If the disk refuses.
    """
    out = out.resolve()
    folder = partial_path(out)
    plan = hashlib.sha256(repr((__version__, torch.__version__, shards)).encode()).hexdigest()
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(
                f"{out}, which exists", "a new or empty folder", "remove it or name another"
            )
        if not (folder / _PLAN).is_file() or (folder / _PLAN).read_text() != plan:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / _PLAN).write_text(plan)
        yield folder
        for passing in (_PLAN, *(_record_name(shard) for shard in shards)):
            (folder / passing).unlink()
        if out.exists():
            out.rmdir()
        os.replace(folder, out)
    except OSError as error:
        raise disk_failure(out, error) from error


def _record_name(shard: _Shard) -> str:
    """A file that says what is in a shard, written when the shard is whole."""
    return f"{shard.name}.json"


def _make_shards(
    folder: Path,
    shards: Sequence[_Shard],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[_Made]:
    """Make the shards that an earlier run has not finished; all of them, by file name."""
    missing = [shard for shard in shards if not (folder / _record_name(shard)).is_file()]
    total = sum(len(shard.patches) for shard in shards)
    done = total - sum(len(shard.patches) for shard in missing)
    with closing(_samples([one for shard in missing for one in shard.patches], workers)) as samples:
        for shard in missing:
            kinds: set[str] = set()
            scales: list[float] = []
            with ExitStack() as stack:
                writer = open_shard(folder / shard.name, stack)
                for sample in islice(samples, len(shard.patches)):
                    writer.write(sample.members)
                    kinds |= sample.kinds
                    scales.append(sample.millimetres_per_texel)
                    done += 1
                    if progress is not None:
                        progress(done, total)
            entry = describe_shard(folder / shard.name, shard.split, len(scales))
            made = _Made(entry, sorted(kinds), scales)
            with whole_file(folder / _record_name(shard)) as file:
                file.write_text(json.dumps(asdict(made)))
    records = [(folder / _record_name(shard)).read_text() for shard in shards]
    return [_Made(**json.loads(record)) for record in records]


def _samples(wanted: Sequence[_Wanted], workers: int) -> Generator[_Sample, None, None]:
    """The patches in order, made a few ahead."""
    if workers == 1 or not wanted:
        yield from map(_make_sample, wanted)
        return
    # Spawned, not forked: forking a process that holds threads can lock up.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(wanted)), context, _start_worker)
    try:
        ahead: deque[Future[_Sample]] = deque()
        for one in wanted:
            ahead.append(pool.submit(_make_sample, one))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits


def _make_sample(wanted: _Wanted) -> _Sample:
    seed, window, width = wanted.seed, wanted.window, wanted.map_size[1]
    maps = ProceduralSubject(seed).maps(*wanted.map_size, window)
    maps = apply_flaws(maps, wanted.flaws, [seed], windows=[window], map_width=width)
    placed = placements([seed])
    x, y, z = placed.centres[0].tolist()
    maps["shape"] = maps["shape"] - placed.centres[0][:, None, None]
    scale = placed.stretch[0].item() * CHART_WIDTH / width
    patch = Patch(
        key=patch_key(seed, window),
        subject=subject_name(seed),
        y=window[0],
        x=window[1],
        map_size=wanted.map_size,
        millimetres_per_texel=scale,
        centre=(x, y, z),
        bits={kind: _BITS.get(kind, 16) for kind in maps},
        maps=maps,
    )
    return _Sample(write_patch(patch), frozenset(maps), scale)
