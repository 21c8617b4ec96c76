"""Seconds of a training step, ours and pix2pixHD's, on the same batch.

    python benchmarks/training.py [--config configs/specular_normals.yaml] [--crop 512]
        [--batch 1] [--steps 3] [--rounds 3] [--precision 32-true] [--set NAME=VALUE ...]

Ours is the translator of the config as Lightning drives it: a step lasts from the batch on its
device to the end of the module's step, logging included. Its peer is the step of `pix2pixhd.py`,
networks of the same size on the same assembled input and truth, called bare. They take turns
within one run, ``--steps`` steps each; the first steps of each (compilation) are left out, and
medians printed. The peer computes in float32, as released; in another precision a second peer,
cast alike, joins.

Work is counted on an eager step (FlopCounterMode: convolutions and matrix products, 2 for each
multiplication with its addition) and divided by the median; on cards that are known also as a
share of the dense peak of their matrix units, as NVIDIA states it.
"""

import argparse
import importlib
import inspect
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pix2pixhd import Pix2PixHD, Sizes
from shading import patches
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from realface.shading.subsurface import texel_size
from realface.translators.base import Translator

_PEAKS = {  # dense FLOP/s: bfloat16, and float32 convolutions with and without TF32
    "H100 80GB HBM3": (989e12, 495e12, 67e12),
    "H200": (989e12, 495e12, 67e12),
    "A100": (312e12, 156e12, 19.5e12),
    "L40S": (362e12, 183e12, 91.6e12),
    "RTX 4090": (165e12, 82.6e12, 82.6e12),
}
_CASTS = {"32-true": None, "bf16-mixed": torch.bfloat16}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/specular_normals.yaml"))
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=3, help="steps of each before, at least 1")
    parser.add_argument("--precision", choices=list(_CASTS), default="32-true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes")
    given = parser.parse_args()
    model = yaml.safe_load(given.config.read_text())["model"]
    changes = (change.partition("=") for change in given.changes)
    arguments = model["init_args"] | {name: yaml.safe_load(value) for name, _, value in changes}
    module, _, name = model["class_path"].rpartition(".")
    torch.manual_seed(0)
    translator: Translator = getattr(importlib.import_module(module), name)(**arguments)
    if translator.generator_name != "local" or translator.discriminator is None:
        parser.error("the peer has a local generator and a discriminator; this config has not")
    turns = Turns(arguments, given.steps, max(1, given.warm_up), given.precision)
    trainer = pl.Trainer(
        max_epochs=1,
        precision=given.precision,
        devices=1,
        callbacks=[turns],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        translator, Batches(given.batch, given.crop, turns.warm_up + given.steps * given.rounds)
    )
    print_table(
        turns.sides, f"{given.config.name}, batch {given.batch} of {given.crop}", given.batch
    )


class Batches(pl.LightningDataModule):
    """One batch of procedural patches, again and again."""

    def __init__(self, batch: int, crop: int, steps: int) -> None:
        super().__init__()
        maps = patches(batch, crop, torch.device("cpu"))
        self.crop, self.millimetres_per_texel = crop, float(texel_size(maps["shape"]).mean())
        self.batches = [{"key": ["patch"] * batch, **maps}] * steps

    def train_dataloader(self) -> DataLoader:
        """Without workers: from memory."""
        return DataLoader(self.batches, batch_size=None)


