"""Marks that some skins bear: blemishes, birthmarks, age spots, melasma, vitiligo, a tan's edge."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic.lattice import Grid
from realface.synthetic.noise import absent, fractal, octave, spots
from realface.synthetic.shaping import bump, step
from realface.synthetic.traits import Traits


def marked_blood(
    grid: Grid, x: Tensor, y: Tensor, blood: Tensor, fields: dict[str, Tensor], traits: Traits
) -> Tensor:
    """Relative blood ``(B, h, w)`` on the lattice, with blemishes and a port-wine stain.

    Args:
        grid: Places on the chart.
        x: The same places, warped [mm].
        y: The same, upwards.
        blood: Without marks.
        fields: ``pores`` and ``lips`` are read.
        traits: The subjects.
    """
    blood = blood + _blemishes(grid, x, y, fields, traits)
    if absent(traits.birthmark):
        return blood
    seed = traits.seed * 421 + 5
    side = torch.where(traits.seed % 2 == 0, 1.0, -1.0)
    outline = 0.9 * bump(x * side, y, (48, 10 + 8 * traits.wrinkle_shift), (26, 28))
    outline = outline + 0.22 * octave(grid, 30, seed) + 0.1 * fractal(grid, 9, 2, 0.7, seed + 1)
    return blood * (1 + 3.5 * traits.birthmark * step(outline - 0.5, 0.04))


def _blemishes(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits
) -> Tensor:
    total = torch.zeros_like(x)
    if absent(traits.blemishes):
        return total
    seed = traits.seed * 601 + 67
    for index, (spacing, radius) in enumerate(((11.0, 1.3), (6.5, 0.7))):
        density = 0.3 * traits.blemishes * (0.2 + fields["pores"])
        wobble = 0.3 * octave(grid, 3.0, seed + index)
        squared, own = spots((y + wobble) / spacing, (x + wobble) / spacing, density, seed + index)
        size = radius * (0.4 + 0.8 * own) / spacing
        total = total + 0.9 * (0.2 + own) * torch.exp(-0.5 * squared / size**2)
    return total * (1 - fields["lips"])


def marked_melanin(grid: Grid, x: Tensor, y: Tensor, share: Tensor, traits: Traits) -> Tensor:
    """Relative melanin ``(B, h, w)``, with age spots, melasma, vitiligo and a tan's edge.

    Arguments as of `marked_blood`.
    """
    seed = traits.seed * 431 + 19
    if not absent(traits.age_spots):
        squared, own = spots(y / 15, x / 15, 0.25 * traits.age_spots, seed)
        size = 0.03 + 0.10 * own**2 + 0.02 * octave(grid, 3.5, seed + 1)
        share = share + (0.2 + 0.5 * own) * torch.sigmoid((size - squared.sqrt()) / 0.018)
    if not absent(traits.melasma):
        place = bump(x.abs(), y, (45, 6), (15, 11)) + 0.8 * bump(x, y, (0, 66), (32, 10))
        place = (
            place
            + 0.9 * bump(x, y, (0, -26), (18, 5))
            + 0.3 * fractal(grid, 14, 2.5, 0.7, seed + 2)
        )
        share = share * (1 + 0.9 * traits.melasma * step(place - 0.55, 0.08))
    if not absent(traits.vitiligo):
        place = octave(grid, 40, seed + 5) + 0.35 * fractal(grid, 10, 2, 0.65, seed + 6)
        place = place + 1.3 * bump(x.abs(), y, (30, 27), (18, 12))
        place = place + 1.3 * bump(x, y, (0, traits.mouth_height), (26, 14))
        share = share * (1 - 0.93 * step(place - 1.9 + 1.1 * traits.vitiligo, 0.06))
    if absent(traits.tan_line):
        return share
    goggles = bump(x.abs(), y, (30, 29), (17, 12)) + bump(x, y, (0, 33), (40, 6))
    brim = step(68 + 0.004 * x**2 - y, 2.0)
    eyes = -traits.tan_line.clamp(max=0) * step(goggles - 0.5, 0.06)
    return share * (1 + traits.tan_line.clamp(min=0) * brim) * (1 - eyes)
