"""Training samples a second out of shards, beside the plain way: a PNG per map and a Dataset.

    python benchmarks/loading.py [--patches 16] [--workers 2] [--batches 1 4] [--rounds 5]
    python benchmarks/loading.py --wait configs/diffuse_albedo.yaml [--steps 4] [--workers 1]

Both ways read the same seven maps of 512x512 windows of procedural 6144x4096 subjects and give the
same float32 maps ``(B, C, H, W)``, normals at unit length, positions in millimetres; that they are
the same is checked first. The plain way reads 8-bit files with PIL and 16-bit ones, which PIL
loses, with OpenCV. Ways take turns, from the page cache; an epoch's first batch, while the workers
start, is left out, and the median of the rounds is printed.

``--wait`` trains a config as it stands and prints the share of a step that it waits for its batch:
from the end of a step to the start of the next, the loader, the copy and `to_maps` together. Before
it, the processor's time that a worker takes for a sample, varied as by default and handed over, and
how many workers a faster machine's step needs.
"""

import argparse
import gc
import json
import logging
import math
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from realface import translators
from realface.data.codecs import CODECS
from realface.data.datamodule import ReflectanceDataModule
from realface.data.packing.writing import plan_shards, write_shards
from realface.data.procedural import draw_batch, make_batch
from realface.data.samples import Patch
from realface.data.transforms import to_maps
from realface.maps.encoding import unit
from realface.maps.io import decode, encode, tight_range
from realface.maps.kinds import KINDS
from realface.maps.record import Range, default_record

_PATCH = 512
_WIDTH = 6144
_BUSY = 0.8  # share of its time that a worker may work, or the slowest sample makes a step wait
_MAPS = (
    "diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape_normals",
    "shape", "mask",
)  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=16, help="different ones")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], metavar="SIZE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epoch", type=int, default=96, help="samples in a round")
    parser.add_argument("--wait", type=Path, help="config of a training run")
    parser.add_argument("--steps", type=int, default=4, help="of that run")
    parser.add_argument("--step-ms", type=float, default=60.0, help="of a faster machine")
    parser.add_argument("--step-batch", type=int, default=8, help="its batch")
    given = parser.parse_args()
    torch.set_num_threads(1)  # workers have one too; to_maps is all that this process computes
    cores = os.cpu_count()
    print(f"{platform.processor() or platform.machine()}, {cores} cores, torch {torch.__version__}")
    print(f"{given.workers} workers, {len(_MAPS)} maps of {_PATCH}x{_PATCH}\n")
    with tempfile.TemporaryDirectory() as folder:
        for bits in (8, 16):
            ways = write_ways(Path(folder) / str(bits), given.patches, bits)
            if given.wait:
                print_cost(ways, bits, given.step_ms, given.step_batch)
            else:
                check_same(ways, given.patches)
                for size in given.batches:
                    print_speeds(
                        ways, given.patches, bits, size, given.workers, given.epoch, given.rounds
                    )
        if given.wait:
            torch.set_num_threads(cores or 1)
            print_wait(given.wait, ways["png"], given.steps, given.workers)


# Data


def write_ways(folder: Path, count: int, bits: int) -> dict[str, Path]:
    """The same patches as plain files and as shards of every codec; folders by way."""
    folder.mkdir()
    patches = [make_patch(number, bits) for number in range(count)]
    torch.save([vars(patch) for patch in patches], folder / "patches.pt")
    ways = {"plain": folder / "plain"}
    write_plain(ways["plain"], patches)
    make = partial(read_patches, folder / "patches.pt")
    for codec in CODECS:
        ways[codec] = folder / codec
        plans = plan_shards("train", range(count), 64)
        write_shards(
            ways[codec], plans, make, codec=codec, workers=1, terms=(), fingerprint="benchmark"
        )
    return ways


def make_patch(number: int, bits: int) -> Patch:
    """A window of a procedural subject, as a source of so many bits holds it."""
    draw = draw_batch(f"patch {number}", range(1000), 1, _PATCH, (_WIDTH, _WIDTH), 0.5)
    batch = make_batch(draw, "cpu")
    depths = {kind: 8 if kind == "mask" else bits for kind in _MAPS}
    return Patch(
        key=f"{number:04d}", subject=None, y=None, x=None, map_size=None,
        millimetres_per_texel=0.05, centre=(0.0, 0.0, 0.0), bits=depths,
        maps={kind: quantised(kind, batch[kind][0], depths[kind])[2] for kind in _MAPS},
    )  # fmt: skip


