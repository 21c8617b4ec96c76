"""The few smooth shapes that a face is modelled from; all infinitely often differentiable."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Place = Tensor | float
"""A number, or one for each member of a batch, ``(B, 1, 1)``."""

Knots = list[tuple[float, Place]]
"""Places in rising order and the values there."""


def bump(
    x: Tensor, y: Tensor, centre: tuple[Place, Place], radii: tuple[float, float], tilt: float = 0.0
) -> Tensor:
    """Gaussian hill of height 1; ``radii`` are its deviations [mm], ``tilt`` turns it leftwards."""
    dx, dy = x - centre[0], y - centre[1]
    cosine, sine = math.cos(tilt), math.sin(tilt)
    along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
    return torch.exp(-0.5 * ((along / radii[0]) ** 2 + (across / radii[1]) ** 2))


def step(distance: Tensor, softness: float) -> Tensor:
    """Smooth step from 0 to 1 where ``distance`` changes sign, about four ``softness`` wide."""
    return torch.sigmoid(distance / softness)


def groove(distance: Tensor, deviation: float) -> Tensor:
    """1 on the line where ``distance`` is 0, falling off as a Gaussian."""
    return torch.exp(-0.5 * (distance / deviation) ** 2)


def through(y: Tensor, knots: Knots, blur: float) -> Tensor:
    """Curve through ``(y, value)`` knots in rising order: piecewise linear, rounded by ``blur`` mm.

    The convolution of a polyline with a logistic kernel, in closed form: a sum of softplus.
    """
    place, value = [k[0] for k in knots], [k[1] for k in knots]
    slopes: list[Place] = [0.0]
    for i in range(len(knots) - 1):
        slopes.append((value[i + 1] - value[i]) / (place[i + 1] - place[i]))
    slopes.append(0.0)
    total = torch.zeros_like(y) + value[0]
    for i, at in enumerate(place):
        bend = slopes[i + 1] - slopes[i]
        total = total + bend * blur * torch.nn.functional.softplus((y - at) / blur)
    return total
