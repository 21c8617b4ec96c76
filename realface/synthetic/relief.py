"""Micro-relief of the skin in millimetres: pores, furrows, fine lines, the fissures of the lips.

Depths and spacings follow profilometry: primary furrows 20-100 micrometres deep and 0.3-0.6 mm
apart (Piérard et al., "Assessment of wrinkles and skin microrelief", 2003), facial pores 0.2-0.5
mm wide (Flament et al., "Facial skin pores: a multiethnic study", 2015, doi:10.2147/CCID.S74401).
Levels from 16 to 1 mm are those of a head scan (benchmarks/realism.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.shading.subsurface import SKIN_RADII
from realface.synthetic import features
from realface.synthetic.fusing import fused
from realface.synthetic.lattice import Grid
from realface.synthetic.noise import (
    Seed,
    absent,
    fade,
    fractal,
    nearest_points,
    octave,
    spots,
    value_noise,
)
from realface.synthetic.shaping import bump, step
from realface.synthetic.traits import Traits

PORE_SPACING = 1.15
"""Mean distance of large pores [mm]."""

FURROW_SPACING = 0.62
"""Mean distance of the furrows that divide the skin into plates [mm]."""

_LEAST = 0.01
"""Weights below this are nothing: where a window has no more of it, it is not computed."""

Layer = tuple[Tensor, Tensor, Tensor]
"""What one kind of detail adds: sharp and soft heights [mm], and darkness, ``(B, h, w)`` each."""


@dataclass(frozen=True)
class Relief:
    """Heights above the shape on a grid.

    Attributes:
        sharp: What reflected light meets [mm], ``(B, h, w)``.
        soft: What remains of it for light that scatters below the surface [mm], ``(B, h, w)``.
        pits: Depth of pores and furrows in [0, 1], ``(B, h, w)``: they darken both albedos.
    """

    sharp: Tensor
    soft: Tensor
    pits: Tensor


def scattered(wavelength: float) -> float:
    r"""Share that scattered light shows of waves of a length [mm], the mean of red and green.

    Normals found by diffuse light are blurred as that light is (Ma et al., "Rapid Acquisition of
    Specular and Diffuse Normal Maps from Polarized Spherical Gradient Illumination", EGSR 2007).
    Burley's profile, by which `shading.subsurface` scatters, passes a wave of frequency f with
    :math:`\frac14 (1 + (2 \pi d f)^2)^{-1/2} + \frac34 (1 + (6 \pi d f)^2)^{-1/2}`.
    """
    waves = [2 * math.pi * radius / wavelength for radius in SKIN_RADII[:2]]
    return sum(0.25 / math.hypot(1, k) + 0.75 / math.hypot(1, 3 * k) for k in waves) / len(waves)


_SOFT = {length: scattered(length) for length in (0.5, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0)}
"""`scattered` of the wavelengths below."""


def relief(grid: Grid, fields: dict[str, Tensor], traits: Traits) -> Relief:
    """Micro-relief of ``grid``, from region fields already read at its texels."""
    seed = traits.seed * 503 + 13
    x, y = fields["place_x"], fields["place_y"]
    rough = torch.exp(0.2 * fractal(grid, 13, 4, 0.8, seed))  # calm and rough areas
    bent_x = x + 0.35 * octave(grid, 9, seed + 1)
    bent_y = y + 0.35 * octave(grid, 9, seed + 2)
    layers = [
        _waves(grid, x, y, rough, traits, seed + 50),
        _pores(grid, bent_x, bent_y, fields, traits, seed + 10),
        _furrows(grid, bent_x, bent_y, fields, rough, traits, seed + 20),
    ]
    lines = torch.threshold(fields["lines"] - 0.25, _LEAST, 0.0)
    if not absent(lines):
        layers.append(_level_lines(grid, bent_x, bent_y, lines * rough, traits, seed + 30))
    eyes = torch.threshold(_around_eyes(x, y, traits), _LEAST, 0.0)
    if not absent(eyes):
        eyes = eyes * rough * fade(1.4, grid.texel)
        layers.append(_eye_lines(bent_x, bent_y, eyes, traits, seed + 35))
    lips = torch.threshold(_about_lips(x, y, fields["lips"], traits), _LEAST, 0.0)
    if not absent(lips):
        fan = x + 0.28 * fractal(grid, 5, 1.4, 0.5, seed + 43)
        layers.append(_fissures(fan, y, lips * fade(1.3, grid.texel), traits, seed + 40))
    return _combined(fields["crease"], layers)


@fused
def _combined(creases: Tensor, layers: list[Layer]) -> Relief:
    sharp = -0.16 * creases
    soft, pits = _SOFT[2.5] * sharp, 0.3 * creases
    for heights, blurred, darkness in layers:
        sharp, soft, pits = sharp + heights, soft + blurred, pits + darkness
    return Relief(sharp, soft, pits.clamp(0, 1))


def _waves(grid: Grid, x: Tensor, y: Tensor, rough: Tensor, traits: Traits, seed: Seed) -> Layer:
    """Undulations from 9 mm down to the bumps between furrows; level ones on the forehead."""
    octaves = [octave(grid, length, seed + i) for i, length in enumerate((9.0, 4.5, 2.4))]
    stretched = Grid(grid.y, 0.42 * grid.x, grid.texel, grid.low)
    octaves.append(octave(stretched, 10.5, seed + 9))
    bumps = fractal(grid, 0.95, 0.25, 0.8, seed + 10) * traits.roughness
    return _weighted_waves(x, y, rough, octaves, bumps)


@fused
def _weighted_waves(
    x: Tensor, y: Tensor, rough: Tensor, octaves: list[Tensor], bumps: Tensor
) -> Layer:
    forehead, nose = bump(x, y, (0, 68), (46, 17)), bump(x, y, (0, 4), (15, 16))
    long = 0.07 * torch.lerp(octaves[0], 3.3 * octaves[3], forehead)
    middle = 0.028 * octaves[1] * rough**2 * (1 - 0.45 * nose - 0.88 * forehead)
    short = 0.016 * octaves[2] * rough**2 * (1 - 0.2 * nose - 0.7 * forehead)
    fine = 0.0165 * bumps * rough * (1 - 0.27 * forehead)
    soft = _SOFT[10.0] * long + _SOFT[5.0] * middle + _SOFT[2.5] * short + _SOFT[0.7] * fine
    return long + middle + short + fine, soft, torch.zeros_like(x)


def _pores(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits, seed: Seed
) -> Layer:
    """Openings of hair follicles at two sizes: no two alike in width and depth."""
    amount = fields["pores"] * traits.pores + 0.5 * fields["beard"] * traits.beard
    density = (0.06 + 0.65 * amount).clamp(max=0.92)
    heights, blurred, darkness = (torch.zeros_like(x) for _ in range(3))
    for index, (spacing, depth, dark) in enumerate(((PORE_SPACING, 0.07, 0.75), (0.71, 0.05, 0.5))):
        weight = fade(spacing * 0.6, grid.texel)
        if weight == 0:
            continue
        turned_x, turned_y = (0.83 * x + 0.56 * y) / spacing, (0.83 * y - 0.56 * x) / spacing
        squared, own = spots(turned_y, turned_x, density, seed + index)
        pit, dent, hole = _pits(squared, own, amount)
        heights, blurred = heights + depth * weight * pit, blurred + depth * weight * dent
        darkness = darkness + dark * weight * hole
    return heights, blurred, darkness


@fused
def _pits(squared: Tensor, own: Tensor, amount: Tensor) -> Layer:
    """Round pits with a low rim; what scattered light shows of them is wider and shallow."""
    radius = 0.085 + 0.11 * own
    deep = amount.clamp(min=0) ** 0.6 * (0.3 + 0.7 * (37.3 * own).frac())
    narrow = torch.exp(-0.5 * squared / radius**2)
    wide = torch.exp(-0.5 * squared / (2.0 * radius) ** 2)
    return deep * (0.25 * wide - 1.25 * narrow), -0.14 * deep * wide, deep * narrow


def _furrows(
    grid: Grid,
    x: Tensor,
    y: Tensor,
    fields: dict[str, Tensor],
    rough: Tensor,
    traits: Traits,
    seed: Seed,
) -> Layer:
    """The net of fine furrows that divides the skin into slanting plates."""
    weight = fade(FURROW_SPACING, grid.texel)
    if weight == 0:
        return torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    wobble = 0.14 * octave(grid, 1.7, seed + 1)
    calm = weight * (1 - 0.85 * fields["lips"].clamp(0, 1)) / (1 + 0.6 * fields["pores"])
    return _net(x, y, wobble, calm * rough**2, traits, seed)


@fused
def _net(x: Tensor, y: Tensor, wobble: Tensor, amount: Tensor, traits: Traits, seed: Seed) -> Layer:
    falling = y + 0.5 * torch.sqrt(x**2 + 400)  # as lines of least tension fall on the cheeks
    across = (falling + wobble) / FURROW_SPACING
    along = (x - 0.5 * falling - wobble) / (1.9 * FURROW_SPACING)
    first, second = nearest_points(across, along, seed)
    edge = torch.exp(-(second - first) / 0.2)
    edge = amount * traits.roughness * (0.8 + 0.45 * traits.age) * edge
    return -0.017 * edge, -0.017 * _SOFT[0.5] * edge, 0.14 * edge


def _level_lines(
    grid: Grid, x: Tensor, y: Tensor, amount: Tensor, traits: Traits, seed: Seed
) -> Layer:
    """Fine, mostly level lines of forehead, lids and neck."""
    amount = amount * (0.6 + 0.7 * traits.age)
    heights, blurred = torch.zeros_like(x), torch.zeros_like(x)
    for index, (across, along, depth) in enumerate(((1.2, 9.0, 0.066), (0.5, 3.2, 0.014))):
        weight = fade(2 * across, grid.texel)
        if weight == 0:
            continue
        streak = value_noise((y + 0.06 * x) / across, (x - 0.1 * y) / along, seed + index)
        lines = depth * weight * amount * (0.5 - (1 - streak.abs()) ** 2)
        heights, blurred = heights + lines, blurred + _SOFT[(2.5, 1.0)[index]] * lines
    return heights, blurred, -1.2 * heights.clamp(max=0)


@fused
def _around_eyes(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Where the skin folds into fine lines: below the lids and outwards of them."""
    u, v = features.eye_coordinates(x.abs(), y, 1.0, traits)
    return torch.exp(-0.5 * (((u - 0.35) / 0.8) ** 2 + ((v + 0.35) / 0.62) ** 2) ** 2)


@fused
def _eye_lines(x: Tensor, y: Tensor, amount: Tensor, traits: Traits, seed: Seed) -> Layer:
    """Fine lines in arcs below the eye, and spreading from its outer corner."""
    u, v = features.eye_coordinates(x.abs(), y, 1.0, traits)
    side = 50 * x.sign()  # neither eye mirrors the other
    below = torch.sqrt((0.62 * u) ** 2 + (v - 0.25) ** 2 + 0.01) * traits.eye_width
    around = torch.atan2(v - 0.25, 0.62 * u) * traits.eye_width + side
    arcs = (1 - value_noise(below / 0.7, around / 4.0, seed).abs()) ** 2
    p, q = (u - 0.9) * traits.eye_width, (v - 0.1) * traits.eye_width
    radius, angle = torch.sqrt(p**2 + q**2 + 1), torch.atan2(q, p + 1e-3)
    rays = (1 - value_noise(11 * angle, radius / 5.0 + side, seed + 1).abs()) ** 2
    rays = rays * step(radius - 4.0, 0.5)  # they do not meet in a point
    lines = torch.lerp(arcs, rays, step(u - 0.95 - 0.35 * v, 0.09)) - 0.5
    heights = -0.075 * amount * (0.45 + 0.9 * traits.age) * lines
    return heights, _SOFT[1.5] * heights, -1.2 * heights.clamp(max=0)


@fused
def _about_lips(x: Tensor, y: Tensor, lips: Tensor, traits: Traits) -> Tensor:
    """The lips, and with age a little of the skin above and below them."""
    around = bump(x, y, (0, traits.mouth_height), (20, 11))
    return lips + 0.35 * traits.age**2 * around * (1 - lips)


@fused
def _fissures(x: Tensor, y: Tensor, amount: Tensor, traits: Traits, seed: Seed) -> Layer:
    """Upright fissures of the lips, spreading outwards, with soft cushions between them."""
    away = y - traits.mouth_height
    fan = x * (1 - 0.012 * away.abs())
    first, second = nearest_points(away / 6.0, fan / 1.5, seed)
    fine = (1 - value_noise(away / 2.6, fan / 0.45, seed + 1).abs()) ** 2
    crack, cushion = torch.exp(-(second - first) / 0.14), 0.5 - first
    sharp = amount * (0.10 * cushion - 0.09 * crack - 0.028 * fine)
    soft = _SOFT[2.5] * (0.10 * cushion - 0.05 * crack) - _SOFT[0.5] * 0.028 * fine
    return sharp, amount * soft, 0.35 * amount * crack
