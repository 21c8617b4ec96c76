"""Seeded noise as a pure function of place: no state, so any window agrees with the whole.

Every generator hashes integer cells. Places are in millimetres on the chart, so the same subject
at another size is the same face. Noise finer than about two texels fades out before it aliases.
"""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic.lattice import Grid, bspline_matrix

_SPLINE_DEVIATION = 0.277
"""Standard deviation of a cubic B-spline surface over uniform [-1, 1] control values."""


def hash_cells(row: Tensor, column: Tensor, seed: int) -> Tensor:
    """Well-mixed int32 of integer cells (xor-multiply finaliser, Wellons' hash-prospector)."""
    mixed = row.to(torch.int32) * 0x165667B1 + column.to(torch.int32) * 0x27D4EB2D
    mixed = mixed + (seed * 0x9E3779B1 + 0x3C6EF372 & 0x7FFFFFFF)
    mixed = (mixed ^ (mixed >> 15 & 0x1FFFF)) * 0x2C1B3C6D
    mixed = (mixed ^ (mixed >> 12 & 0xFFFFF)) * 0x297A2D39
    return mixed ^ (mixed >> 15 & 0x1FFFF)


def unit_floats(hashed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three independent floats in [0, 1) from one hash: of 12, 12 and 8 bits."""
    first = (hashed & 0xFFF).float() / 4096
    second = ((hashed >> 12) & 0xFFF).float() / 4096
    third = ((hashed >> 24) & 0xFF).float() / 256
    return first, second, third


def fade(wavelength: float, texel: float) -> float:
    """Weight in [0, 1] of detail of this wavelength [mm] on texels of this size [mm]."""
    x = min(max((wavelength / texel - 2.0) / 2.0, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def octave(grid: Grid, wavelength: float, seed: int) -> Tensor:
    """Smooth isotropic noise of unit variance, ``(h, w)``; zero where the grid is too coarse.

    A cubic B-spline surface over random control values half a wavelength apart: two matrix
    products, however many texels.
    """
    weight = fade(wavelength, grid.texel)
    spacing = wavelength / 2
    if weight == 0:
        return torch.zeros(grid.size, device=grid.device)
    rows, first_row, vertical = bspline_matrix(grid.y / spacing + 0.37)
    columns, first_column, horizontal = bspline_matrix(grid.x / spacing + 0.61)
    row = torch.arange(first_row, first_row + rows, device=grid.device)[:, None]
    column = torch.arange(first_column, first_column + columns, device=grid.device)[None]
    hashed = hash_cells(row, column, seed)
    table = (hashed & 0xFFFFFF).float() / 0x800000 - 1
    return (weight / _SPLINE_DEVIATION) * (vertical @ table @ horizontal.T)


def fractal(grid: Grid, coarsest: float, finest: float, gain: float, seed: int) -> Tensor:
    """Sum of octaves from ``coarsest`` to ``finest`` [mm], about unit variance at full detail."""
    total = torch.zeros(grid.size, device=grid.device)
    wavelength, amplitude, energy, index = coarsest, 1.0, 0.0, 0
    while wavelength >= finest:
        total = total + amplitude * octave(grid, wavelength, seed * 31 + index)
        energy += amplitude**2
        wavelength, amplitude, index = wavelength * 0.53, amplitude * gain, index + 1
    return total / energy**0.5


def value_noise(row: Tensor, column: Tensor, seed: int) -> Tensor:
    """Noise in [-1, 1] on unit cells of any coordinates, warped or stretched, ``(h, w)``."""
    low_row, low_column = row.floor(), column.floor()
    v, u = row - low_row, column - low_column
    v, u = v * v * (3 - 2 * v), u * u * (3 - 2 * u)
    i, j = low_row.to(torch.int32), low_column.to(torch.int32)

    def corner(down: int, right: int) -> Tensor:
        return (hash_cells(i + down, j + right, seed) & 0xFFFFFF).float() / 0x800000 - 1

    top = torch.lerp(corner(0, 0), corner(0, 1), u)
    bottom = torch.lerp(corner(1, 0), corner(1, 1), u)
    return torch.lerp(top, bottom, v)


def nearest_points(row: Tensor, column: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Distances to the nearest and second-nearest jittered cell point, unit cells (Worley 1996)."""
    i, j = row.floor(), column.floor()
    first = torch.full_like(row, 9.0)
    second = torch.full_like(row, 9.0)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            p, q, _ = unit_floats(hash_cells(i + down, j + right, seed))
            squared = (i + down + p - row) ** 2 + (j + right + q - column) ** 2
            second = torch.minimum(second, torch.maximum(first, squared))
            first = torch.minimum(first, squared)
    return first.sqrt(), second.sqrt()


def spots(row: Tensor, column: Tensor, density: Tensor | float, seed: int) -> tuple[Tensor, Tensor]:
    """Isolated round spots on unit cells: at most one a cell, well inside its reach.

    Args:
        row: Coordinate down, in cells.
        column: Coordinate across, in cells.
        density: Share of the cells that hold a spot, in [0, 1]; varies over the face.
        seed: Which spots.

    Returns:
        Squared distance to the nearest spot in cells (4 where none is near) and that spot's own
        random number in [0, 1). Only the four nearest cells are searched, so use spots of a
        radius up to a third of a cell.
    """
    i, j = (row - 0.5).floor(), (column - 0.5).floor()
    nearest = torch.full_like(row, 4.0)
    identity = torch.zeros_like(row)
    for down in (0, 1):
        for right in (0, 1):
            hashed = hash_cells(i + down, j + right, seed)
            p, q, own = unit_floats(hashed)
            squared = (i + down + 0.2 + 0.6 * p - row) ** 2
            squared = squared + (j + right + 0.2 + 0.6 * q - column) ** 2
            present = unit_floats(hash_cells(i + down, j + right, seed + 7919))[0] < density
            squared = torch.where(present, squared, 4.0)
            identity = torch.where(squared < nearest, own, identity)
            nearest = torch.minimum(nearest, squared)
    return nearest, identity


def strokes(
    row: Tensor,
    column: Tensor,
    angle: Tensor,
    length: float,
    width: float,
    density: Tensor,
    seed: int,
) -> Tensor:
    """Cover in [0, 1] by short straight hairs on unit cells, one a cell where ``density`` has one.

    Args:
        row: Coordinate down, in cells.
        column: Coordinate across, in cells.
        angle: Direction of the hairs from the columns' axis towards the rows' [rad], ``(h, w)``.
        length: Length of a hair in cells, at most 2.
        width: Deviation of a hair's Gaussian section, in cells.
        density: Share of the cells that hold a hair, ``(h, w)``.
        seed: Which hairs.
    """
    i, j = row.floor(), column.floor()
    cosine, sine = torch.cos(angle), torch.sin(angle)
    clear = torch.ones_like(row)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            p, q, own = unit_floats(hash_cells(i + down, j + right, seed))
            dy, dx = row - (i + down + p), column - (j + right + q)
            lean = ((13 * p + 7 * q) % 1 - 0.5) * 0.9
            along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
            along, across = along + lean * across, across - lean * along
            beyond = (along.abs() - 0.5 * length * (0.5 + 0.5 * q)).clamp(min=0)
            squared = (across**2 + beyond**2) / width**2
            clear = clear * (1 - torch.exp(-0.5 * squared) * (own < density))
    return 1 - clear
