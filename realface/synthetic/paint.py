"""What people put on their skin, or get on it: make-up, dirt, paint."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from realface.synthetic import features
from realface.synthetic.lattice import Grid
from realface.synthetic.noise import absent, fractal, octave
from realface.synthetic.shaping import bump, groove, step
from realface.synthetic.traits import Traits

Colour = tuple[Tensor, Tensor, Tensor]

_LIPSTICKS = (
    (0.42, 0.18, 0.14),
    (0.50, 0.12, 0.13),
    (0.42, 0.03, 0.03),
    (0.22, 0.012, 0.03),
    (0.06, 0.010, 0.018),
)
"""Linear colours from nude over pink and red to plum."""

_EYE_SHADOWS = (
    (0.30, 0.17, 0.10),
    (0.14, 0.07, 0.045),
    (0.22, 0.10, 0.14),
    (0.09, 0.10, 0.15),
    (0.025, 0.022, 0.025),
)
"""Linear colours: sand, brown, mauve, slate, smoke."""

_BLUSH = (0.45, 0.13, 0.11)
_INK = (0.010, 0.009, 0.009)
_EARTH = (0.09, 0.065, 0.045)


def paint(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits
) -> dict[str, Tensor]:
    """Layers over the skin as one, on the lattice: each ``(B, h, w)``.

    Args:
        grid: Places on the chart.
        x: The same places, warped [mm].
        y: The same, upwards.
        fields: ``lips``, ``lid`` and ``lash`` are read.
        traits: The subjects.

    Returns:
        ``paint``, opacity in [0, 1], and ``paint_red``, ``paint_green`` and ``paint_blue``: linear
        reflectance times opacity. Empty where nobody wears any.
    """
    worn = traits.blush + traits.eye_shadow + traits.eyeliner + traits.lipstick
    if absent(worn + traits.dirt + traits.face_paint):
        return {}
    layers = _make_up(x, y, fields, traits) + _dirt(grid, x, y, traits)
    opacity, mixed = torch.zeros_like(x), [torch.zeros_like(x)] * 3
    for cover, colour in layers:
        opacity = opacity + cover - opacity * cover
        mixed = [below + (own - below) * cover for below, own in zip(mixed, colour, strict=True)]
    names = ("paint_red", "paint_green", "paint_blue")
    return {"paint": opacity, **dict(zip(names, mixed, strict=True))}


def _make_up(
    x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits
) -> list[tuple[Tensor, Colour]]:
    cheeks = bump(x.abs(), y, (47, 0), (16, 9), 0.35)
    shadow, liner = torch.zeros_like(x), torch.zeros_like(x)
    for side in features.SIDES:
        u, v = features.eye_coordinates(x, y, side, traits)
        seam = features.lid_seam(u.clamp(-1.3, 1.3))
        above = step(v - seam, 0.03)
        shadow = shadow + above * bump(u, v, (0.08, 0.12), (0.75, 0.3))
        flick = step(1.25 - u, 0.03) * step(u + 0.95, 0.05)
        liner = liner + groove(v - seam - 0.04 * (u + 1), 0.035) * flick
    lips = traits.lipstick * fields["lips"]
    return [
        (traits.blush * cheeks, _one(_BLUSH, x)),
        (traits.eye_shadow * shadow.clamp(max=1), _between(_EYE_SHADOWS, traits.make_up_depth)),
        (traits.eyeliner * liner.clamp(max=1), _one(_INK, x)),
        (lips, _between(_LIPSTICKS, traits.make_up_hue)),
    ]


def _dirt(grid: Grid, x: Tensor, y: Tensor, traits: Traits) -> list[tuple[Tensor, Colour]]:
    if absent(traits.dirt + traits.face_paint):
        return []
    seed = traits.seed * 433 + 29
    smears = octave(grid, 45, seed) + 0.5 * fractal(grid, 9, 1.5, 0.75, seed + 1)
    # A field of stripes or blots somewhere on the face, in one colour.
    turn = 6.28 * traits.paint_hue
    across = x * torch.cos(turn) + y * torch.sin(turn) + 1.5 * octave(grid, 12, seed + 3)
    stripes = torch.sin(across / (3.5 + 5 * traits.paint_light)) - 0.2
    blots = 1.4 * octave(grid, 50, seed + 4) - 0.9
    shape = torch.where(traits.seed % 2 == 0, torch.minimum(stripes, blots + 0.9), blots)
    worn = 0.85 + 0.15 * torch.tanh(2 * fractal(grid, 5, 1.0, 0.8, seed + 5))
    hue = [
        traits.paint_light * (0.55 + 0.45 * torch.cos(2 * math.pi * (traits.paint_hue + third)))
        for third in (0.0, 1 / 3, 2 / 3)
    ]
    return [
        (traits.dirt * step(smears - 0.9, 0.35), _one(_EARTH, x)),
        (traits.face_paint * worn * step(shape, 0.04), (hue[0], hue[1], hue[2])),
    ]


def _one(colour: tuple[float, float, float], like: Tensor) -> Colour:
    red, green, blue = (torch.full((1, 1, 1), part).to(like) for part in colour)
    return red, green, blue


def _between(colours: Sequence[tuple[float, float, float]], place: Tensor) -> Colour:
    """Colour at ``place`` in [0, 1] along evenly spaced ones."""
    at = place * (len(colours) - 1)
    weights = [(1 - (at - index).abs()).clamp(min=0) for index in range(len(colours))]
    mixed = [torch.zeros_like(at)] * 3
    for weight, colour in zip(weights, colours, strict=True):
        mixed = [total + weight * part for total, part in zip(mixed, colour, strict=True)]
    return mixed[0], mixed[1], mixed[2]
