"""Makers for `test_writing`, and a run of its own that can be killed: OUT WORKERS."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from realface.data.index import Terms
from realface.data.packing.writing import ShardPlan, plan_shards, write_shards
from realface.data.samples import Patch
from realface.errors import InputError

TERMS = (Terms("tests", "CC0-1.0", None),)


def patch(number: int, **changes) -> Patch:
    """A small patch that depends on its number alone."""
    generator = torch.Generator().manual_seed(number)
    maps = {
        "diffuse_albedo": torch.rand(3, 5, 6, generator=generator),
        "mask": (torch.rand(1, 5, 6, generator=generator) > 0.2).float(),
    }
    fields = {
        "key": f"{number:04d}", "subject": f"face-{number // 4}", "y": number, "x": 0,
        "map_size": (50, 60), "millimetres_per_texel": 1.0 + number, "centre": (0.0, 0.0, 0.0),
        "bits": dict.fromkeys(maps, 16), "maps": maps,
    }  # fmt: skip
    return Patch(**{**fields, **changes})


def quick(items: Sequence[int]) -> Iterator[Patch]:
    return map(patch, items)


def slow(seconds: float, items: Sequence[int]) -> Iterator[Patch]:
    for number in items:
        time.sleep(seconds)
        yield patch(number)


def dying(items: Sequence[int]) -> Iterator[Patch]:
    """As a system that runs out of memory kills it."""
    yield patch(items[0])
    os._exit(9)


def starved(items: Sequence[int]) -> Iterator[Patch]:
    yield patch(items[0])
    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")


def refusing(items: Sequence[int]) -> Iterator[Patch]:
    yield patch(items[0])
    raise InputError("face-7.png, which is no image", "an image", "copy it again")


def plans(count: int = 12, each: int = 3) -> list[ShardPlan]:
    """Training shards of most of the numbers, and validation shards of the last ones."""
    numbers = list(range(count))
    held = max(1, count // 4)
    train, val = numbers[:-held], numbers[-held:]
    return [*plan_shards("train", train, each), *plan_shards("val", val, each)]


LONG = [ShardPlan("train", 0, (0, 1, 2)), *plan_shards("val", range(600), 300)]
"""One shard that is whole soon, and two that take slow makers half a minute."""


def write(
    out, make=quick, planned=None, *, workers=1, codec="png", fingerprint="", progress=None, **sizes
):
    return write_shards(
        out, planned or plans(**sizes), make, codec=codec, workers=workers, terms=TERMS,
        fingerprint=fingerprint, progress=progress,
    )  # fmt: skip


if __name__ == "__main__":
    write(Path(sys.argv[1]), partial(slow, 0.1), LONG, workers=int(sys.argv[2]))