def quantised(kind: str, values: Tensor, bits: int) -> tuple[np.ndarray, Range | None, Tensor]:
    """What is stored of a map, the range of positions, and the map that this stands for."""
    record = default_record(kind, f"{kind}.png", *values.shape[1:], bits)
    if KINDS[kind].encoding == "position":
        record = replace(record, range=tight_range(values))
    pixels = encode(values, KINDS[kind], record, np.dtype(f"u{bits // 8}"))
    return pixels, record.range, decode(pixels, KINDS[kind], record)


def write_plain(folder: Path, patches: Sequence[Patch]) -> None:
    """A PNG per map, and what it takes to read positions."""
    ranges = {}
    for patch in patches:
        for kind, values in patch.maps.items():
            pixels, found, _ = quantised(kind, values, patch.bits[kind])
            path = folder / kind / f"{patch.key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if pixels.dtype == np.uint8:
                Image.fromarray(pixels.squeeze()).save(path)
            else:
                cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1]))
            if kind == "shape":
                ranges[patch.key] = (found.scale, found.offset)
    about = {"ranges": ranges, "bits": {kind: patches[0].bits[kind] for kind in _MAPS}}
    (folder / "about.json").write_text(json.dumps(about))


def read_patches(file: Path, numbers: Sequence[int]) -> Iterator[Patch]:
    patches = torch.load(file)
    for number in numbers:
        yield Patch(**patches[number])


# The plain way


class PlainPatches(Dataset):
    """Patches as one writes it without thinking about it, and with no mistake."""

    def __init__(self, folder: Path, crop: int, samples: int) -> None:
        about = json.loads((folder / "about.json").read_text())
        self.folder, self.crop, self.samples = folder, crop, samples
        self.ranges, self.bits = about["ranges"], about["bits"]
        self.keys = sorted(self.ranges)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, number: int) -> dict[str, Any]:
        key = self.keys[number % len(self.keys)]
        sample = {kind: self._read(kind, key) for kind in _MAPS}
        height, width = sample["mask"].shape[-2:]
        y, x = random.randint(0, height - self.crop), random.randint(0, width - self.crop)
        window = (..., slice(y, y + self.crop), slice(x, x + self.crop))
        return {"key": key, **{kind: values[window] for kind, values in sample.items()}}

    def _read(self, kind: str, key: str) -> Tensor:
        path = self.folder / kind / f"{key}.png"
        if self.bits[kind] == 8:
            pixels = np.array(Image.open(path))
        else:
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels
        top = np.iinfo(pixels.dtype).max
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        values = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C")) / top
        if kind == "shape":
            scale, offset = self.ranges[key]
            return values * scale + torch.tensor(offset).view(3, 1, 1)
        return unit(values * 2 - 1) if KINDS[kind].encoding == "unit_vector" else values


# Speed


def print_speeds(
    ways: dict[str, Path],
    count: int,
    bits: int,
    size: int,
    workers: int,
    epoch: int,
    rounds: int,
) -> None:
    """A table: every way's samples a second."""
    loaders = {way: loader(way, folder, size, workers, epoch) for way, folder in ways.items()}
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, one in loaders.items():
            speeds[way].append(samples_a_second(one, size))
    plain = statistics.median(speeds["plain"])
    print(f"{bits} bits, batch {size}\n| way | samples/s | MB a sample | times the plain way |")
    print("|---|---|---|---|")
    for way, folder in ways.items():
        median = statistics.median(speeds[way])
        print(f"| {way} | {median:.1f} | {megabytes(folder, count):.2f} | {median / plain:.2f} |")
    print(flush=True)


def loader(way: str, folder: Path, size: int, workers: int, epoch: int) -> Any:
    if way == "plain":
        data = PlainPatches(folder, _PATCH, epoch)
        kept = workers > 0
        return DataLoader(data, size, shuffle=True, num_workers=workers, persistent_workers=kept)
    return module(folder, size, workers, epoch).train_dataloader()


def module(folder: Path, size: int, workers: int, epoch: int) -> ReflectanceDataModule:
    """Our loader, which varies nothing."""
    data = ReflectanceDataModule(
        str(folder), batch_size=size, crop=_PATCH, samples_per_epoch=epoch, workers=workers,
        mirror_probability=0.0, tone_probability=0.0,
    )  # fmt: skip
    data.setup("fit")
    return data


