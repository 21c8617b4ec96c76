"""Directions and sums over the sphere, for tests of light from all around."""

import math

import torch
from torch import Tensor

from realface.maps.encoding import unit
from realface.shading import latlong


def texel(*vector: float) -> Tensor:
    """One texel ``(1, C, 1, 1)`` in float64."""
    return torch.tensor(vector, dtype=torch.float64).view(1, -1, 1, 1)


def random_directions(batch: int = 1, size: int = 6) -> Tensor:
    """Unit vectors ``(B, 3, size, size)`` in float64."""
    return unit(torch.randn(batch, 3, size, size, dtype=torch.float64))


def rotation(*axis: float) -> Tensor:
    """Rotation ``(3, 3)`` about an axis by its length [rad]."""
    x, y, z = axis
    skew = torch.tensor(((0, -z, y), (z, 0, -x), (-y, x, 0)), dtype=torch.float64)
    return torch.linalg.matrix_exp(skew)


def smooth_surround(height: int = 48, peak: float = 6.0) -> Tensor:
    """Radiance ``(3, h, 2h)`` of soft coloured lamps on a dim sky; band-limited by eye."""
    towards = latlong.directions(height, 2 * height, torch.zeros((), dtype=torch.float64))
    radiance = 0.3 + 0.2 * towards[1]
    radiance = radiance.expand(3, -1, -1).clone()
    lamps = (((0.6, 0.5, 0.6), (1.0, 0.7, 0.4)), ((-0.9, 0.1, 0.2), (0.2, 0.5, 1.0)))
    for place, colour in lamps:
        axis = torch.tensor(place, dtype=torch.float64)
        cosine = torch.einsum("c,chw->hw", axis / axis.norm(), towards)
        lamp = peak * torch.exp(20 * (cosine - 1))
        radiance += lamp * torch.tensor(colour, dtype=torch.float64).view(3, 1, 1)
    return radiance


def as_directional_lights(radiance: Tensor) -> tuple[Tensor, Tensor]:
    """Every texel as a light: directions ``(N, 3)`` and colours ``(N, 3)``, irradiance / pi."""
    height, width = radiance.shape[1:]
    towards = latlong.directions(height, width, radiance)
    colours = radiance * latlong.solid_angles(height, width, radiance) / math.pi
    return towards.flatten(1).T, colours.flatten(1).T


def hemisphere(angle: float, rows: int = 300) -> tuple[dict[str, Tensor], Tensor]:
    """Lights over the hemisphere around +z, seen at an angle from it: cosines and solid angles.

    The cosines are of ``light``, ``half``, ``view`` and ``view_half``, each ``(1, 1, H, W)``.
    """
    height = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    azimuth = (torch.arange(2 * rows, dtype=torch.float64) + 0.5) * math.pi / rows
    height, azimuth = torch.meshgrid(height, azimuth, indexing="ij")
    across = (1 - height.square()).sqrt()
    light = torch.stack((across * azimuth.cos(), across * azimuth.sin(), height))[None]
    view = texel(math.sin(angle), 0, math.cos(angle))
    half = unit(light + view)
    cosines = {
        "light": light[:, 2:],
        "half": half[:, 2:],
        "view": view[:, 2:].expand_as(light[:, 2:]),
        "view_half": (view * half).sum(1, keepdim=True),
    }
    return cosines, torch.full_like(height, math.pi / rows**2)[None, None]
