"""Colour of skin from two pigments, and how strongly its surface reflects.

Optical density is linear in the amounts of melanin and haemoglobin (Tsumura et al., "Image-based
skin color and texture analysis/synthesis by extracting hemoglobin and melanin information in the
skin", 2003, doi:10.1145/1201775.882344). Melanin absorbs as a power of wavelength, haemoglobin
mostly green and blue (Donner and Jensen, "A spectral BSSRDF for shading human skin", 2006); both
vary over the face as Jimenez et al. measured ("A practical appearance model for dynamic facial
color", 2010, doi:10.1145/1866158.1866167).
"""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic.lattice import Grid
from realface.synthetic.noise import Seed, absent, fade, fractal, octave, spots
from realface.synthetic.traits import Traits

_BLOODLESS = (0.80, 0.66, 0.51)
"""Linear sRGB reflectance of skin without pigment: what collagen returns."""

_FLOOR = (0.008, 0.012, 0.011)
"""Linear reflectance that no pigment takes away."""

_MELANIN_DENSITY = (1.0, 1.40, 1.85)
"""Optical density of one unit of melanin in red, green and blue; flatter than its wavelength^-3.3
since light takes shorter paths where it is absorbed more."""

_HAEMOGLOBIN_DENSITY = (0.10, 1.0, 0.72)
"""Optical density of one unit of blood: between oxygenated and not."""

_BILE = (0.0, 0.04, 0.22)
"""Optical density of carotene and bilirubin, the yellow of some skins."""


def skin_colour(melanin: Tensor, blood: Tensor, yellow: Tensor) -> Tensor:
    """Linear reflectance ``(B, 3, h, w)`` from amounts of pigment ``(B, h, w)``.

    Melanin lies above the blood and hides part of it.
    """
    seen = blood / (1 + 0.5 * melanin)
    channels = []
    for channel in range(3):
        density = _MELANIN_DENSITY[channel] * melanin + _HAEMOGLOBIN_DENSITY[channel] * seen
        density = density + _BILE[channel] * yellow
        channels.append(_FLOOR[channel] + _BLOODLESS[channel] * torch.exp(-density))
    return torch.stack(channels, dim=1)


def pigments(grid: Grid, fields: dict[str, Tensor], traits: Traits) -> tuple[Tensor, Tensor]:
    """Amounts of melanin and haemoglobin at the texels, with everything that spots the skin."""
    seed = traits.seed * 601 + 17
    lips = fields["lips"]
    fine = fractal(grid, 2.4, 0.3, 0.75, seed)
    veins = fractal(grid, 1.6, 0.25, 0.8, seed + 20)
    melanin = traits.melanin * fields["melanin"] * (1 + 0.035 * fine * traits.mottling)
    melanin = melanin * (1 - 0.05 * lips) + 0.10 * lips
    melanin = (
        melanin
        + _freckles(grid, fields, traits, seed + 30)
        + _moles(grid, fields, traits, seed + 40)
    )
    blood = traits.haemoglobin * fields["haemoglobin"] * (1 + 0.13 * veins * traits.mottling)
    blood = blood + lips * (0.26 + 0.5 * traits.lip_colour) * (1 + 0.07 * veins)
    return melanin.clamp(min=0.01), blood + _blemishes(grid, fields, traits, seed + 50)


def _freckles(grid: Grid, fields: dict[str, Tensor], traits: Traits, seed: Seed) -> Tensor:
    total = torch.zeros(grid.size, device=grid.device)
    if absent(traits.freckles):
        return total
    x, y = fields["place_x"], fields["place_y"]
    place = torch.exp(-(((x.abs() - 22) / 32) ** 2) - ((y - 10) / 24) ** 2) + 0.25
    cluster = torch.sigmoid(1.5 * octave(grid, 14, seed + 9))
    for index, (spacing, strength) in enumerate(((2.6, 0.30), (1.5, 0.22))):
        wobble = 0.12 * spacing * octave(grid, spacing * 1.1, seed + index)
        density = traits.freckles * place * cluster
        rotated_x, rotated_y = 0.78 * x + 0.62 * y + wobble, 0.78 * y - 0.62 * x + wobble
        squared, own = spots(rotated_y / spacing, rotated_x / spacing, density, seed + index)
        radius = 0.09 + 0.09 * own
        spot = torch.sigmoid((radius**2 * 2.0 - squared) / (0.8 * radius**2))
        total = total + fade(spacing, grid.texel) * strength * (0.4 + own) * spot
    return total * (1 - fields["lips"])


def _moles(grid: Grid, fields: dict[str, Tensor], traits: Traits, seed: Seed) -> Tensor:
    x, y = fields["place_x"], fields["place_y"]
    total = torch.zeros(grid.size, device=grid.device)
    for index, (spacing, density) in enumerate(((37.0, 0.30), (21.0, 0.16))):
        wobble = 0.12 * octave(grid, 2.2, seed + index)
        rotated_x, rotated_y = 0.6 * x + 0.8 * y, 0.6 * y - 0.8 * x
        squared, own = spots(
            (rotated_y + wobble) / spacing,
            (rotated_x - wobble) / spacing,
            density * traits.moles,
            seed + index,
        )
        radius = 0.3 + 0.75 * own**3
        distance = squared.sqrt() * spacing
        total = total + (0.25 + 0.75 * own) * torch.sigmoid((radius - distance) / 0.16)
    return total * fade(2.4, grid.texel)


def _blemishes(grid: Grid, fields: dict[str, Tensor], traits: Traits, seed: Seed) -> Tensor:
    total = torch.zeros(grid.size, device=grid.device)
    if absent(traits.blemishes):
        return total
    x, y = fields["place_x"], fields["place_y"]
    for index, (spacing, radius) in enumerate(((11.0, 1.3), (6.5, 0.7))):
        density = 0.3 * traits.blemishes * (0.2 + fields["pores"])
        wobble = 0.3 * octave(grid, 3.0, seed + index)
        squared, own = spots((y + wobble) / spacing, (x + wobble) / spacing, density, seed + index)
        size = radius * (0.4 + 0.8 * own) / spacing
        total = total + 0.17 * (0.4 + own) * torch.exp(-0.5 * squared / size**2)
    return total * (1 - fields["lips"])


def specular_albedo(
    grid: Grid, fields: dict[str, Tensor], pits: Tensor, hair: Tensor, traits: Traits
) -> Tensor:
    """Linear specular albedo ``(B, 1, h, w)``: oil raises it; pits, folds and hair lower it."""
    seed = traits.seed * 607 + 19
    patchy = (
        1
        + 0.045 * fractal(grid, 12, 2.0, 0.7, seed)
        + 0.06 * fractal(grid, 1.2, 0.25, 0.8, seed + 9)
    )
    base = (0.17 + 0.03 * traits.oiliness + 0.26 * fields["shine"]) * patchy
    base = base * (1 - 0.6 * pits) * (0.35 + 0.65 * fields["occlusion"]) * (1 - 0.5 * hair)
    base = base * (1 - 0.9 * fields["nostril"])
    return base.clamp(0.02, 0.6)[:, None]
