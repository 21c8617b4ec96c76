"""What colours the skin texel by texel: its pigments with all their spots, and its gloss.

Colour itself is `chromophores`'; here stands how much of each pigment lies where (over the face:
`regions`). Freckles and moles are melanin, burst capillaries blood.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.synthetic.fusing import fused
from realface.synthetic.lattice import Grid
from realface.synthetic.noise import Seed, absent, fade, fractal, octave, spots, value_noise
from realface.synthetic.traits import Traits

_MOLE_CELL = 23.0
"""Side of the cells that hold a mole or none [mm]."""


@dataclass(frozen=True)
class Pigments:
    """Amounts as `chromophores.read_table` takes them, each ``(B, h, w)``."""

    melanin: Tensor
    blood: Tensor
    oxygenation: Tensor


def pigments(grid: Grid, fields: dict[str, Tensor], pits: Tensor, traits: Traits) -> Pigments:
    """Pigments at the texels, with everything that spots the skin; ``pits`` as of `relief`."""
    seed = traits.seed * 601 + 17
    fine = fractal(grid, 2.4, 0.3, 0.75, seed)
    veins = fractal(grid, 1.6, 0.25, 0.8, seed + 20)
    spotted = _freckles(grid, fields, traits, seed + 30) + _moles(grid, fields, traits, seed + 40)
    red = _capillaries(grid, fields, traits, seed + 60)
    return _mixed(fields["melanin"], fields, fine, veins, spotted, red, pits, traits)


@fused
def _mixed(
    share: Tensor,
    fields: dict[str, Tensor],
    fine: Tensor,
    veins: Tensor,
    spotted: Tensor,
    red: Tensor,
    pits: Tensor,
    traits: Traits,
) -> Pigments:
    lips = fields["lips"]
    mild = 1 / (1 + traits.melanin / 0.06)  # as in `regions`
    melanin = (
        traits.melanin * share * (1 + 0.12 * mild * traits.mottling * fine + 0.35 * mild * pits)
    )
    melanin = melanin * (1 + traits.lip_melanin * lips) + spotted
    blood = traits.blood * fields["blood"] * (1 + 0.17 * traits.mottling * veins + red)
    blood = blood + lips * traits.lip_blood * (1 + 0.1 * veins)
    return Pigments(melanin, blood, fields["oxygen"])


def _freckles(grid: Grid, fields: dict[str, Tensor], traits: Traits, seed: Seed) -> Tensor:
    total = torch.zeros(grid.size, device=grid.device)
    if absent(traits.freckles):
        return total
    x, y = fields["place_x"], fields["place_y"]
    place = torch.exp(-(((x.abs() - 22) / 32) ** 2) - ((y - 10) / 24) ** 2) + 0.25
    cluster = torch.sigmoid(1.5 * octave(grid, 14, seed + 9))
    density = traits.freckles * place * cluster * (1 - fields["lips"])
    bend_x, bend_y = 0.11 * octave(grid, 1.9, seed + 5), 0.11 * octave(grid, 1.9, seed + 6)
    for index, (spacing, strength) in enumerate(((2.8, 0.022), (1.6, 0.016))):
        turned_x, turned_y = 0.78 * x + 0.62 * y + bend_x, 0.78 * y - 0.62 * x + bend_y
        squared, own = spots(turned_y / spacing, turned_x / spacing, density, seed + index)
        spot = torch.exp(-((squared / (0.10 + 0.11 * own) ** 2) ** 1.2))
        total = total + fade(spacing, grid.texel) * strength * (0.15 + own) * spot
    return total


def _moles(grid: Grid, fields: dict[str, Tensor], traits: Traits, seed: Seed) -> Tensor:
    x, y = fields["place_x"], fields["place_y"]
    wobble = 0.12 * octave(grid, 2.2, seed)
    turned_x, turned_y = 0.6 * x + 0.8 * y - wobble, 0.6 * y - 0.8 * x + wobble
    density = 0.13 * traits.moles
    squared, own = spots(turned_y / _MOLE_CELL, turned_x / _MOLE_CELL, density, seed)
    radius = 0.3 + 0.75 * own**3
    depth = 0.03 + 0.17 * (7 * own % 1) ** 2
    beyond = squared.sqrt() * _MOLE_CELL - radius
    spot = depth * torch.sigmoid(-beyond / (0.12 + 0.16 * radius))
    return spot * fade(2.4, grid.texel)


def _capillaries(grid: Grid, fields: dict[str, Tensor], traits: Traits, seed: Seed) -> Tensor:
    """Burst ones: fine red threads on the nose's wings and the cheeks."""
    weight = fade(1.2, grid.texel)
    if absent(traits.capillaries) or weight == 0:
        return torch.zeros(grid.size, device=grid.device)
    x, y = fields["place_x"], fields["place_y"]
    bend_x, bend_y = 0.6 * octave(grid, 3.0, seed), 0.6 * octave(grid, 3.0, seed + 1)
    place = torch.exp(-(((x.abs() - 15) / 5) ** 2) - ((y + 6) / 8) ** 2)
    place = place + 0.7 * torch.exp(-(((x.abs() - 42) / 14) ** 2) - ((y - 2) / 12) ** 2)
    place = place * torch.sigmoid(2.5 * octave(grid, 7, seed + 2) - 0.8)
    first = value_noise((y + bend_y) / 2.2, (x + bend_x) / 1.1, seed + 3)
    second = value_noise((y + bend_y) / 1.0, (x - bend_x) / 2.4, seed + 4)
    threads = torch.exp(-((first / 0.07) ** 2)) + torch.exp(-((second / 0.07) ** 2))
    return weight * 2.2 * traits.capillaries * place * threads


def specular_albedo(
    grid: Grid, fields: dict[str, Tensor], pits: Tensor, hair: Tensor, traits: Traits
) -> Tensor:
    """Linear specular albedo ``(B, 1, h, w)``: oil raises it; pits, folds and hair lower it.

    Mean about 0.22 in the central face, 1 % below 0.11 and above 0.32, as captured (AvatarMe++'s
    example subject); blind to pigments.
    """
    seed = traits.seed * 607 + 19
    patchy = 0.05 * fractal(grid, 12, 2.0, 0.7, seed)
    patchy = 1 + patchy + 0.06 * fractal(grid, 1.2, 0.25, 0.8, seed + 9)
    base = (0.205 + 0.03 * traits.oiliness + 0.26 * fields["shine"]) * patchy
    base = base * (1 - 0.6 * pits) * (1 - 0.5 * fields["cavity"]) * (1 - 0.75 * hair)
    base = base * (1 - 0.9 * fields["nostril"])
    return base.clamp(0.02, 0.6)[:, None]
