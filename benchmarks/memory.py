"""Peak memory of training, for each config alone and under an overlay.

    python benchmarks/memory.py [--config configs/paper/joint.yaml ...]
        [--overlay configs/small_gpu.yaml] [--batch 1] [--crop 512] [--steps 2]

On a GPU: what torch's allocator held at most (`torch.cuda.max_memory_allocated`). Elsewhere the
bytes of all tensors that live at once are counted, operation by operation, with the config's
precision; the workspaces of kernels, which a GPU's convolutions have too, are not in it: allow for
half a GiB, and as much again for the CUDA context. The batch comes from memory; validation is left
out, which keeps no activations.

The peer is the same training without the overlay; pix2pixHD's README asks for 24 GB at 2048x1024.
"""

import argparse
import importlib
import weakref
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from shading import patches
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from realface.maps.kinds import REFLECTANCE
from realface.translators.base import Translator

_ALL = [f"configs/paper/{name}.yaml" for name in (*REFLECTANCE, "joint")]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, nargs="+", default=[Path(one) for one in _ALL])
    parser.add_argument("--overlay", type=Path, default=Path("configs/small_gpu.yaml"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2, help="the second has Adam's moments")
    given = parser.parse_args()
    overlay = yaml.safe_load(given.overlay.read_text())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = {"key": ["a"] * given.batch, **patches(given.batch, given.crop, device)}
    print(f"{device.type}, batch {given.batch} of {given.crop}x{given.crop}, GiB")
    print(f"| config | weights, gradients, moments | peak | with {given.overlay.name} |")
    print("|---|---|---|---|", flush=True)
    for path in given.config:
        config = yaml.safe_load(path.read_text())
        held, alone = peak(config, batch, given.steps)
        _, under = peak(merged(config, overlay), batch, given.steps)
        print(f"| {path.stem} | {held:.2f} | {alone:.2f} | {under:.2f} |", flush=True)


def merged(config: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """A config with another one laid over it, as `train.py --config A --config B` does."""
    return {
        **config,
        **{
            name: merged(config.get(name, {}), value) if isinstance(value, dict) else value
            for name, value in overlay.items()
        },
    }


def peak(config: dict[str, Any], batch: dict[str, Any], steps: int) -> tuple[float, float]:
    """Of some training steps: what the weights need, and the most that lived at once [GiB]."""
    module, _, name = config["model"]["class_path"].rpartition(".")
    # Batches in memory do not say their scale, which tangent space's frame asks for.
    arguments = {**config["model"]["init_args"], "space": "object"}
    translator: Translator = getattr(importlib.import_module(module), name)(**arguments)
    weights = sum(weight.nbytes for weight in translator.parameters())
    precision = config["trainer"]["precision"]
    trainer = pl.Trainer(
        max_epochs=1, precision=precision, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    batches = DataLoader([batch] * steps, batch_size=None)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        trainer.fit(translator, batches)
        most = torch.cuda.max_memory_allocated()
    else:
        with Live(translator.parameters()) as live:
            trainer.fit(translator, batches)
        most = live.peak
    return 4 * weights / 2**30, most / 2**30


class Live(TorchDispatchMode):
    """Counts the bytes of tensors from each operation's result to the end of its storage.

    Args:
        there: Tensors that were there before.

    Attributes:
        peak: The most bytes at once.
    """

    def __init__(self, there: Any) -> None:
        super().__init__()
        self._now, self.peak = 0, 0
        self._known: set[int] = set()
        for tensor in there:
            self._add(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, torch.Tensor):
                self._add(one)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        mark = storage._cdata
        if mark in self._known:
            return
        self._known.add(mark)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._drop, mark, storage.nbytes())

    def _drop(self, mark: int, size: int) -> None:
        self._known.discard(mark)
        self._now -= size


if __name__ == "__main__":
    main()
