"""A face in closed form: a bump with a pattern, for tests that need maps and no realism."""

import math
from pathlib import Path

import torch
from torch import Tensor

from realface.maps.encoding import unit
from realface.maps.record import SubjectRecord
from realface.maps.subject import save_map

KINDS = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals",
         "shape", "shape_normals", "mask")  # fmt: skip


def face_maps(height: int = 64, width: int = 96, phase: float = 0.0) -> dict[str, Tensor]:
    """Maps ``(C, H, W)`` of ``z = 40 - (x / 12)^2 - (y / 10)^2`` [mm], 150 mm wide."""
    x = torch.linspace(-75, 75, width).expand(height, width)
    y = torch.linspace(55, -55, height)[:, None].expand(height, width)
    slopes = 2 * x / 144, 2 * y / 100
    ripple = 0.15 * torch.sin(0.4 * x + phase), 0.15 * torch.cos(0.5 * y + phase)
    ones = torch.ones_like(x)
    base = unit(torch.stack((*slopes, ones)))
    fine = unit(torch.stack((slopes[0] + ripple[0], slopes[1] + ripple[1], ones)))
    soft = unit(torch.stack((slopes[0] + 0.3 * ripple[0], slopes[1] + 0.3 * ripple[1], ones)))
    mask = ((x / 70).square() + (y / 50).square() < 1).float()[None]
    pattern = 0.1 * torch.sin(0.2 * x + phase) * torch.cos(0.25 * y)
    skin = torch.tensor((0.75, 0.55, 0.45)).view(3, 1, 1) + pattern
    ahead = torch.tensor((0.0, 0.0, 1.0)).view(3, 1, 1)
    return {
        "diffuse_albedo": skin * mask,
        "specular_albedo": (0.3 + pattern[None]) * mask,
        "diffuse_normals": torch.where(mask > 0, soft, ahead),
        "specular_normals": torch.where(mask > 0, fine, ahead),
        "shape": torch.stack((x, y, 40 - (x / 12).square() - (y / 10).square())),
        "shape_normals": base,
        "mask": mask,
    }


def face_batch(size: int = 32, count: int = 2) -> dict[str, Tensor | list[str]]:
    """Faces of different patterns as a training batch, ``shape`` relative to its median."""
    faces = [face_maps(size, size, phase=2 * math.pi * number / count) for number in range(count)]
    batch = {kind: torch.stack([face[kind] for face in faces]) for kind in KINDS}
    batch["shape"] = batch["shape"] - batch["shape"].flatten(2).median(2).values[..., None, None]
    return {"key": [f"face-{number}" for number in range(count)], **batch}


def write_face(folder: Path, height: int = 64, width: int = 96, *, leave_out: tuple = ()) -> Path:
    """A subject folder of a face; its texture is a darker albedo with a gradient of light."""
    maps = face_maps(height, width)
    light = torch.linspace(0.5, 1.0, width)
    maps["texture"] = maps["diffuse_albedo"] * light
    about = SubjectRecord(millimetres_per_unit=1.0, source="tests", licence="CC0-1.0")
    for kind, values in maps.items():
        if kind not in leave_out:
            save_map(folder, kind, values, bits=8 if kind == "mask" else 16, about=about)
            about = None
    return folder
