"""Accuracy and time of normals derived from 8-bit positions, beside differentiation and blurs.

    python benchmarks/shape_normals.py [--patches 16] [--bits 8]

Patches of 512 x 512 of surfaces whose normals are known: parts of an ellipsoid, and procedural
faces at 6144 x 4096, their positions rounded as RealFaceDB's (180 mm over all levels). With
REALFACE_REAL_DATA set also of real heads, enlarged to that scale; their truth is the normals
of the positions before rounding. Errors in degrees; the border is the outer 32 texels. One thread.
"""

import argparse
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realface.geometry.normals import normals_from_shape
from realface.geometry.quantised import normals_from_quantised
from realface.metrics.angular import angular_error_map
from realface.synthetic import ProceduralSubject

SIDE, BORDER = 512, 32
SPAN = 180.0  # millimetres: 2 units of 90
HEADS = ("lee-perry-smith", "ict-facekit")
ENLARGED = 4  # 1024 texels of a head to about RealFaceDB's scale

Surface = tuple[Tensor, Tensor]
"""Positions [mm] and normals, ``(3, SIDE, SIDE)``."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=16)
    parser.add_argument("--bits", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    level = SPAN / (2**given.bits - 1)
    surfaces = {
        "ellipsoid of 75 x 100 x 85 mm": list(ellipsoids(given.patches)),
        "procedural faces": list(faces(given.patches)),
    }
    if "REALFACE_REAL_DATA" in os.environ:
        for name in HEADS:
            folder = Path(os.environ["REALFACE_REAL_DATA"]) / name
            surfaces[f"{name}, enlarged"] = list(head(folder, given.patches))
    everywhere = torch.ones(1, SIDE, SIDE)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "differences": lambda shape: normals_from_shape(shape, everywhere),
        **{
            f"differences, blurred by {sigma}": (
                lambda shape, sigma=sigma: normals_from_shape(shape, everywhere, sigma)
            )
            for sigma in (8, 16, 32, 48)
        },
        "normals_from_quantised": lambda shape: normals_from_quantised(shape, everywhere, level),
    }
    print(f"{given.patches} patches of {SIDE} x {SIDE}, {given.bits} bits over {SPAN:g} mm")
    print("| surface | way | inside: mean, median, 95 % | border: mean, median, 95 % | ms |")
    print("|---|---|---|---|---|")
    for name, patches in surfaces.items():
        for way, normals in ways.items():
            print(f"| {name} | {way} | {row(patches, normals, level)} |", flush=True)


def row(patches: Iterable[Surface], normals: Callable[[Tensor], Tensor], level: float) -> str:
    """Errors inside and at the border, and the median time, as cells of the table."""
    border = torch.ones(SIDE, SIDE, dtype=torch.bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    inside, around, seconds = [], [], []
    for shape, truth in patches:
        stored = (shape / level).round() * level
        start = time.perf_counter()
        found = normals(stored)
        seconds.append(time.perf_counter() - start)
        error = angular_error_map(found[None], truth[None])[0, 0]
        inside.append(error[~border])
        around.append(error[border])
    cells = [summary(torch.cat(each)) for each in (inside, around)]
    return " | ".join([*cells, f"{1000 * float(np.median(seconds)):.0f}"])


def summary(errors: Tensor) -> str:
    ordered = errors.sort().values
    quantiles = [float(ordered[int(share * (len(ordered) - 1))]) for share in (0.5, 0.95)]
    return ", ".join(f"{value:.2f}" for value in (float(errors.mean()), *quantiles))


def ellipsoids(count: int) -> Iterator[Surface]:
    """Parts of an ellipsoid as large as a head, 0.044 mm per texel."""
    rng = random.Random(0)
    along = (torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2) * 0.044
    radii = torch.tensor([75.0, 100.0, 85.0], dtype=torch.float64)[:, None, None]
    for _ in range(count):
        latitude, longitude = rng.uniform(-0.6, 0.6), rng.uniform(-1.2, 1.2)
        north, east = torch.meshgrid(
            latitude - along / 90, longitude + along / (80 * math.cos(latitude)), indexing="ij"
        )
        on_sphere = torch.stack([north.cos() * east.sin(), north.sin(), north.cos() * east.cos()])
        normals = on_sphere / radii
        offset = torch.tensor([rng.random() for _ in range(3)])[:, None, None]
        yield (on_sphere * radii).float() + offset, (normals / normals.norm(dim=0)).float()


def faces(count: int) -> Iterator[Surface]:
    """Windows of procedural faces at 6144 x 4096 that lie in the mask."""
    rng, height, width = random.Random(0), 4096, 6144
    while count:
        window = rng.randrange(height - SIDE), rng.randrange(width - SIDE), SIDE, SIDE
        maps = ProceduralSubject(rng.randrange(1000)).maps(height, width, window)
        if maps["mask"].min() > 0:
            count -= 1
            yield maps["shape"].clone(), maps["shape_normals"].clone()


def head(folder: Path, count: int) -> Iterator[Surface]:
    """Windows of a real head without seams, bicubically enlarged."""
    stored = imagecodecs.imread(folder / "derived_shape_16bit.png").astype(np.float64)
    shape = torch.from_numpy(stored).permute(2, 0, 1) / 65535 * SPAN
    mask = torch.from_numpy(imagecodecs.imread(folder / "derived_mask_1024.png")) > 127
    rng, side = random.Random(0), SIDE // ENLARGED
    while count:
        y, x = (rng.randrange(8, length - side - 8) for length in shape.shape[1:])
        points = shape[:, y : y + side, x : x + side]
        steps = [points.diff(dim=dim).norm(dim=0).flatten() for dim in (1, 2)]
        seam = torch.cat(steps).max() > 6 * steps[1].median()
        if seam or not mask[y - 8 : y + side + 8, x - 8 : x + side + 8].all():
            continue
        large = F.interpolate(points[None], (SIDE, SIDE), mode="bicubic", align_corners=False)[0]
        large = large.float()
        count -= 1
        yield large, normals_from_shape(large, torch.ones(1, SIDE, SIDE), ENLARGED)


if __name__ == "__main__":
    main()
