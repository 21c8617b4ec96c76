"""A subject's own maps lit as a texture: the input of de-lighting where nothing was captured."""

from pathlib import Path

import torch
from torch import Tensor

from realface.geometry.placement import PlacedShape, place
from realface.maps.kinds import REFLECTANCE
from realface.maps.subject import Subject, save_map
from realface.shading.blinn_phong import lit_texture
from realface.shading.lights import Lights, random_lights

_BAND = 512  # rows shaded at once


def light_subject(folder: Path, seed: int = 0) -> None:
    """Write ``texture``: the subject under random lights, marked as derived.

    Args:
        folder: Subject with the four reflectance maps and ``shape``.
        seed: Of the lights.

    Raises:
        InputError: If a map is missing.
    """
    lights = random_lights(1, generator=torch.Generator().manual_seed(seed))
    texture = shade_subject(Subject(folder), lights)
    save_map(folder, "texture", texture, derived=True)


def shade_subject(subject: Subject, lights: Lights) -> Tensor:
    """A subject's texture ``(3, H, W)`` under one set of lights, sRGB in [0, 1], black outside.

    Raises:
        InputError: If a map is missing or of another size than the others, or normals are not
            in object space.
    """
    height, width = subject.size()
    mask = subject.open("mask") if "mask" in subject else None
    shape = subject.open("shape")
    optional = [kind for kind in ("occlusion", "exponent") if kind in subject]
    files = {kind: subject.open(kind) for kind in (*REFLECTANCE, *optional)}
    for file in files.values():
        file.require_object_space()
    placed = PlacedShape(shape, place(shape, mask, subject.record.millimetres_per_unit))
    bands = []
    for y in range(0, height, _BAND):
        rows = min(_BAND, height - y)
        maps = {kind: file.read(y, 0, rows, width)[None] for kind, file in files.items()}
        maps["shape"] = placed.read(y, 0, rows, width)[None]
        band = lit_texture(maps, lights)[0]
        bands.append(band if mask is None else band * mask.read(y, 0, rows, width))
    return torch.cat(bands, dim=1)
