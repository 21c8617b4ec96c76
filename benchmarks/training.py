"""Seconds of a training step, ours and pix2pixHD's, on the same batch.

    python benchmarks/training.py [--config configs/paper/specular_normals.yaml] [--crop 512]
        [--batch 1] [--steps 3] [--rounds 3] [--precision 32-true] [--set NAME=VALUE ...]

Ours is the translator of the config as Lightning drives it: a step lasts from the batch on its
device to the end of the module's step, logging included. Its peer is the step of `pix2pixhd.py`,
networks of the same size on the same assembled input and truth, called bare. Each runs in a process
of its own, since ours changes how its process keeps memory; they take turns, ``--steps`` steps
each, one computing while the others wait. The first steps of each (compilation) are left out, and
medians printed. The peer computes in float32, as released; in another precision a second peer,
cast alike, joins, and on a CPU one that keeps freed memory as ours does.

Work is counted on an eager step (FlopCounterMode: convolutions and matrix products, 2 for each
multiplication with its addition) and divided by the median; on cards that are known also as a
share of the dense peak of their matrix units, as NVIDIA states it. Memory is each process's own:
of the card, or the largest resident set.
"""

import argparse
import importlib
import inspect
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
import yaml
from pix2pixhd import Pix2PixHD, Sizes
from shading import patches
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from realface.host_memory import keep_freed_memory
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


class Peer(NamedTuple):
    """One of those that ours is compared with."""

    name: str
    precision: str
    keeps_memory: bool


class Measured(NamedTuple):
    """Of one side: FLOP of a step, bytes at most."""

    work: int
    peak: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/paper/specular_normals.yaml"))
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3, help="of each in a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=3, help="steps of each before, at least 1")
    parser.add_argument("--precision", choices=list(_CASTS), default="32-true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes")
    given = parser.parse_args()
    given.warm_up = max(1, given.warm_up)
    peers = [Peer("pix2pixHD", cast, False) for cast in dict.fromkeys(("32-true", given.precision))]
    if not torch.cuda.is_available():
        peers.append(Peer("pix2pixHD, memory kept", "32-true", True))
    ours = Side(run_ours, given)
    sizes, inputs, truth = ours.receive()
    sides = [ours, *(Side(run_peer, peer, given, sizes, inputs, truth) for peer in peers)]
    for _ in range(given.rounds):
        for side in sides:
            side.take_turn()
    names = [("ours", given.precision), *((peer.name, peer.precision) for peer in peers)]
    what = f"{given.config.name}, batch {given.batch} of {given.crop}"
    print_table(names, [side.seconds for side in sides], [side.end() for side in sides],
                what, given.batch)  # fmt: skip


class Side:
    """One of those compared, in a process of its own, ready for its turns.

    Args:
        run: Called there with the arguments and a connection: says when it is warm (None, after
            what else it has to say), answers each message with the seconds of its steps, and
            ``Measured`` after the last.
        *arguments: Pickled.
    """

    def __init__(self, run: Callable[..., None], *arguments: Any) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=run, args=(*arguments, theirs), daemon=True
        )
        process.start()
        theirs.close()
        self._said = []
        while (said := self._connection.recv()) is not None:
            self._said.append(said)
        self.seconds: list[float] = []

    def receive(self) -> Any:
        """What it said before it was warm."""
        return self._said.pop(0)

    def take_turn(self) -> None:
        """Let it run its steps."""
        self._connection.send(None)
        self.seconds += self._connection.recv()

    def end(self) -> Measured:
        """What else was measured."""
        return self._connection.recv()


