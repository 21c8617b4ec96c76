"""Hair as captures flatten it: strands over the skin, dark and mostly darker than it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.synthetic.lattice import Grid
from realface.synthetic.noise import Seed, absent, fade, octave, strokes, value_noise
from realface.synthetic.traits import Traits

_STRAND_SPACING = 0.17
"""Distance of neighbouring strands of brows and head [mm]."""

_FOLLICLE_SPACING = 0.72
"""Distance of a beard's hairs in each layer [mm]."""

_HAIR_WIDTH = 0.05
"""Deviation of a beard hair's section [mm]: hairs are about 0.12 mm thick."""

_SCALP_FROM = 0.12
"""Density from which the hair of the head covers."""

_LEAST = 0.004
"""Density below which there is no hair at all."""

_FAIR, _BLACK = (0.24, 0.150, 0.070), (0.012, 0.0095, 0.0085)
_RED, _GREY = (0.15, 0.050, 0.016), (0.34, 0.31, 0.27)


@dataclass(frozen=True)
class Hair:
    """Hair on a grid, each ``(B, h, w)`` in [0, 1].

    Attributes:
        cover: Share of each texel under hair.
        shadow: How much hair below the surface darkens the skin between.
        light: Lightness of the hair, about 1; strands differ.
    """

    cover: Tensor
    shadow: Tensor
    light: Tensor


def hair_colour(traits: Traits) -> Tensor:
    """Linear reflectance ``(B, 3, 1, 1)``: from fair to black with melanin, red or grey."""
    dark = traits.hair_melanin
    grey = traits.hair_grey
    channels = []
    for fair, black, red, old in zip(_FAIR, _BLACK, _RED, _GREY, strict=True):
        shade = fair ** (1 - dark) * black**dark
        shade = shade + (red - shade) * 0.7 * traits.hair_red * (1 - dark)
        channels.append(shade + (old - shade) * grey**1.5)
    return torch.stack(channels, dim=1)


def hair(grid: Grid, fields: dict[str, Tensor], traits: Traits) -> Hair:
    """Brows, lashes, beard and hair of the head, from region fields read at the texels."""
    seed = traits.seed * 701 + 23
    x, y = fields["place_x"], fields["place_y"]
    brow = _brow(grid, fields["flow"], x, fields["brow"], seed)
    beard, beard_light = _beard(grid, x, y, fields["beard"], traits, seed + 10)
    scalp, light = _scalp(grid, x, y, fields["scalp"], traits, seed + 20)
    lash = _lashes(grid, x, fields["lash"], fields["lashes"], seed + 30)
    cover = 1 - (1 - brow) * (1 - beard) * (1 - scalp) * (1 - lash)
    shadow = 0.9 * fields["beard"] + 0.8 * fields["scalp"] + 0.4 * fields["brow"]
    light = torch.lerp(light, beard_light, beard)
    light = torch.lerp(light, traits.brow_light * torch.ones_like(x), brow * (1 - scalp))
    return Hair(cover.clamp(0, 1), shadow.clamp(0, 1), light * (1 - 0.9 * (2 * lash).clamp(max=1)))


def _brow(grid: Grid, across: Tensor, along: Tensor, density: Tensor, seed: Seed) -> Tensor:
    """Hairs that run where ``across`` [mm] is constant; fades to the mean where too coarse."""
    density = torch.threshold(density, _LEAST, 0.0)
    if absent(density):
        return density
    tufts = fade(1.8, grid.texel) * value_noise(across / 0.9, along / 9.0, seed + 2)
    mean = 0.85 * (density * (1 + 0.7 * tufts)).clamp(0, 1)
    weight = fade(4 * _STRAND_SPACING, grid.texel)
    if weight == 0:
        return mean
    first = value_noise(across / _STRAND_SPACING, along / 8.0, seed)
    tilted = (across + 0.16 * along) / (0.85 * _STRAND_SPACING)
    ridge = torch.maximum(first, value_noise(tilted, along / 6.0, seed + 1))
    hairs = torch.sigmoid((ridge - (0.95 - 1.35 * density)) / 0.14) * (density * 6).clamp(max=1)
    return torch.lerp(mean, hairs, weight)


