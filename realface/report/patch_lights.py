"""Two lamps that tell how a patch of skin is made: from its side for relief, in front for gloss."""

import math

import torch
from torch import Tensor

from realface.maps.encoding import unit
from realface.metrics.masked import mean_of_valid
from realface.shading import harmonics
from realface.shading.lights import Lights
from realface.shading.shade import lit_texture

_LAMPS = {"side light": (30.0, 1.3, 0.1), "front light": (65.0, 0.75, 0.08)}
"""Name: height above the patch's plane [deg], irradiance / pi facing it, ambient radiance."""

_FROM = (-0.8, 0.6, 0.0)
"""The side that both lamps are on: the image's upper left, as drawings are lit."""


def relit(maps: dict[str, Tensor], facing: Tensor) -> dict[str, Tensor]:
    """A patch under either lamp, seen straight on, by the lamp's name.

    Without shadows or scattering, both of which would hide relief.

    Args:
        maps: As `lit_texture`, of one patch, ``(1, C, H, W)`` each.
        facing: Of `facing`, of the true maps: a predicted patch is lit by the same lamps.

    Returns:
        ``(1, 3, H, W)`` each, sRGB in [0, 1].
    """
    return {
        name: lit_texture(maps, _lamp(facing, *lamp), view=facing) for name, lamp in _LAMPS.items()
    }


def facing(normals: Tensor, mask: Tensor) -> Tensor:
    """Where a patch faces: the mean of its valid normals ``(1, 3, H, W)``, as ``(1, 3, 1, 1)``."""
    mean = mean_of_valid(normals, mask, dims=(2, 3)).nan_to_num()
    return unit(mean[..., None, None])


def _lamp(facing: Tensor, height: float, colour: float, ambient: float) -> Lights:
    """One white lamp so far away that its light is parallel."""
    side = facing.new_tensor(_FROM).view(1, 3, 1, 1)
    along = unit(side - (side * facing).sum(dim=1, keepdim=True) * facing)
    angle = math.radians(height)
    towards = math.sin(angle) * facing + math.cos(angle) * along
    return Lights(
        torch.cat((towards.view(1, 1, 3), towards.new_zeros(1, 1, 1)), dim=2),
        towards.new_full((1, 1, 3), colour),
        towards.new_zeros(1, 1),
        harmonics.constant(towards.new_full((1, 3), ambient)),
    )