def samples_a_second(batches: Any, size: int) -> float:
    """Of an epoch from its second batch on, in the process that trains."""
    start, count = 0.0, -size
    for batch in batches:
        as_maps(batch)
        start = start or time.perf_counter()
        count += size
    return count / (time.perf_counter() - start)


def as_maps(batch: dict[str, Any]) -> dict[str, Any]:
    """The plain way's batches are maps already."""
    is_stored = batch["mask"].dtype == torch.uint8
    return to_maps(batch) if is_stored else batch


def check_same(ways: dict[str, Path], count: int) -> None:
    """Refuse to compare ways that do not give the same."""
    data = PlainPatches(ways["plain"], _PATCH, count)
    plain = {sample["key"]: sample for sample in (data[number] for number in range(count))}
    for way in CODECS:
        for batch in module(ways[way], 1, 0, count).train_dataloader():
            maps = to_maps(batch)
            for kind in _MAPS:
                # Positions are stored with 16 bits of their range, some 30 mm.
                near = 2e-3 if kind == "shape" else 1e-6
                torch.testing.assert_close(
                    maps[kind][0], plain[batch["key"][0]][kind], atol=near, rtol=0
                )


def megabytes(folder: Path, count: int) -> float:
    """On disk, a sample."""
    files = (path for path in folder.rglob("*") if path.suffix in (".png", ".tar"))
    return sum(path.stat().st_size for path in files) / count / 1e6


# Waiting


class _Clock(pl.Callback):
    """Notes when steps begin and end."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.steps: list[float] = []
        self._begun = self._ended = math.nan

    def on_train_batch_start(self, *_: Any) -> None:
        self._begun = _now()
        self.waits.append(self._begun - self._ended)

    def on_train_batch_end(self, *_: Any) -> None:
        self._ended = _now()
        self.steps.append(self._ended - self._begun)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def print_wait(config: Path, shards: Path, steps: int, workers: int) -> None:
    """The share of a training step that waits for its batch."""
    given = yaml.safe_load(config.read_text())
    model = getattr(translators, given["model"]["class_path"].rpartition(".")[2])
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    clock, size = _Clock(), given["data"]["batch_size"]
    data = {**given["data"], "shards": str(shards), "workers": workers}
    data["samples_per_epoch"] = (steps + 2) * size
    trainer = pl.Trainer(
        max_epochs=1, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="auto", devices=1,
        callbacks=[clock],
    )  # fmt: skip
    trainer.fit(model(**given["model"]["init_args"]), datamodule=ReflectanceDataModule(**data))
    wait, step = statistics.median(clock.waits[2:]), statistics.median(clock.steps[2:])
    where = trainer.strategy.root_device
    print(f"{config.name}, batch {size}, {workers} workers, 16-bit PNG, {where}")
    print(f"a step takes {1e3 * step:.0f} ms and waits {1e3 * wait:.1f} ms for its batch:", end=" ")
    print(f"{100 * wait / (wait + step):.2f} % of the time")


def print_cost(ways: dict[str, Path], bits: int, step_ms: float, batch: int) -> None:
    """A worker's time for a sample as training varies it, and what that makes in workers."""
    print(f"{bits} bits: workers for a batch of {batch} every {step_ms:.0f} ms")
    print("| codec | processor ms a sample | workers |\n|---|---|---|")
    for codec in CODECS:
        few, many = (worker_seconds(ways[codec], batch, batch * steps) for steps in (1, 9))
        cost = 1e3 * (many - few) / (8 * batch)
        workers = math.ceil(cost * batch / (_BUSY * step_ms))
        print(f"| {codec} | {cost:.1f} | {workers} |", flush=True)
    print()


def worker_seconds(folder: Path, batch: int, samples: int) -> float:
    """Of a processor that one worker takes to start, and to read, vary and hand over samples."""
    before = os.times()
    data = ReflectanceDataModule(
        str(folder), batch_size=batch, samples_per_epoch=samples, workers=1
    )
    data.setup("fit")
    batches = data.train_dataloader()
    for _ in batches:
        pass
    del batches  # ends the worker, which is counted from then on
    gc.collect()
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


if __name__ == "__main__":
    main()
