"""The head as a position in space for every place on the chart."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic import features
from realface.synthetic.fusing import fused
from realface.synthetic.lattice import Grid
from realface.synthetic.noise import octave
from realface.synthetic.shaping import Knots, bump, step, through
from realface.synthetic.traits import Traits

_ROUNDNESS = 2.5
"""Exponent of the head's superelliptic cross-section; 2 would be an ellipse."""


def warped(grid: Grid, traits: Traits) -> tuple[Tensor, Tensor]:
    """Chart places bent by slow noise [mm]: no face is symmetric, and no two features alike."""
    y, x = grid.mesh()
    seed = traits.seed * 101 + 1
    off_x = 1.1 * octave(grid, 140, seed) + 0.45 * octave(grid, 48, seed + 1)
    off_y = 1.3 * octave(grid, 130, seed + 2) + 0.5 * octave(grid, 44, seed + 3)
    above = y - traits.eye_height
    below = -6 * torch.nn.functional.softplus(-above / 6)
    return (x + off_x) * traits.inner_width, y + (traits.lower_face - 1) * below + off_y


def position(grid: Grid, x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Object-space position [mm], ``(B, 3, h, w)``: x to the subject's left, y up, z to the viewer.

    Args:
        grid: Places on the chart.
        x: The same places, warped, ``(B, h, w)``: where features are.
        y: The same, upwards.
        traits: The subject.
    """
    chart_y, chart_x = grid.mesh()
    forward = _forward(x, y, traits)
    ears, _ = features.ear_height(x, y, traits)
    outward = ears + 0.8 * octave(grid, 60, traits.seed * 101 + 9)
    outward = outward - _below_jaw(x, y, traits)
    half_width, depth = _cross_section(chart_y, traits)
    angle = chart_x / 96 * (1 + 0.3 * (chart_x / 150) ** 2)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    spread = (sine / half_width).abs() ** _ROUNDNESS + (cosine / depth).abs() ** _ROUNDNESS
    radius = spread ** (-1 / _ROUNDNESS) + outward
    pinch = 0.30 * x * torch.exp(-((x / 21) ** 2)) * step(y + 24, 4) * step(36 - y, 5)
    drop = _vertical(chart_y, traits)
    frontal = torch.exp(-((angle / 1.05) ** 4))
    return torch.stack(
        (
            radius * sine - pinch + 0.25 * (1 - frontal) * forward * sine,
            drop.expand_as(x),
            radius * cosine + forward * (frontal + (1 - frontal) * cosine),
        ),
        dim=1,
    )


@fused
def _forward(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    height = features.nose_height(x, y, traits) + features.eye_height(x, y, traits)
    height = height + features.mouth_height(x, y, traits) + features.cheek_height(x, y, traits)
    return height + features.brow_ridge_height(x, y, traits)


@fused
def _cross_section(y: Tensor, traits: Traits) -> tuple[Tensor, Tensor]:
    """Half width and depth of the bare head at each height [mm]."""
    jaw = traits.jaw_width
    slope = traits.forehead_slope
    width: Knots = [(-100.0, 46.0), (-84.0, 48.0 * jaw), (-66.0, 56.5 * jaw), (-40.0, 65.5 * jaw)]
    width += [(-10.0, 74.5), (20.0, 77.5), (50.0, 78.5), (80.0, 77.5), (100.0, 72.0), (115.0, 66.0)]
    profile: Knots = [(-104.0, 70.0), (-94.0, 84.0), (-84.0, 99.0), (-72.0, 105.0), (-50.0, 106.0)]
    profile += [(-34.0, 108.0), (-17.0, 107.5), (5.0, 104.5), (30.0, 103.0), (45.0, 105.0)]
    profile += [(62.0, 107.0 - 0.3 * slope), (78.0, 103.5 - 0.7 * slope)]
    profile += [(92.0, 97.0 - slope), (104.0, 88.0 - 1.2 * slope), (116.0, 76.0 - 1.4 * slope)]
    return through(y, width, 6.0) * traits.width, through(y, profile, 4.0)


def _vertical(y: Tensor, traits: Traits) -> Tensor:
    """Height in space [mm]: the chart's, shortened where the surface turns away above and below."""
    top = torch.nn.functional.softplus((y - 92) / 5) * 5
    bottom = torch.nn.functional.softplus((-86 - y) / 3) * 3
    longer = -traits.chin_length * step(-50 - y, 8)
    return y - 0.35 * top + 0.45 * bottom + longer


@fused
def _below_jaw(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """How far the neck lies inside the jaw [mm]."""
    away = (x.abs() / 105).clamp(max=1.3)
    jaw = -85 - traits.chin_length + 52 * away**2.2
    inside = 1 - bump(x, y, (0, -60), (60, 60)) * 0.25
    return 11.0 * step(jaw - y, 4.5) * inside * (1 - 0.85 * step(x.abs() - 84, 10))
