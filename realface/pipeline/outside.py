"""What maps hold where the mask is not set."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from realface.geometry.padding import pad_islands
from realface.maps.kinds import KINDS

Outside = Literal["constant", "input", "padded"]
"""``constant``: albedo 0, normals (0, 0, 1). ``input``: what the map was made from, see
`ORIGIN`. ``padded``: islands continued by `RIM` texels, and beyond them constant."""

RIM = 16
"""Texels by which islands are continued: more than mipmaps of a renderer's usual levels need."""

ORIGIN = {
    "diffuse_albedo": "texture",
    "diffuse_normals": "shape_normals",
    "specular_normals": "shape_normals",
}
"""The input that lies behind a map outside the mask; specular albedo has none, and is 0 there."""


def fill_outside(
    made: Mapping[str, Tensor], maps: Mapping[str, Tensor], outside: Outside
) -> dict[str, Tensor]:
    """Predicted maps with what is asked for outside the mask; inside nothing changes.

    Args:
        made: By kind, ``(B, C, H, W)``.
        maps: What they were made from, likewise; where there is no ``mask``, nothing is outside.
        outside: What is asked for.
    """
    mask = maps.get("mask")
    if mask is None:
        return dict(made)
    inside = mask > 0.5
    filled = {}
    for kind, values in made.items():
        around = blank_map(kind, maps, outside)
        if outside == "padded":
            for index in range(len(values)):
                rim = pad_islands(values[index].float(), mask[index], RIM)
                reached = pad_islands(mask[index], mask[index], RIM) > 0.5
                around[index] = torch.where(reached, rim, around[index])
        filled[kind] = torch.where(inside, values, around.to(values))
    return filled


def blank_map(kind: str, maps: Mapping[str, Tensor], outside: Outside) -> Tensor:
    """A map of a kind as it is far from the mask, ``(B, C, H, W)``."""
    mask = maps["mask"]
    origin = ORIGIN.get(kind)
    if outside == "input" and origin is not None:
        return maps[origin].clone()
    blank = mask.new_zeros(len(mask), KINDS[kind].channels, *mask.shape[-2:])
    if KINDS[kind].encoding == "unit_vector":
        blank[:, 2] = 1
    return blank
