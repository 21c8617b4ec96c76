"""How open the surface is to light from all around, and its cavities, from the lattice's shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from realface.synthetic.lattice import LATTICE_SPACING

REACH = 24.0
"""How far occlusion looks [mm]: the margin that a window needs."""

_AZIMUTHS = 12
_NEAR = (0.5, 1.5, 3.2, 7.0, 15.0)  # [mm], of every other azimuth
_FAR = (1.0, 2.2, 4.7, 10.0, 22.0)  # of those between
_LEVEL = 0.08  # sine of the elevation below which a horizon is rounding, or the surface's own bend

_CAVITY = 4.0  # deviation of the blur that a cavity lies below [mm]


def openness(shape: Tensor) -> Tensor:
    r"""Ambient occlusion of the lattice ``shape`` ``(B, 3, h, w)``, in [0, 1]; 1 where it is flat.

    Under light from all around, the share :math:`1 - \overline{\sin^2 h}` arrives at a diffuse
    surface whose horizon stands at the angle h over its tangent plane, meant over the azimuths
    (Bavoil and Sainz, "Image-space horizon-based ambient occlusion", SIGGRAPH 2008, with the
    cosine's weight). The horizon is searched along twelve directions, at five places of each.

    Returns:
        ``(B, h, w)``; beyond `REACH` from the edges, what lies past them does not matter.
    """
    _, rows, columns = shape[:, 0].shape
    normal = _normals(shape)
    margin = int(max(*_NEAR, *_FAR) / LATTICE_SPACING) + 1
    around = torch.nn.functional.pad(shape, (margin,) * 4, mode="replicate")
    blocked = torch.zeros_like(shape[:, 0])
    for azimuth in range(_AZIMUTHS):
        angle = 2 * math.pi * (azimuth + 0.25) / _AZIMUTHS
        horizon = torch.full_like(blocked, _LEVEL)
        for distance in _FAR if azimuth % 2 else _NEAR:
            top = margin + round(distance * math.sin(angle) / LATTICE_SPACING)
            left = margin + round(distance * math.cos(angle) / LATTICE_SPACING)
            seen = around[:, :, top : top + rows, left : left + columns]
            horizon = torch.maximum(horizon, _elevation(seen - shape, normal))
        blocked = blocked + horizon**2 - _LEVEL**2
    return 1 - blocked / _AZIMUTHS


def cavity(shape: Tensor) -> Tensor:
    """Depth of folds in [0, 1), ``(B, h, w)``: how far the lattice lies below its surroundings."""
    below = ((_blur(shape, _CAVITY) - shape) * _normals(shape)).sum(1) / _CAVITY
    return 1 - torch.exp(-5 * torch.nn.functional.relu(below - 0.02))


def _normals(shape: Tensor) -> Tensor:
    by_y, by_x = torch.gradient(shape, dim=(2, 3))
    return torch.nn.functional.normalize(torch.linalg.cross(by_x, by_y, dim=1), dim=1)


def _elevation(towards: Tensor, normal: Tensor) -> Tensor:
    """Sine of the angle between vectors and the plane of the normals."""
    height = (towards * normal).sum(1)
    return height * torch.rsqrt(towards.square().sum(1).clamp(min=1e-6))


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