def run_ours(given: argparse.Namespace, connection: Connection) -> None:
    """Train the config's translator, taking turns; says its sizes and batch first."""
    model = yaml.safe_load(given.config.read_text())["model"]
    changes = (change.partition("=") for change in given.changes)
    arguments = model["init_args"] | {name: yaml.safe_load(value) for name, _, value in changes}
    module, _, name = model["class_path"].rpartition(".")
    torch.manual_seed(0)
    translator: Translator = getattr(importlib.import_module(module), name)(**arguments)
    if translator.generator_name != "local" or translator.discriminator is None:
        sys.exit("the peer has a local generator and a discriminator; this config has not")
    trainer = pl.Trainer(
        max_epochs=1,
        precision=given.precision,
        devices=1,
        callbacks=[Turns(arguments, given, connection)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    steps = given.warm_up + given.steps * given.rounds
    trainer.fit(translator, Batches(given.batch, given.crop, steps))


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


class Turns(pl.Callback):
    """Times the trainer's steps, and waits for its turn before each few of them.

    Args:
        arguments: The translator's, which say how large its networks are.
        given: Of the command line.
        connection: To who gives turns.
    """

    def __init__(
        self, arguments: dict[str, Any], given: argparse.Namespace, connection: Connection
    ) -> None:
        self.arguments, self.given, self.connection = arguments, given, connection
        self.counter = FlopCounterMode(display=False)
        self.seconds: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, translator: Translator, batch: Any, number: int
    ) -> None:
        """Say the batch, or wait; then the clock starts."""
        after = number - self.given.warm_up
        if number == 0:
            self._say_batch(translator, batch)
            torch.compiler.set_stance("force_eager")
            self.counter.__enter__()
        elif number == 1:
            torch.compiler.set_stance("default")
        if after == 0:
            self.connection.send(None)
        if after >= 0 and after % self.given.steps == 0:
            self.connection.recv()
        self.started = _clock()

    def on_train_batch_end(
        self, trainer: pl.Trainer, translator: Translator, outputs: Any, batch: Any, number: int
    ) -> None:
        """The clock stops."""
        self.seconds.append(_clock() - self.started)
        after = number - self.given.warm_up + 1
        if number == 0:
            self.counter.__exit__(None, None, None)
        if after > 0 and after % self.given.steps == 0:
            self.connection.send(self.seconds[-self.given.steps :])

    def on_train_end(self, *_: Any) -> None:
        """Say what was measured."""
        self.connection.send(Measured(self.counter.get_total_flops(), _peak()))

    @torch.no_grad()
    def _say_batch(self, translator: Translator, batch: dict[str, Any]) -> None:
        maps, about = translator.prepare(batch, None), translator.interface
        frame = about.frame(maps)
        inputs, truth = about.read(maps, frame), about.join(about.relative(maps, frame))
        known = inspect.signature(Translator).parameters.items()
        arguments = {name: one.default for name, one in known} | self.arguments
        named = {name: arguments[name] for name in Sizes._fields if name in arguments}
        sizes = {"in_channels": inputs.shape[1], "out_channels": truth.shape[1]} | named
        self.connection.send((sizes, inputs.cpu().numpy(), truth.cpu().numpy()))


def run_peer(
    peer: Peer,
    given: argparse.Namespace,
    sizes: dict[str, int],
    inputs: Any,
    truth: Any,
    connection: Connection,
) -> None:
    """Run the peer's steps on the batch of ours, taking turns."""
    if peer.keeps_memory and not keep_freed_memory():
        sys.exit("this C library has no such setting")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = Pix2PixHD(Sizes(**sizes), dtype=_CASTS[peer.precision]).to(device)
    batch = torch.from_numpy(inputs).to(device), torch.from_numpy(truth).to(device)
    with FlopCounterMode(display=False) as counter:
        networks.step(*batch)
    for _ in range(given.warm_up - 1):
        networks.step(*batch)
    connection.send(None)
    for _ in range(given.rounds):
        connection.recv()
        seconds = []
        for _ in range(given.steps):
            started = _clock()
            networks.step(*batch)
            seconds.append(_clock() - started)
        connection.send(seconds)
    connection.send(Measured(counter.get_total_flops(), _peak()))


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def print_table(
    names: Sequence[tuple[str, str]],
    seconds: Sequence[Sequence[float]],
    measured: Sequence[Measured],
    what: str,
    batch: int,
) -> None:
    """One row for each side, ours first."""
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"CPU {platform.machine()}"
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; {what}")
    heads = ["step", "precision", "median s", "times ours", "images/s", "TFLOP", "TFLOP/s"]
    heads += ["of peak"] if cuda else []
    heads += ["GiB"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    first = statistics.median(seconds[0])
    for (name, precision), times, (work, peak) in zip(names, seconds, measured, strict=True):
        median = statistics.median(times)
        cells = [name, precision, f"{median:.3f}", f"{median / first:.2f}", f"{batch / median:.3g}"]
        cells += [f"{work / 1e12:.2f}", f"{work / median / 1e12:.3g}"]
        cells += [_share(precision, work / median, device)] if cuda else []
        print(f"| {' | '.join([*cells, f'{peak / 2**30:.1f}'])} |")


def _share(precision: str, rate: float, device: str) -> str:
    """Of the dense peak of the card's matrix units."""
    for card, (half, tf32, full) in _PEAKS.items():
        if card in device and "NVL" not in device:
            single = tf32 if torch.backends.cudnn.allow_tf32 else full
            return f"{100 * rate / (single if _CASTS[precision] is None else half):.0f} %"
    return "-"


if __name__ == "__main__":
    main()
