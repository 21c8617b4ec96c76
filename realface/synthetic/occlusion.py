"""How open the surface is: a cheap stand-in for ambient occlusion, from the shape alone."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic.lattice import LATTICE_SPACING

REACH = 24.0
"""How far occlusion looks [mm]: the margin that a window needs."""

_SCALES = ((1.6, 1.0), (4.0, 0.75), (7.5, 0.55))
"""Deviation of each blur [mm] and the weight of its cavities."""


def openness(shape: Tensor) -> Tensor:
    """Share in (0, 1] of the ambient light that reaches the lattice ``shape`` ``(B, 3, h, w)``.

    A place below its blurred surroundings, along its own normal, is in a cavity; the depth over
    the blur's width says how deep. Summed over three widths, as cavity maps are.
    """
    by_y, by_x = torch.gradient(shape, dim=(2, 3))
    normal = torch.nn.functional.normalize(torch.linalg.cross(by_x, by_y, dim=1), dim=1)
    closed = torch.zeros_like(shape[:, 0])
    for deviation, weight in _SCALES:
        below = ((_blur(shape, deviation) - shape) * normal).sum(1) / deviation
        closed = closed + weight * torch.nn.functional.softplus((below + 0.02) / 0.06) * 0.06
    return torch.exp(-2.2 * closed)


def _blur(fields: Tensor, deviation: float) -> Tensor:
    knots = deviation / LATTICE_SPACING
    reach = int(3 * knots)
    at = torch.arange(-reach, reach + 1, device=fields.device, dtype=fields.dtype)
    kernel = torch.exp(-0.5 * (at / knots) ** 2)
    kernel = kernel / kernel.sum()
    image = fields.flatten(0, 1)[:, None]
    image = torch.nn.functional.pad(image, (reach, reach, reach, reach), mode="replicate")
    image = torch.nn.functional.conv2d(image, kernel[None, None, :, None])
    image = torch.nn.functional.conv2d(image, kernel[None, None, None, :])
    return image.view_as(fields)
