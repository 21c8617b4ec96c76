"""Micro-relief of the skin in millimetres: pores, furrows, fine lines, the grain of the lips.

Depths and spacings follow profilometry: primary furrows 20-100 micrometres deep and 0.3-0.6 mm
apart (Piérard et al., "Assessment of wrinkles and skin microrelief", 2003), facial pores 0.2-0.5
mm wide (Flament et al., "Facial skin pores: a multiethnic study", 2015, doi:10.2147/CCID.S74401).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.synthetic.fusing import fused
from realface.synthetic.lattice import Grid
from realface.synthetic.noise import (
    Seed,
    fade,
    fractal,
    nearest_points,
    octave,
    spots,
    value_noise,
)
from realface.synthetic.traits import Traits

PORE_SPACING = 1.15
"""Mean distance of large pores [mm]."""

FURROW_SPACING = 0.62
"""Mean distance of the furrows that divide the skin into plates [mm]."""


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


def relief(grid: Grid, fields: dict[str, Tensor], traits: Traits) -> Relief:
    """Micro-relief of ``grid``, from region fields already read at its texels."""
    seed = traits.seed * 503 + 13
    x, y = _bent_places(grid, fields, seed)
    pores, pore_pits = _pores(grid, x, y, fields, traits, seed + 10)
    plates, furrows = _plates(grid, x, y, fields, traits, seed + 20)
    lines = _lines(grid, x, y, fields, traits, seed + 30)
    grain = _lip_grain(grid, x, y, fields, seed + 40)
    waves = 0.035 * fractal(grid, 4.5, 1.6, 0.6, seed + 50) * (1 - 0.5 * fields["lips"])
    bumps = 0.010 * fractal(grid, 1.2, 0.3, 0.7, seed + 60) * traits.roughness
    return _combined(
        pores, pore_pits, plates, furrows, lines, grain, waves, bumps, fields["crease"]
    )


@fused
def _combined(
    pores: Tensor,
    pore_pits: Tensor,
    plates: Tensor,
    furrows: Tensor,
    lines: Tensor,
    grain: Tensor,
    waves: Tensor,
    bumps: Tensor,
    creases: Tensor,
) -> Relief:
    crease = -0.16 * creases
    sharp = pores + plates + lines + grain + waves + bumps + crease
    soft = 0.10 * (pores + plates) + 0.22 * lines + 0.3 * grain + 0.55 * waves + 0.5 * crease
    pits = (pore_pits + furrows + 0.3 * creases).clamp(0, 1)
    return Relief(sharp, soft, pits)


def _bent_places(grid: Grid, fields: dict[str, Tensor], seed: Seed) -> tuple[Tensor, Tensor]:
    """Places bent a little, so that no cell's grid shows [mm]."""
    x = fields["place_x"] + 0.5 * octave(grid, 7, seed) + 0.12 * octave(grid, 2.1, seed + 1)
    y = fields["place_y"] + 0.5 * octave(grid, 7, seed + 2) + 0.12 * octave(grid, 2.1, seed + 3)
    return x, y


def _pores(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits, seed: Seed
) -> tuple[Tensor, Tensor]:
    """Heights [mm] and darkness of hair-follicle openings at two sizes."""
    height, pits = torch.zeros_like(x), torch.zeros_like(x)
    amount = fields["pores"] * traits.pores
    for index, (spacing, depth) in enumerate(((PORE_SPACING, 0.075), (0.71, 0.045))):
        weight = fade(spacing * 0.6, grid.texel)
        if weight == 0:
            continue
        turned_x, turned_y = 0.83 * x + 0.56 * y, 0.83 * y - 0.56 * x
        density = (0.25 + 0.65 * amount).clamp(max=0.95)
        squared, own = spots(turned_y / spacing, turned_x / spacing, density, seed + index)
        radius = 0.10 + 0.09 * own
        pit = torch.exp(-0.5 * squared / radius**2)
        rim = torch.exp(-0.5 * squared / (2.0 * radius) ** 2)
        strength = weight * amount * (0.35 + 0.65 * own)
        height = height - depth * strength * (1.25 * pit - 0.25 * rim)
        pits = pits + (0.75, 0.45)[index] * strength * pit
    return height, pits


def _plates(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits, seed: Seed
) -> tuple[Tensor, Tensor]:
    """Heights [mm] and darkness of the polygonal net of furrows."""
    weight = fade(FURROW_SPACING, grid.texel)
    if weight == 0:
        return torch.zeros_like(x), torch.zeros_like(x)
    turned_x, turned_y = 0.91 * x - 0.42 * y, 0.91 * y + 0.42 * x
    first, second = nearest_points(
        turned_y / FURROW_SPACING, turned_x / (1.2 * FURROW_SPACING), seed
    )
    edge = torch.exp(-((second - first) / 0.16))
    amount = weight * traits.roughness * (1 - 0.85 * fields["lips"]) * (0.75 + 0.35 * fields["fan"])
    height = 0.020 * amount * ((0.5 - first) - 0.9 * edge)
    return height, 0.13 * amount * edge


def _lines(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits, seed: Seed
) -> Tensor:
    """Heights of fine, mostly level lines on forehead, lids and neck [mm]."""
    total = torch.zeros_like(x)
    for index, (across, along, depth) in enumerate(((0.95, 7.0, 0.030), (0.5, 3.2, 0.016))):
        weight = fade(2 * across, grid.texel)
        if weight == 0:
            continue
        streak = value_noise((y + 0.06 * x) / across, (x - 0.1 * y) / along, seed + index)
        total = total - depth * weight * (1 - streak.abs()) ** 2
    return total * fields["lines"] * (0.4 + 0.9 * traits.age) * (1 - fields["lips"])


def _lip_grain(grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], seed: Seed) -> Tensor:
    """Heights of the upright furrows of the lips [mm]."""
    weight = fade(1.3, grid.texel)
    if weight == 0:
        return torch.zeros_like(x)
    fan = x + 0.02 * x * (y + 37).abs()
    coarse = value_noise(y / 5.0, fan / 0.95, seed)
    fine = value_noise(y / 2.4, fan / 0.42, seed + 1)
    folds = 0.10 * (1 - coarse.abs()) ** 3 + 0.03 * (1 - fine.abs()) ** 2
    return -weight * fields["lips"] * folds