def _beard(
    grid: Grid, x: Tensor, y: Tensor, place: Tensor, traits: Traits, seed: Seed
) -> tuple[Tensor, Tensor]:
    """Cover by separate hairs in layers over a mat of many, and its lightness."""
    density = torch.threshold(place, _LEAST, 0.0)
    if absent(density):
        return density, torch.ones_like(density)
    length = 0.15 + 1.85 * traits.beard_length
    # A tensor: it varies with the map's scale.
    width = torch.full((1, 1, 1), max(_HAIR_WIDTH, 0.5 * grid.texel) / _FOLLICLE_SPACING).to(x)
    opacity = 0.9 * _HAIR_WIDTH / _FOLLICLE_SPACING / width
    wave = octave(grid, 22, seed)
    angle = -1.57 + 0.9 * torch.tanh(x / 45) + 0.35 * wave
    angle = angle + 0.5 * torch.exp(-(((y + 26) / 8) ** 2)) * torch.tanh(x / 6)
    clear = torch.ones_like(x)
    layers = 3 + (2 * traits.beard_length).round()
    for layer in range(5):
        share = torch.where(layers > layer, 0.95 * density, 0.0)
        if absent(share):
            continue
        turn = 0.6 + 0.7 * layer
        cosine, sine = math.cos(turn), math.sin(turn)
        row = (y * cosine - x * sine) / _FOLLICLE_SPACING
        column = (x * cosine + y * sine) / _FOLLICLE_SPACING
        cover = strokes(row, column, angle - turn, length, width, share, seed + layer)
        clear = clear * (1 - opacity * cover)
    mat, light = _mat(grid, x, y, density * traits.beard_fill, wave, seed + 7)
    return 1 - clear * (1 - mat), light


def _mat(
    grid: Grid, x: Tensor, y: Tensor, density: Tensor, wave: Tensor, seed: Seed
) -> tuple[Tensor, Tensor]:
    """Cover by hairs too many to tell apart, and the lightness of the strands on top."""
    if absent(density):
        return density, torch.ones_like(density)
    comb = x - 0.4 * (y + 60) * torch.tanh(x / 45) + 1.2 * wave + 0.25 * octave(grid, 3.0, seed + 3)
    strands = torch.zeros_like(x)
    for index, (across, along) in enumerate(((0.7, 7.0), (0.25, 4.0))):
        weight = fade(2 * across, grid.texel)
        if weight > 0:
            strands = strands + weight * value_noise(y / along, comb / across, seed + index)
    cover = torch.sigmoid((3.2 * density - 1.2 + 0.7 * strands) / 0.45) * (4 * density).clamp(max=1)
    return 0.95 * cover, 1 + (0.45 * strands).clamp(min=-0.7)


def _scalp(
    grid: Grid, x: Tensor, y: Tensor, density: Tensor, traits: Traits, seed: Seed
) -> tuple[Tensor, Tensor]:
    """Cover by the hair of the head, combed back or hanging, and its lightness by strands."""
    density = torch.threshold(density, _LEAST, 0.0)
    if absent(density):
        return density, torch.ones_like(density)
    above = 12 * torch.nn.functional.softplus((y - 58) / 12)
    comb = (
        x
        + 0.8 * above * torch.tanh(x / 45)
        + (0.8 + 1.6 * traits.hair_curl) * octave(grid, 16, seed)
    )
    comb = comb + (0.12 + 0.16 * traits.hair_curl) * octave(grid, 3.5, seed + 5)
    strands = torch.zeros_like(x)
    for index, (spacing, amount) in enumerate(((1.1, 0.7), (0.4, 0.8), (0.15, 0.9))):
        weight = amount * fade(2 * spacing, grid.texel)
        if weight > 0:
            along = y / (16.0 - 5 * index)
            strands = strands + weight * value_noise(comb / spacing, along, seed + index)
    edge = torch.sigmoid((6.0 * density - 1.4 + 1.0 * strands) / 0.3)
    cover = edge * (6 * (density - _SCALP_FROM)).clamp(0, 0.985)
    light = (0.5 * strands).clamp(min=-0.75) * (density / _SCALP_FROM).clamp(max=1)
    return cover, 1 + light


def _lashes(grid: Grid, x: Tensor, edge: Tensor, weight: Tensor, seed: Seed) -> Tensor:
    """Dark line of the lashes where the lids meet, hairs hanging below it."""
    weight = torch.threshold(weight, _LEAST, 0.0)
    if absent(weight):
        return weight
    line = 0.8 * torch.exp(-0.5 * ((edge + 0.1) / 0.42) ** 2)
    hang = value_noise(edge / 7.0, (x - 0.3 * edge * torch.tanh(x / 3)) / 0.26, seed)
    below = torch.sigmoid(-edge / 0.12) * torch.exp(-((edge / 3.0) ** 2))
    fine = fade(1.0, grid.texel)
    hairs = below * torch.lerp(torch.full_like(x, 0.3), torch.sigmoid((hang - 0.2) / 0.12), fine)
    return (weight * 1.3 * torch.maximum(line, 0.9 * hairs)).clamp(max=0.92)
