"""Plans of shards to a folder of shards: on all cores, the same bytes whatever their number.

A task is a shard. A shard is written under a temporary name and renamed when it is whole, with a
record beside it; a run that breaks off at any moment leaves whole shards behind in the unfinished
folder, and the same plans go on from there.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from realface import __version__
from realface.data.index import (
    INDEX_NAME,
    TABLE_NAME,
    Index,
    Terms,
    index_text,
    table_hash,
    table_text,
)
from realface.data.packing.statistics import Statistics, measure, merge
from realface.data.packing.tar import TarWriter
from realface.data.packing.unfinished import Made, Unfinished
from realface.data.samples import ABOUT, VERSION, Patch, write_patch
from realface.data.workers import Step, run_tasks
from realface.errors import FailureError, InputError
from realface.maps.kinds import KINDS

Make = Callable[[Sequence[Any]], Iterator[Patch]]

_FEWEST, _MOST = 8, 64  # samples of a shard
_CORES = 16  # that shall have work
_PATCHES = ("train", "val")  # whose texels are those of full maps


@dataclass(frozen=True)
class ShardPlan:
    """A shard before it is made.

    Attributes:
        split: One of `realface.data.index.SPLITS`.
        number: Of the shard in its split.
        items: One for each sample, in their order: plain data whose ``repr`` tells all of it.
    """

    split: str
    number: int
    items: tuple[Any, ...]

    @property
    def file(self) -> str:
        """Name of the tar."""
        return f"{self.split}-{self.number:06d}.tar"


def plan_shards(
    split: str, items: Sequence[Any], samples_per_shard: int | None = None
) -> list[ShardPlan]:
    """Items dealt out to shards in their order, ``samples_per_shard`` to each but the last.

    A shard is what one process makes: by default a small set has small ones, of 8 samples or more,
    so that 16 cores have work; 64 from a thousand on. The number of cores here makes no difference.
    """
    each = samples_per_shard or min(max(_FEWEST, -(-len(items) // _CORES)), _MOST)
    starts = range(0, len(items), each)
    return [
        ShardPlan(split, number, tuple(items[at : at + each])) for number, at in enumerate(starts)
    ]


def write_shards(
    out: Path,
    plans: Sequence[ShardPlan],
    make: Make,
    *,
    codec: str,
    workers: int,
    terms: Sequence[Terms],
    fingerprint: str,
    progress: Callable[[int, int], None] | None = None,
) -> Index:
    """Make the shards of a folder, or those that an earlier run has not finished.

    The same arguments give the same bytes, however many processes make them; ``out`` is either
    whole or absent. What is unfinished lies in ``.OUT.partial`` beside it.

    Args:
        out: New folder for the shards.
        plans: In the order of the table; a file only once.
        make: From the items of one plan to their patches, one for each, in their order, lazily.
            With more than one worker it is pickled: a function of a module or a partial of one.
        codec: Of the maps, a name of `realface.data.codecs.CODECS`.
        workers: Processes that make shards; 1: this one.
        terms: For the index.
        fingerprint: Of everything else that the bytes depend on: sources and arguments. Shards of
            an earlier run are kept if it, the plans and the codec are the same.
        progress: Called with (samples written, samples in all).

    Returns:
        The index that was written.

    Raises:
        InputError: If ``out`` is in the way or made by another process now, samples differ in
            their kinds, two of a split share a key, or a key or kind cannot be a name; and what
            ``make`` raises.
        FailureError: If the disk refuses, memory runs out or a worker process is killed.
    """
    out = out.resolve()
    check_out(out)
    work = Unfinished(out, _fingerprint(plans, codec, fingerprint))
    try:
        with work.held():
            work.begin()
            _make_shards(work, plans, partial(_make_shard, make, codec, work), workers, progress)
            index = _gather(work, plans, codec, terms)
            if out.exists():
                out.rmdir()
            os.replace(work.shards, out)
        work.remove()  # when the lock is free: Windows removes no open file
    except OSError as error:
        raise _disk_failure(out, error) from error
    return index


def _fingerprint(plans: Sequence[ShardPlan], codec: str, fingerprint: str) -> str:
    facts = (__version__, torch.__version__, VERSION, codec, fingerprint, tuple(plans))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def check_out(out: Path) -> None:
    """Refuse a folder that shards cannot be written to.

    Raises:
        InputError: If it is there and not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}, which exists", "a new or empty folder", "name another folder")


