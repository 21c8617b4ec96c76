"""Regions of the Lee Perry-Smith head scan: normals and colour at known millimetres a texel.

The scan is CC-BY 3.0, Infinite-Realities, www.triplegangers.com, as three.js ships it. Its normals
are made here from the mesh and the 4096 displacement map: the 1024 tangent map has lost x to JPEG's
halved chroma below 8 mm.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from realface.geometry.bake import bake
from realface.geometry.measure import millimetres_per_unit_from_width
from realface.geometry.mesh import load_mesh
from realface.maps.encoding import unit
from realface.maps.spaces import tangent_to_object
from realface.metrics.spectra import band_variance, octave_bands

BANDS = octave_bands(16.0, 5)

REGIONS = {
    "forehead": ((0.0, 74.0), (30.0, 60.0)),  # between brows and hair
    "right cheek": ((-43.0, 4.0), (36.0, 36.0)),
    "left cheek": ((43.0, 4.0), (36.0, 36.0)),
    "nose": ((0.0, 9.0), (24.0, 20.0)),
}
"""Middle, rightwards and up from the tip of the nose [mm]; height and width on the surface [mm]."""

COLOUR, NORMALS, HEIGHT = (
    "Map-COL.jpg",
    "Infinite-Level_02_Tangent_SmoothUV.jpg",
    "Infinite-Level_02_Disp_NoSmoothUV-4096.jpg",
)

SHIFT = (3, 5)  # texels, off the grid of blocks and of halved chroma


@dataclass(frozen=True)
class Patch:
    """A region of skin: unit normals and sRGB colour ``(1, 3, H, W)`` at distances of their own."""

    normals: Tensor
    normals_pitch: tuple[float, float]
    colour: Tensor
    colour_pitch: tuple[float, float]


def in_bands(values: Tensor, pitch: tuple[float, float]) -> Tensor:
    """``(C, len(BANDS))``; NaN for bands finer than the texels or too coarse for the region."""
    extent = min(values.shape[2] * pitch[0], values.shape[3] * pitch[1])
    shown = [
        i
        for i, (longest, shortest) in enumerate(BANDS)
        if shortest >= 2 * max(pitch) and 2 * longest <= 1.1 * extent
    ]
    measured = values.new_full((values.shape[1], len(BANDS)), torch.nan)
    bands = [BANDS[i] for i in shown]
    measured[:, shown] = band_variance(values, torch.ones_like(values[:, :1]), pitch, bands)[0]
    return measured


def pitch_of(shape: Tensor) -> tuple[float, float]:
    """Median distance of rows and of columns [mm] of ``shape`` ``(3, H, W)``."""
    down, along = shape[:, 1:] - shape[:, :-1], shape[:, :, 1:] - shape[:, :, :-1]
    return float(down.norm(dim=0).median()), float(along.norm(dim=0).median())


def find(
    shape: Tensor, normals: Tensor, mask: Tensor, middle: tuple[float, float]
) -> tuple[int, int]:
    """Texel of the front of the face that is ``middle`` mm rightwards and up from the nose."""
    width = shape.shape[2]
    usable = (mask[0] > 0.5) & (normals[2] > 0.2)
    depth = torch.where(usable, shape[2], -torch.inf)
    tip = shape.flatten(1)[:, depth.argmax()]
    off = (shape[0] - tip[0] - middle[0]) ** 2 + (shape[1] - tip[1] - middle[1]) ** 2
    return divmod(int(torch.where(usable, off, torch.inf).argmin()), width)


def scan_patches(folder: Path) -> tuple[dict[str, Patch], dict[str, Patch]]:
    """Its regions, and beside each what the encoding adds to a smoothed copy of it."""
    colour, normals, height = (read(folder / name) for name in (COLOUR, NORMALS, HEIGHT))
    maps = bake(load_mesh(folder / "LeePerrySmith.obj"), *colour.shape[1:])
    unit_mm = millimetres_per_unit_from_width(maps["shape"], maps["mask"])
    maps["shape"] = maps["shape"] * unit_mm
    boxes = {name: scan_box(maps, *region) for name, region in REGIONS.items()}
    pitches = {name: pitch_of(crop(maps["shape"], box)) for name, box in boxes.items()}
    finer = height.shape[1] // colour.shape[1]
    tangent = unit(normals * 2 - 1)
    step = grey_level(boxes, pitches, tangent, height, finer)
    print(f"Scan: {unit_mm:.2f} mm a unit, displacement {1000 * step / 255:.1f} um a grey level.\n")
    noise_colour = coding_noise(folder / COLOUR, colour)
    noise_height = coding_noise(folder / HEIGHT, height)
    patches, floor = {}, {}
    for name, box in boxes.items():
        pitch = pitches[name]
        fine = (pitch[0] / finer, pitch[1] / finer)
        real = raised(maps, box, crop(height, box, finer) * step, fine)
        flat = level(crop(noise_height, box, finer) * step, fine)
        patches[name] = Patch(real, fine, crop(colour, box)[None], pitch)
        tint = crop(colour, box).mean((1, 2), keepdim=True)
        floor[name] = Patch(flat, fine, (tint + crop(noise_colour, box))[None], pitch)
    return patches, floor


def read(path: Path | io.BytesIO) -> Tensor:
    """``(C, H, W)`` in [0, 1]."""
    pixels = np.asarray(Image.open(path), dtype=np.float32) / 255
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())


def coding_noise(path: Path, values: Tensor) -> Tensor:
    """What the file's own JPEG tables and 8 bits do to the map when its blocks lie elsewhere."""
    image = Image.open(path)
    moved = values.roll(SHIFT, (1, 2))
    pixels = (moved * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    stream = io.BytesIO()
    sampling = max(JpegImagePlugin.get_sampling(image), 0)
    Image.fromarray(pixels.squeeze()).save(
        stream, "JPEG", qtables=image.quantization, subsampling=sampling
    )
    return (read(stream) - moved).roll([-n for n in SHIFT], (1, 2))


def crop(values: Tensor, box: tuple[int, int, int, int], scale: int = 1) -> Tensor:
    top, left, rows, columns = (scale * n for n in box)
    return values[:, top : top + rows, left : left + columns]


def scan_box(
    maps: dict[str, Tensor], middle: tuple[float, float], size: tuple[float, float]
) -> tuple[int, int, int, int]:
    y, x = find(maps["shape"], maps["shape_normals"], maps["mask"], middle)
    pitch = pitch_of(maps["shape"][:, y - 15 : y + 15, x - 15 : x + 15])
    rows, columns = (round(s / p) for s, p in zip(size, pitch, strict=True))
    return y - rows // 2, x - columns // 2, rows, columns


def rises(height: Tensor, pitch: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Slopes rightwards and upwards of ``(1, H, W)`` [mm], each ``(1, H, W)``."""
    down, along = torch.gradient(height, dim=(1, 2))
    return along / pitch[1], -down / pitch[0]


def grey_level(boxes, pitches, tangent: Tensor, height: Tensor, finer: int) -> float:
    """Millimetres that the displacement's range of 1 stands for, from the upward slopes of 16-4 mm.

    The tangent map keeps y far better than x: green makes most of JPEG's luma.
    """
    ratios = []
    for name in ("forehead", "right cheek", "left cheek"):
        pitch, box = pitches[name], boxes[name]
        fine = (pitch[0] / finer, pitch[1] / finer)
        upward = rises(crop(height, box, finer), fine)[1]
        x_y_z = crop(tangent, box)
        known = in_bands((-x_y_z[1:2] / x_y_z[2:])[None], pitch)[0, :2]
        ratios.append(known / in_bands(upward[None], fine)[0, :2])
    return float(torch.stack(ratios).log().nanmean().exp().sqrt())


def raised(maps: dict[str, Tensor], box, height: Tensor, pitch: tuple[float, float]) -> Tensor:
    """Object-space normals of the mesh under a displacement [mm], ``(1, 3, H, W)``."""
    frame = {
        kind: torch.nn.functional.interpolate(
            crop(maps[kind], box)[None], height.shape[1:], mode="bilinear"
        )
        for kind in ("shape_normals", "tangents", "handedness")
    }
    normals = unit(frame["shape_normals"])
    tangents = frame["tangents"]
    tangents = unit(tangents - normals * (tangents * normals).sum(1, keepdim=True))
    return tangent_to_object(level(height, pitch), tangents, normals, frame["handedness"].sign())


def level(height: Tensor, pitch: tuple[float, float]) -> Tensor:
    """Normals of a height [mm] over a plane, ``(1, 3, H, W)``."""
    along, up = rises(height, pitch)
    return unit(torch.cat((-along, -up, torch.ones_like(up))))[None]
