"""Wrinkles that have a place: forehead, frown, crow's feet, lower lids, mouth corners, neck."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic import features
from realface.synthetic.fusing import fused
from realface.synthetic.lattice import Grid
from realface.synthetic.noise import octave
from realface.synthetic.shaping import bump, groove, step
from realface.synthetic.traits import Traits


def creases(grid: Grid, x: Tensor, y: Tensor, width: float, traits: Traits) -> Tensor:
    """Depth of the wrinkles, about 1 in the deepest of an old face, ``(B, h, w)``.

    Args:
        grid: Places on the chart.
        x: The same places, warped [mm].
        y: The same, upwards.
        width: Deviation of each groove's Gaussian section [mm].
        traits: The subject; ``age`` drives every wrinkle.
    """
    seed = traits.seed * 211 + 5
    wander = 0.9 * octave(grid, 30, seed) + 0.35 * octave(grid, 11, seed + 1)
    broken = torch.sigmoid(1.6 * octave(grid, 26, seed + 2) + 0.8)
    total = _forehead(x, y + wander, width, traits) + _frown(x + 0.6 * wander, y, width, traits)
    for side in features.SIDES:
        total = total + _eye_corner(x * side, y + 0.5 * wander, side, width, traits)
        total = total + _mouth_corner(x * side + 0.6 * wander, y, width, traits)
    for height in (-92.0, -99.0):
        total = total + 0.5 * traits.age * groove(y + wander - height + 0.002 * x**2, width)
    return total * broken


@fused
def _forehead(x: Tensor, y: Tensor, width: float, traits: Traits) -> Tensor:
    total = torch.zeros_like(x)
    strength = (traits.age - 0.15).clamp(min=0)
    for index, height in enumerate((58.0, 65.5, 72.0, 80.0)):
        arch = 3.0 * torch.exp(-0.5 * ((x.abs() - 24) / 14) ** 2) * (1 - 0.2 * index)
        line = y - (height + 0.4 * traits.wrinkle_shift * (1 + index % 2)) - arch
        reach = step(46 - 5 * (index % 3) - x.abs(), 5)
        total = total + strength * (1 - 0.18 * index) * groove(line, width * 1.2) * reach
    return total


@fused
def _frown(x: Tensor, y: Tensor, width: float, traits: Traits) -> Tensor:
    total = torch.zeros_like(x)
    for place, strength in ((-6.5, 1.0), (5.8, 0.8)):
        line = x - place - 0.12 * (y - 46) * (1 if place > 0 else -1)
        total = total + strength * traits.age**1.5 * groove(line, width) * bump(
            x, y, (place, 47), (9, 6)
        )
    across = groove(y - 37, width * 1.2) * step(9 - x.abs(), 2)
    return total + 0.6 * traits.age * across


@fused
def _eye_corner(outward: Tensor, y: Tensor, side: float, width: float, traits: Traits) -> Tensor:
    dx = outward - traits.eye_spacing - traits.eye_width * 0.95
    dy = y - traits.eye_height - traits.eye_tilt * traits.eye_width
    radius = torch.sqrt(dx**2 + dy**2 + 0.5)
    angle = torch.atan2(dy, dx)
    fan = step(radius - 4.5, 0.9)
    total = torch.zeros_like(y)
    narrow = 0.2 + 0.4 * width  # wider ones would run into each other
    for index, at in enumerate((-0.78, -0.36, -0.08, 0.17, 0.52)):
        bent = angle - at - 0.012 * (radius - 8) * (at - 0.1) - 0.03 * side * traits.wrinkle_shift
        strength = (1.2, 1.7, 1.0, 1.6, 1.0)[index] * (traits.age - 0.2).clamp(min=0)
        far = step(19 - 3 * (index % 2) - radius, 2.5)
        total = total + strength * groove(bent * radius, narrow) * fan * far * step(dx, 1.5)
    u, v = (outward - traits.eye_spacing) / traits.eye_width, dy / traits.eye_width
    for index in range(3):
        line = (v + 0.52 + 0.13 * index - 0.17 * u**2 - 0.05 * u) * traits.eye_width
        ends = step(1.1 - u.abs(), 0.15)
        total = total + 0.4 * (0.2 + traits.age) * groove(line, width * 0.8) * ends
    return total


@fused
def _mouth_corner(outward: Tensor, y: Tensor, width: float, traits: Traits) -> Tensor:
    down = traits.mouth_height - y
    line = outward - traits.mouth_width - 2.2 - 0.18 * down
    reach = step(down - 1, 1.5) * step(17 - down, 3)
    fold, along = features.smile_line(outward, y, traits)
    smile = (0.05 + 0.7 * traits.age) * groove(fold + 0.4, width * 1.6) * along
    return 0.7 * (traits.age - 0.35).clamp(min=0) * groove(line, width) * reach + smile
