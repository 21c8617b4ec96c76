"""Seconds to light training patches, and their share of a training step.

    python benchmarks/shading.py [--batch 16] [--size 512] [--repeats 3] [--step CONFIG]

Lights a batch of patches with four lamps: without scattering, with it, with AvatarMe++'s one
kernel, and as de-lighting trains (random light and shadows). On a GPU where there is one.
pytorch3d-me, the nearest peer, has no wheel; its one kernel stands for it. ``--step`` also times
one training step of a config, and what lighting takes of it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader

from realface.maps.encoding import srgb_to_linear
from realface.shading.capture import patch_texture, random_capture
from realface.shading.lights import point_lights
from realface.shading.shade import shade
from realface.shading.subsurface import SKIN_RADII, one_kernel_scatter, texel_size
from realface.synthetic.subject import ProceduralSubject
from realface.translators import DiffuseAlbedo

_WIDTH = 6144
_PLACES = ((1400, 2200), (2000, 2900), (2600, 3400), (900, 3000))  # forehead, nose, chin, brow


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--step", type=Path, help="config of a translator, to time its step")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, {torch.get_num_threads()} threads")
    print(f"batch {given.batch} of {given.size}x{given.size}")
    maps = patches(given.batch, given.size, device)
    print("| what | median s |\n|---|---|")
    for what, job in jobs(maps).items():
        print(f"| {what} | {seconds(job, device, given.repeats):.3f} |", flush=True)
    if given.step:
        lit, step = step_seconds(given.step, patches(1, 512, torch.device("cpu")))
        print(f"| a training step of {given.step.name}, batch 1 | {step:.3f} |")
        print(f"| of which lighting, {100 * lit / step:.2f} % | {lit:.3f} |")


def patches(batch: int, size: int, device: torch.device) -> dict[str, Tensor]:
    """Patches of two subjects at four places."""
    samples = []
    for number in range(min(batch, 8)):
        y, x = _PLACES[number % 4]
        window = (y, x, size, size)
        samples.append(ProceduralSubject(number % 2).maps(_WIDTH * 2 // 3, _WIDTH, window))
    maps = {
        kind: torch.stack([samples[i % len(samples)][kind] for i in range(batch)]).to(device)
        for kind in samples[0]
    }
    maps["shape"] = maps["shape"] - torch.tensor((0.0, 0.0, 57.0), device=device).view(3, 1, 1)
    return maps


def jobs(maps: dict[str, Tensor]) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    batch, device = len(maps["mask"]), maps["mask"].device
    places = torch.tensor(((-600, 300, 700), (600, 0, 600), (0, 800, 400), (0, -500, 700.0)))
    lights = point_lights(
        places.to(device).expand(batch, 4, 3),
        torch.full((batch, 4, 3), 0.3, device=device),
        torch.full((batch, 3), 0.2, device=device),
    )
    albedo = srgb_to_linear(maps["diffuse_albedo"])

    def shaded(scattering: tuple[float, float, float] | None) -> Tensor:
        return shade(
            albedo,
            maps["specular_albedo"],
            maps["diffuse_normals"],
            maps["specular_normals"],
            maps["shape"],
            lights,
            occlusion=maps["occlusion"],
            scattering=scattering,
            mask=maps["mask"],
        )

    def one_kernel() -> Tensor:
        return one_kernel_scatter(shaded(None), maps["mask"], texel_size(maps["shape"]))

    def captured() -> Tensor:
        return patch_texture(maps, random_capture(batch, "varied", device))

    return {
        "four lamps, Lambert and Blinn-Phong": lambda: shaded(None),
        "the same, scattered over six Gaussians a channel": lambda: shaded(SKIN_RADII),
        "the same, scattered by AvatarMe++'s one kernel": one_kernel,
        "as de-lighting trains": lambda: patch_texture(
            maps, random_capture(batch, "varied", device)
        ),
    }


@torch.no_grad()
def seconds(job: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median duration of a job, once warm."""
    durations = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations[1:])


class _Timed(DiffuseAlbedo):
    """De-lighting that notes how long its lighting and its steps take."""

    lit: float = 0.0
    step: float = 0.0

    def prepare(self, batch: dict[str, Any], generator: torch.Generator | None) -> dict[str, Any]:
        start = time.perf_counter()
        made = super().prepare(batch, generator)
        _wait()
        self.lit = time.perf_counter() - start
        return made

    def training_step(self, batch: dict[str, Any], batch_index: int) -> None:
        _wait()
        start = time.perf_counter()
        super().training_step(batch, batch_index)
        _wait()
        self.step = time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def step_seconds(config: Path, maps: dict[str, Tensor]) -> tuple[float, float]:
    """Duration of lighting and of a whole step [s], the second of two steps."""
    arguments = yaml.safe_load(config.read_text())["model"]["init_args"]
    translator = _Timed(**arguments)
    sample = {kind: values for kind, values in maps.items() if kind != "shape_normals"}
    batch = {"key": ["patch"], **sample}
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="auto",
        devices=1,
    )
    trainer.fit(translator, DataLoader([batch, batch], batch_size=None))
    return translator.lit, translator.step


if __name__ == "__main__":
    main()