@dataclass
class Side:
    """One of those compared, and what was measured of it; memory in bytes, of the card."""

    name: str
    precision: str
    seconds: list[float] = field(default_factory=list)
    work: int = 0
    resident: int = 0
    peak: int = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the work of an eager step [FLOP]."""
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            yield
        self.work = counter.get_total_flops()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the duration of a step, and its peak as if this side were alone."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        others, start = _allocated() - self.resident, time.perf_counter()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self.peak = max(self.peak, torch.cuda.max_memory_allocated() - others)
        self.seconds.append(time.perf_counter() - start)


class Turns(pl.Callback):
    """Times the trainer's steps, and before each round of them as many steps of each peer.

    Args:
        arguments: The translator's, which say how large its networks are.
        steps: Of each side in a round.
        warm_up: Of each side before the rounds.
        precision: Of ours, as Lightning calls it.
    """

    def __init__(self, arguments: dict[str, Any], steps: int, warm_up: int, precision: str) -> None:
        self.arguments, self.steps, self.warm_up = arguments, steps, warm_up
        self.sides = [Side("ours", precision)]
        self.sides += [Side("pix2pixHD", cast) for cast in dict.fromkeys(("32-true", precision))]
        self.running = ExitStack()

    def on_train_batch_start(
        self, trainer: pl.Trainer, translator: Translator, batch: Any, number: int
    ) -> None:
        """The peers' turn, where it is; then ours starts."""
        ours = self.sides[0]
        if number == self.warm_up:
            ours.resident = _allocated()
            self._make_peers(translator, batch)
        if number >= self.warm_up and (number - self.warm_up) % self.steps == 0:
            self._run_peers()
        if number == 0:
            self.running.enter_context(ours.counted())
        elif number >= self.warm_up:
            self.running.enter_context(ours.timed())

    def on_train_batch_end(self, *_: Any) -> None:
        """Ours has run."""
        self.running.close()

    def _make_peers(self, translator: Translator, batch: dict[str, Any]) -> None:
        with torch.no_grad():
            maps, about = translator.prepare(batch, None), translator.interface
            frame = about.frame(maps)
            self.inputs = about.read(maps, frame)
            self.truth = about.join(about.relative(maps, frame))
        self.peers = []
        for side in self.sides[1:]:
            before = _allocated()
            sizes = _sizes(self.arguments, self.inputs, self.truth)
            peer = Pix2PixHD(sizes, dtype=_CASTS[side.precision]).to(translator.device)
            with side.counted():
                peer.step(self.inputs, self.truth)
            for _ in range(self.warm_up - 1):
                peer.step(self.inputs, self.truth)
            side.resident = _allocated() - before
            self.peers.append(peer)

    def _run_peers(self) -> None:
        for side, peer in zip(self.sides[1:], self.peers, strict=True):
            for _ in range(self.steps):
                with side.timed():
                    peer.step(self.inputs, self.truth)


def print_table(sides: Sequence[Side], what: str, batch: int) -> None:
    """One row for each side, ours first."""
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"CPU {platform.machine()}"
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; {what}")
    heads = ["step", "precision", "median s", "times ours", "images/s", "TFLOP", "TFLOP/s"]
    heads += ["of peak", "GiB"] if cuda else []
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    first = statistics.median(sides[0].seconds)
    for side in sides:
        median = statistics.median(side.seconds)
        row = f"| {side.name} | {side.precision} | {median:.3f} | {median / first:.2f} "
        row += (
            f"| {batch / median:.3g} | {side.work / 1e12:.2f} | {side.work / median / 1e12:.3g} |"
        )
        if cuda:
            row += f" {_share(side, median, device)} | {side.peak / 2**30:.1f} |"
        print(row)


def _share(side: Side, median: float, device: str) -> str:
    """Of the dense peak of the card's matrix units."""
    for card, (half, tf32, full) in _PEAKS.items():
        if card in device and "NVL" not in device:
            single = tf32 if torch.backends.cudnn.allow_tf32 else full
            peak = single if _CASTS[side.precision] is None else half
            return f"{100 * side.work / median / peak:.0f} %"
    return "-"


def _sizes(arguments: dict[str, Any], inputs: Tensor, truth: Tensor) -> Sizes:
    """The peer's, as the translator's arguments have them."""
    known = inspect.signature(Translator).parameters.items()
    arguments = {name: parameter.default for name, parameter in known} | arguments
    named = {name: arguments[name] for name in Sizes._fields if name in arguments}
    return Sizes(**{"in_channels": inputs.shape[1], "out_channels": truth.shape[1]} | named)


def _allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


if __name__ == "__main__":
    main()
