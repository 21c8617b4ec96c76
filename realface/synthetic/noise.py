"""Seeded noise as a pure function of place: no state, so any window agrees with the whole.

Every generator hashes integer cells. Places are in millimetres on the chart, so the same subject
at another size is the same face. Noise finer than about two texels fades out before it aliases.
Seeds are integers, or int64 tensors ``(B, 1, 1)`` with one for each member of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from realface.synthetic.fusing import fused
from realface.synthetic.lattice import Grid, bspline_weights, knots_touched

Seed = Tensor | int

_SPLINE_DEVIATION = 0.277
"""Standard deviation of a cubic B-spline surface over uniform [-1, 1] control values."""

_ROW, _COLUMN = 0x165667B1, 0x27D4EB2D
"""Odd factors that set neighbouring cells far apart."""


def hash_cells(row: Tensor, column: Tensor, seed: Seed) -> Tensor:
    """Well-mixed int32 of integer cells (xor-multiply finaliser, Wellons' hash-prospector)."""
    return _mixed(_key(row, column) + _salt(seed))


def _key(row: Tensor, column: Tensor) -> Tensor:
    return row.to(torch.int32) * _ROW + column.to(torch.int32) * _COLUMN


def _salt(seed: Seed) -> Tensor | int:
    salt = (seed * 0x9E3779B1 + 0x3C6EF372) & 0x7FFFFFFF
    return salt.to(torch.int32) if isinstance(salt, Tensor) else salt


def _mixed(key: Tensor) -> Tensor:
    mixed = (key ^ (key >> 15 & 0x1FFFF)) * 0x2C1B3C6D
    mixed = (mixed ^ (mixed >> 12 & 0xFFFFF)) * 0x297A2D39
    return mixed ^ (mixed >> 15 & 0x1FFFF)


def _beside(key: Tensor, down: int, right: int) -> Tensor:
    """Key of the cell so many rows below and columns to the right: keys are linear."""
    return key + _wrapped(down * _ROW + right * _COLUMN)


def _wrapped(number: int) -> int:
    """As a 32-bit integer wraps."""
    return (number + 2**31) % 2**32 - 2**31


def unit_floats(hashed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three independent floats in [0, 1) from one hash: of 12, 12 and 8 bits."""
    first, second = _two_floats(hashed)
    return first, second, _third_float(hashed)


def _two_floats(hashed: Tensor) -> tuple[Tensor, Tensor]:
    return (hashed & 0xFFF) * (1 / 4096), (hashed >> 12 & 0xFFF) * (1 / 4096)


def _third_float(hashed: Tensor) -> Tensor:
    return (hashed >> 24 & 0xFF) * (1 / 256)


def _signed_float(hashed: Tensor) -> Tensor:
    """One float in [-1, 1), of 24 bits."""
    return (hashed & 0xFFFFFF) * (1 / 0x800000) - 1


def absent(weight: Tensor) -> bool:
    """Whether a weight is 0 everywhere, so that what it weighs need not be computed.

    Asked on the CPU only, where that saves time: elsewhere the answer would be waited for.
    """
    return weight.device.type == "cpu" and not bool(weight.any())


def fade(wavelength: float, texel: float) -> float:
    """Weight in [0, 1] of detail of this wavelength [mm] on texels of this size [mm]."""
    x = min(max((wavelength / texel - 2.0) / 2.0, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def octave(grid: Grid, wavelength: float, seed: Seed) -> Tensor:
    """Smooth isotropic noise of unit variance, ``(B, h, w)``; zero where the grid is too coarse."""
    return _surface(grid, [(wavelength, 1.0, seed)])


def fractal(grid: Grid, coarsest: float, finest: float, gain: float, seed: Seed) -> Tensor:
    """Sum of octaves from ``coarsest`` to ``finest`` [mm], about unit variance at full detail."""
    octaves: list[tuple[float, float, Seed]] = []
    wavelength, amplitude = coarsest, 1.0
    while wavelength >= finest:
        octaves.append((wavelength, amplitude, seed * 31 + len(octaves)))
        wavelength, amplitude = wavelength * 0.53, amplitude * gain
    total = math.sqrt(sum(amplitude**2 for _, amplitude, _ in octaves))
    return _surface(grid, [(length, size / total, own) for length, size, own in octaves])


def _surface(grid: Grid, octaves: Sequence[tuple[float, float, Seed]]) -> Tensor:
    """Sum of octaves of ``(wavelength, amplitude, seed)``.

    Each is a cubic B-spline surface over random control values half a wavelength apart. Side by
    side they are one matrix product at full size, however many octaves and texels.
    """
    left, right = [], []
    for wavelength, amplitude, seed in octaves:
        weight = amplitude * fade(wavelength, grid.texel) / _SPLINE_DEVIATION
        if weight == 0:
            continue
        knot = wavelength / 2
        rows, vertical = _spline_axis(grid.y / knot + 0.37, grid.texel / knot)
        columns, horizontal = _spline_axis(grid.x / knot + 0.61, grid.texel / knot)
        table = _signed_float(hash_cells(rows[:, :, None], columns[:, None, :], seed))
        left.append(vertical @ (weight * table))
        right.append(horizontal)
    if not left:
        return torch.zeros(grid.size, device=grid.device)
    return torch.cat(left, dim=2) @ torch.cat(right, dim=2).mT


def _spline_axis(position: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """The control points that an axis touches ``(B, n)``, and their weights at its places."""
    count = knots_touched(position.shape[1], step)
    first = position.amin(dim=1, keepdim=True).floor() - 1
    points = first + torch.arange(count, device=position.device)
    return points, bspline_weights(position, first, count)


@fused
def value_noise(row: Tensor, column: Tensor, seed: Seed) -> Tensor:
    """Noise in [-1, 1] on unit cells of any coordinates, warped or stretched, ``(B, h, w)``."""
    low_row, low_column = row.floor(), column.floor()
    v, u = row - low_row, column - low_column
    v, u = v * v * (3 - 2 * v), u * u * (3 - 2 * u)
    key = _key(low_row, low_column) + _salt(seed)

    def corner(down: int, right: int) -> Tensor:
        return _signed_float(_mixed(_beside(key, down, right)))

    top = torch.lerp(corner(0, 0), corner(0, 1), u)
    bottom = torch.lerp(corner(1, 0), corner(1, 1), u)
    return torch.lerp(top, bottom, v)


def _cells(
    row: Tensor, column: Tensor, down: tuple[int, ...], right: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Cells around each place: unsalted key, and how far their corner lies below and right."""
    i, j = row.floor(), column.floor()
    key, v, u = _key(i, j), i - row, j - column
    for one in down:
        for other in right:
            yield _beside(key, one, other), v + one, u + other


@fused
def nearest_points(row: Tensor, column: Tensor, seed: Seed) -> tuple[Tensor, Tensor]:
    """Distances to the nearest and second-nearest jittered cell point, unit cells (Worley 1996)."""
    salt = _salt(seed)
    first = torch.full_like(row, 9.0)
    second = torch.full_like(row, 9.0)
    for key, v, u in _cells(row, column, (-1, 0, 1), (-1, 0, 1)):
        p, q = _two_floats(_mixed(key + salt))
        squared = (v + p) ** 2 + (u + q) ** 2
        second = torch.minimum(second, torch.maximum(first, squared))
        first = torch.minimum(first, squared)
    return first.sqrt(), second.sqrt()


@fused
def spots(
    row: Tensor, column: Tensor, density: Tensor | float, seed: Seed
) -> tuple[Tensor, Tensor]:
    """Isolated round spots on unit cells: at most one a cell, well inside its reach.

    Args:
        row: Coordinate down, in cells, ``(B, h, w)``.
        column: Coordinate across, in cells.
        density: Share of the cells that hold a spot, in [0, 1]; varies over the face.
        seed: Which spots.

    Returns:
        Squared distance to the nearest spot in cells (4 where none is near) and that spot's own
        random number in [0, 1). Only the four nearest cells are searched, so use spots of a
        radius up to a third of a cell.
    """
    places, presence = _salt(seed), _salt(seed + 7919)
    nearest = torch.full_like(row, 4.0)
    identity = torch.zeros_like(row)
    for key, v, u in _cells(row - 0.5, column - 0.5, (0, 1), (0, 1)):
        p, q, own = unit_floats(_mixed(key + places))
        squared = (v + 0.6 * p - 0.3) ** 2 + (u + 0.6 * q - 0.3) ** 2
        present = _two_floats(_mixed(key + presence))[0] < density
        squared = torch.where(present, squared, 4.0)
        identity = torch.where(squared < nearest, own, identity)
        nearest = torch.minimum(nearest, squared)
    return nearest, identity


@fused
def strokes(
    row: Tensor,
    column: Tensor,
    angle: Tensor,
    length: Tensor | float,
    width: Tensor | float,
    density: Tensor,
    seed: Seed,
) -> Tensor:
    """Cover in [0, 1] by short hairs on unit cells, one a cell where ``density`` has one.

    Each leans and bends its own way, and thins from root to tip.

    Args:
        row: Coordinate down, in cells, ``(B, h, w)``.
        column: Coordinate across, in cells.
        angle: Direction of the hairs from the columns' axis towards the rows' [rad], ``(B, h, w)``.
        length: Length of a hair in cells, at most 2.
        width: Deviation of a hair's Gaussian section in its middle, in cells.
        density: Share of the cells that hold a hair, ``(B, h, w)``.
        seed: Which hairs.
    """
    salt = _salt(seed)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    clear = torch.ones_like(row)
    for key, v, u in _cells(row, column, (-1, 0, 1), (-1, 0, 1)):
        p, q, own = unit_floats(_mixed(key + salt))
        dy, dx = -(v + p), -(u + q)
        lean = ((13 * p + 7 * q) % 1 - 0.5) * 0.6
        bend = ((5 * p + 11 * q) % 1 - 0.5) * 0.7
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        along, across = along + lean * across, across - lean * along
        across = across - bend * along**2
        half = 0.5 * length * (0.5 + 0.5 * q)
        cut = half.clamp(max=0.9) / 2  # short hairs were cut and hardly thin out
        taper = 1 - cut * (along / half).clamp(-1, 1)
        beyond = (along.abs() - half).clamp(min=0)
        squared = ((across / taper) ** 2 + beyond**2) / width**2
        clear = clear * (1 - torch.exp(-0.5 * squared) * (own < density))
    return 1 - clear
