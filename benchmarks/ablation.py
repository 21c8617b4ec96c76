"""Which generator, norm, whole-face input and losses: equal short trainings, one table.

    realface synth SHARDS --patches 440 --subjects 110 --height 2048 --width 3072 --patch 192
    python benchmarks/ablation.py SHARDS [--translator diffuse_albedo] [--seconds 90 | --steps 300]
        [--crop 128] [--batch 4] [--only NAME ...] [--threads 1] [--output table.json]

Every variant sees the same samples in the same order under the same lights: they are drawn from the
step's number. All are small, and narrow enough for a CPU; ratios of their work are those of the
full sizes, not their quality. With ``--steps`` all see the same number of samples; with
``--seconds`` all train for the same wall-clock time. Quality is on held-out subjects, always the
same patches under the same lights: PSNR of an albedo and of it after the best gain, mean angle of
normals.

Tile mismatch (`realface.metrics.tile_mismatch`) is on a lit procedural subject of 512x768, windows
of 256 px that share 128, each network's own margin dropped: what its norm alone leaves.

Finished variants are kept in ``--output`` and not run again.
"""

import argparse
import json
import logging
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from realface import translators
from realface.data.datamodule import ReflectanceDataModule
from realface.metrics.gain import with_best_gain
from realface.metrics.measure import measure
from realface.metrics.tile_mismatch import tile_mismatch
from realface.synthetic import ProceduralSubject
from realface.translators.base import Translator

CLASSES = {
    "diffuse_albedo": translators.DiffuseAlbedo,
    "specular_albedo": translators.SpecularAlbedo,
    "diffuse_normals": translators.DiffuseNormals,
    "specular_normals": translators.SpecularNormals,
}
INPUTS = {
    "diffuse_albedo": ["texture", "depth"],
    "specular_albedo": ["diffuse_albedo"],
    "diffuse_normals": ["grey_albedo", "shape_normals"],
    "specular_normals": ["grey_albedo", "shape_normals"],
}

PIX2PIXHD = {
    "generator": "local", "base_channels": 8, "downsamples": 3, "blocks": 3, "local_blocks": 1,
    "norm": "instance", "upsampling": "transposed",
}  # fmt: skip
UNET = {"generator": "unet", "base_channels": 16, "downsamples": 4, "blocks": 2, "norm": "position"}
GAN = {
    "adversarial_weight": 1.0, "feature_matching_weight": 10.0, "discriminator_channels": 16,
    "discriminator_layers": 2,
}  # fmt: skip
NO_GAN = {"adversarial_weight": 0.0, "feature_matching_weight": 0.0}
PIXEL = {**NO_GAN, "reconstruction_weight": 10.0, "residual": True}
SLOPES = {**PIXEL, "gradient_weight": 10.0}
FINE = {**SLOPES, "rendering_weight": 5.0, "rendering_lights": 1}
SOME_GAN = {
    **FINE, **GAN, "adversarial_weight": 0.1, "feature_matching_weight": 1.0,
    "discriminator_norm": "spectral", "r1_weight": 1.0,
}  # fmt: skip

COMMON = {"learning_rate": 1e-3, "beta1": 0.9, "clip_gradient_norm": 1.0, "lighting": "varied"}


def variants(translator: str) -> dict[str, dict[str, Any]]:
    """By name what a variant has of its own."""
    found: dict[str, dict[str, Any]] = {
        "paper: pix2pixHD, instance norm, GAN + FM": {**PIX2PIXHD, **GAN, "learning_rate": 3e-4},
        "the same, pixel losses": {**PIX2PIXHD, **SLOPES},
        "the same, no norm": {**PIX2PIXHD, "norm": "none", "upsampling": "resize", **SLOPES},
        "unet, instance norm": {**UNET, "norm": "instance", **SLOPES},
        "unet, batch renorm": {**UNET, "norm": "batch_renorm", **SLOPES},
        "unet, no norm": {**UNET, "norm": "none", **SLOPES},
        "unet, position norm": {**UNET, **SLOPES},
        "unet, pixel loss alone": {**UNET, **PIXEL},
        "unet, + rendering": {**UNET, **FINE},
        "unet, + rendering, GAN, R1": {**UNET, **SOME_GAN},
    }
    if translator == "diffuse_albedo":
        inputs = ["texture", "delit_texture", "depth"]
        found["unet, position norm, whole-face stage"] = {**UNET, **SLOPES, "inputs": inputs}
        found["the same, + rendering"] = {**UNET, **FINE, "inputs": inputs}
    return found