def _make_shards(
    work: Unfinished,
    plans: Sequence[ShardPlan],
    make_shard: Callable[[ShardPlan, Step], None],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    missing = [plan for plan in plans if work.made(plan.file) is None]
    total = sum(len(plan.items) for plan in plans)
    done = told = total - sum(len(plan.items) for plan in missing)

    def tell(steps: int) -> None:
        nonlocal told
        if progress is not None and done + steps > told:
            told = done + steps
            progress(told, total)

    run_tasks(make_shard, missing, workers, tell)


def _make_shard(make: Make, codec: str, work: Unfinished, plan: ShardPlan, step: Step) -> None:
    path = work.shards / plan.file
    try:
        with work.whole(path) as part, part.open("wb") as file:
            made = _write_shard(TarWriter(file, plan.file), plan, make(plan.items), codec, step)
            file.flush()
            os.fsync(file.fileno())  # the record must not outlive the shard
        work.keep(made)
    except OSError as error:
        raise _disk_failure(path, error) from error


def _write_shard(
    writer: TarWriter, plan: ShardPlan, patches: Iterator[Patch], codec: str, step: Step
) -> Made:
    maps: dict[str, dict[str, Any]] = {}
    statistics: dict[str, Statistics] = {}
    scales = []
    for patch in patches:
        members = write_patch(patch, codec)
        _add_meaning(maps, patch, members)
        writer.write(patch.key, patch.subject, members)
        if plan.split in _PATCHES and patch.millimetres_per_texel is not None:
            scales.append(patch.millimetres_per_texel)
        if plan.split == "train":
            statistics = merge((statistics, measure(patch.maps)))
        step()
    if len(writer.entries) != len(plan.items):
        raise RuntimeError(f"{plan.file}: {len(writer.entries)} patches of {len(plan.items)} items")
    return Made(
        shard=writer.finish(plan.split),
        keys=tuple(entry.key for entry in writer.entries),
        table=table_text(writer.entries),
        maps=maps,
        scales=tuple(scales),
        statistics=statistics,
    )


def _add_meaning(maps: dict[str, dict[str, Any]], patch: Patch, members: dict[str, bytes]) -> None:
    """Add to ``maps`` what a sample's json says of its maps."""
    if maps and maps.keys() != patch.maps.keys():
        raise _different_kinds(patch.key, patch.maps.keys() ^ maps.keys())
    for kind, record in json.loads(members[ABOUT])["maps"].items():
        meaning = {name: record[name] for name in ("encoding", "space", "green")}
        about = maps.setdefault(kind, {**meaning, "bits": []})
        about["bits"] = sorted({*about["bits"], record["bits"]})


def _different_kinds(where: str, kinds: Iterable[str]) -> InputError:
    return InputError(
        f"{where}, which differs from the samples before it in {', '.join(sorted(kinds))}",
        "the same kinds of map in every sample, since they are batched together",
        "complete these maps, or leave them out of the others",
    )


def _gather(
    work: Unfinished, plans: Sequence[ShardPlan], codec: str, terms: Sequence[Terms]
) -> Index:
    """Write the table and the index of shards that are all whole."""
    made = [_require(work.made(plan.file)) for plan in plans]
    maps = _all_maps(made)
    _require_unique_keys(made)
    scales = [scale for one in made for scale in one.scales]
    table = "".join(one.table for one in made)
    statistics = merge(one.statistics for one in made)
    index = Index(
        kinds=tuple(maps),
        codec=codec,
        maps=maps,
        statistics={kind: statistics[kind].summary() for kind in maps if kind in statistics},
        millimetres_per_texel=median(scales) if scales else None,
        terms=tuple(terms),
        shards=tuple(one.shard for one in made),
        table_sha256=table_hash(table),
    )
    work.write(work.shards / TABLE_NAME, table)
    work.write(work.shards / INDEX_NAME, index_text(index))
    return index


def _all_maps(made: Sequence[Made]) -> dict[str, dict[str, Any]]:
    """What the maps of all shards mean, in the order of `KINDS`."""
    kinds = made[0].maps.keys()
    for one in made:
        if one.maps.keys() != kinds:
            raise _different_kinds(one.shard.file, one.maps.keys() ^ kinds)
    return {
        kind: {
            **made[0].maps[kind],
            "bits": sorted({bits for one in made for bits in one.maps[kind]["bits"]}),
        }
        for kind in KINDS
        if kind in kinds
    }


def _require_unique_keys(made: Sequence[Made]) -> None:
    counts = Counter((one.shard.split, key) for one in made for key in one.keys)
    twice = [f"{key} in {split}" for (split, key), count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"{len(twice)} keys that occur twice: {', '.join(twice[:5])}",
            "a name of its own for every sample of a split",
            "rename the files or subjects that they come from",
        )


def _require(made: Made | None) -> Made:
    if made is None:
        raise RuntimeError("a shard that was whole is gone")
    return made


def _disk_failure(path: Path, error: OSError) -> FailureError:
    return FailureError(
        f"making {path} failed: {error}",
        "a writable folder with room for the shards",
        "free some space and run the same command again: it goes on from the shards that are whole",
    )
