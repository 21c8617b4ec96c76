"""Solids in space as signed distances, joined and carved smoothly, and noise through them.

Quilez, "Distance functions", iquilezles.org/articles/distfunctions. Lengths in mm; distances are
negative inside, exact at the surface and about right around it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from realface.synthetic.shaping import Place

_CELLS = 24  # of the lattice of noise, along each side

_TURN = torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(1)) - 0.5)[0]
"""Turns the lattice of noise off the axes of the head."""

Points = tuple[Tensor, Tensor, Tensor]
"""Their x, y and z [mm], of one shape."""

Triple = tuple[Place, Place, Place]


def ellipsoid(p: Points, centre: Triple, radii: Triple) -> Tensor:
    """Distance to an ellipsoid along the axes [mm]; better the nearer the surface."""
    q = [(a - c) / r for a, c, r in zip(p, centre, radii, strict=True)]
    near = (q[0] ** 2 + q[1] ** 2 + q[2] ** 2).sqrt()
    slope = sum((a / r) ** 2 for a, r in zip(q, radii, strict=True))
    return near * (near - 1) / torch.as_tensor(slope).sqrt().clamp(min=1e-6)


def capsule(p: Points, first: Triple, second: Triple, radii: tuple[Place, Place]) -> Tensor:
    """Distance to a rod between two points, of one radius at each [mm]."""
    rod = [torch.as_tensor(b - a) for a, b in zip(first, second, strict=True)]
    q = [a - c for a, c in zip(p, first, strict=True)]
    squared = rod[0] ** 2 + rod[1] ** 2 + rod[2] ** 2
    along = ((q[0] * rod[0] + q[1] * rod[1] + q[2] * rod[2]) / squared).clamp(0, 1)
    away = [a - along * b for a, b in zip(q, rod, strict=True)]
    near = (away[0] ** 2 + away[1] ** 2 + away[2] ** 2).sqrt()
    return near - (radii[0] + along * (radii[1] - radii[0]))


def join(one: Tensor, other: Tensor, blend: float) -> Tensor:
    """Distance to the union, rounded over ``blend`` mm."""
    close = (blend - (one - other).abs()).clamp(min=0)
    return torch.minimum(one, other) - close**2 / (4 * blend)


def carve(solid: Tensor, hollow: Tensor, blend: float) -> Tensor:
    """Distance to what the hollow leaves of the solid, rounded over ``blend`` mm."""
    return -join(-solid, hollow, blend)


def mirrored(p: Points) -> Points:
    """The left half, for what comes in pairs; rounded, lest the midline creases."""
    return (p[0] ** 2 + 2.0).sqrt(), p[1], p[2]


def waves(points: Tensor, shortest: float, longest: float, dice: int) -> Tensor:
    """Smooth noise of about unit variance at points ``(3, N)`` [mm]: ``(N,)``.

    Octaves from the longest wavelength down to the shortest [mm]: random values on a lattice that
    repeats, read with weights of two continuous derivatives. One dice, one noise.
    """
    generator = torch.Generator().manual_seed(dice)
    total, squares = torch.zeros_like(points[0]), 0.0
    weight, wavelength = 1.0, longest
    while wavelength >= shortest:
        table = torch.rand((_CELLS,) * 3, generator=generator) * 2 - 1
        table = torch.nn.functional.pad(table[None, None], (0, 1) * 3, mode="circular")
        turned = points.T @ _TURN.T / (wavelength / 2) + table[0, 0, 0, 0, :3] * _CELLS
        cell = turned.floor()
        share = turned - cell
        share = share**3 * (10 - 15 * share + 6 * share**2)
        place = 2 * (cell % _CELLS + share) / _CELLS - 1
        read = torch.nn.functional.grid_sample(table, place[None, None, None], align_corners=True)
        total += weight * read.flatten()
        squares += weight**2
        weight, wavelength = 0.65 * weight, 0.5 * wavelength
    return total * 2.9 / math.sqrt(squares)