class Budget(pl.Callback):
    """Ends a training after a time, and takes the time of its steps."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self.steps = seconds, list[float]()

    def on_train_batch_start(self, *_: Any) -> None:
        """Look at the clock."""
        self._begun = time.perf_counter()
        if not self.steps:
            self._first = self._begun

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Look again."""
        now = time.perf_counter()
        self.steps.append(now - self._begun)
        if self.seconds is not None and now - self._first > self.seconds:
            trainer.should_stop = True


def train(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One variant: trained, validated and measured."""
    pl.seed_everything(0, verbose=False)
    own = variants(given.translator)[name]
    arguments = {"inputs": INPUTS[given.translator], **COMMON, **own}
    module: Translator = CLASSES[given.translator](**arguments)
    data = ReflectanceDataModule(
        str(given.shards), batch_size=given.batch, crop=given.crop, validation_samples=0,
        samples_per_epoch=given.batch * (given.steps or 100_000), workers=0, tone_probability=0.3,
    )  # fmt: skip
    budget = Budget(None if given.steps else given.seconds)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        callbacks=[budget],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    module.eval()
    return {
        "multiply-adds / px": multiply_adds(module) / given.crop**2,
        "parameters": sum(one.numel() for one in module.generator.parameters()),
        "steps": len(budget.steps),
        "s / step": statistics.median(budget.steps),
        **quality(module, data),
        **mismatch(module, given.window),
    }


def multiply_adds(module: Translator, side: int = 128) -> float:
    """Of one forward pass of the generator; those of a size that is given back as ``side``."""
    x = torch.zeros(1, module.interface.in_channels, side, side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.generator(x)
    return counter.get_total_flops() / 2


@torch.no_grad()
def quality(module: Translator, data: ReflectanceDataModule) -> dict[str, float]:
    """Means over the held-out patches, each under lights of its own number."""
    kind = module.outputs[0]
    found: dict[str, list[float]] = {}
    for number, batch in enumerate(data.val_dataloader()):
        maps = data.on_after_batch_transfer(batch, 0)
        maps = module.prepare(maps, torch.Generator().manual_seed(number))
        mask = maps.get("known", maps["mask"])
        made = module(maps)[kind]
        values = dict(measure(made, maps[kind], mask, kind))
        if "psnr" in values and kind == "diffuse_albedo":
            matched = with_best_gain(made, maps[kind], mask)
            values["psnr after gain"] = measure(matched, maps[kind], mask, kind)["psnr"]
        for metric, value in values.items():
            if torch.isfinite(value):
                found.setdefault(metric, []).append(float(value))
    return {metric: statistics.mean(each) for metric, each in found.items()}


@torch.no_grad()
def mismatch(module: Translator, window: int) -> dict[str, float]:
    """Mean and largest difference between windows of a lit subject [grey levels]."""
    maps = {kind: one[None] for kind, one in ProceduralSubject(2**31 - 1).maps(512, 768).items()}
    maps["shape"] = maps["shape"] - maps["shape"].mean(dim=(2, 3), keepdim=True)
    maps = {**maps, "key": ["held-out"]}
    maps = module.prepare(maps, torch.Generator().manual_seed(0))
    inputs = module.interface.read(maps, module.interface.frame(maps))
    kind = module.outputs[0]

    def predict(part: Tensor) -> Tensor:
        return module.interface.split(module.generator(part))[kind]

    margin = module.generator.receptive_margin
    margin = min(margin, (window // 2 - 2) // 2)
    found = tile_mismatch(predict, inputs, window, window // 2, margin, maps["mask"])
    span = 2.0 if kind.endswith("normals") else 1.0
    return dict(zip(("mismatch, mean", "mismatch, largest"), found.grey_levels(span), strict=True))


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    given = arguments()
    torch.set_num_threads(given.threads)
    done: dict[str, Any] = json.loads(given.output.read_text()) if given.output.is_file() else {}
    names = [
        name for name in variants(given.translator)
        if not given.only or any(word in name for word in given.only)
    ]  # fmt: skip
    for name in names:
        if name not in done:
            done[name] = train(name, given)
            given.output.write_text(json.dumps(done, indent=2))
            print(name, done[name], flush=True)
    print_table({name: done[name] for name in names})


def print_table(rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    print("\n| variant | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.4g}" for column in columns) + " |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path, help="of procedural patches")
    parser.add_argument("--translator", choices=CLASSES, default="diffuse_albedo")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, help="equal numbers of samples")
    budget.add_argument("--seconds", type=float, default=90.0, help="equal times")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--window", type=int, default=256, help="of the tile mismatch")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", help="words of the variants' names")
    parser.add_argument("--output", type=Path, default=Path("ablation.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
