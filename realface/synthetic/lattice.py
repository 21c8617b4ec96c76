"""Where things are: the chart of a face in millimetres, and smooth fields on a lattice over it.

The chart is the UV map unrolled: 300 x 200 mm at 3:2, x to the right and y up, in millimetres,
with the face's midline at x = 0. Smooth fields (shape, regions) are computed once on a lattice half
a millimetre apart, whatever the size of the map, and read through cubic B-splines, which
are twice differentiable: the tangents of ``shape`` are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CHART_WIDTH = 300.0
"""Width of the unrolled map [mm]."""

CHART_TOP = 104.0
"""Height of the map's upper edge [mm]; y = 0 lies at the height of the tip of the nose."""

LATTICE_SPACING = 0.5
"""Distance of lattice points [mm]."""


@dataclass(frozen=True)
class Grid:
    """Texel centres of a window: ``y`` (h,) falling and ``x`` (w,) rising, in chart millimetres."""

    y: Tensor
    x: Tensor
    texel: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in texels."""
        return len(self.y), len(self.x)

    @property
    def device(self) -> torch.device:
        """Where the window is computed."""
        return self.x.device

    def mesh(self) -> tuple[Tensor, Tensor]:
        """``y`` and ``x`` of every texel, both ``(h, w)``."""
        y, x = torch.meshgrid(self.y, self.x, indexing="ij")
        return y, x


def texel_grid(width: int, window: tuple[int, int, int, int], device: torch.device) -> Grid:
    """Grid of the window ``(y, x, height, width)`` of a map that is ``width`` texels wide."""
    top, left, rows, columns = window
    texel = CHART_WIDTH / width
    # On the CPU: Apple's GPUs have no float64.
    row = torch.arange(top, top + rows, dtype=torch.float64)
    column = torch.arange(left, left + columns, dtype=torch.float64)
    y = CHART_TOP - (row + 0.5) * texel
    x = (column + 0.5) * texel - CHART_WIDTH / 2
    return Grid(y.float().to(device), x.float().to(device), texel)


def lattice_covering(grid: Grid, margin: float) -> Grid:
    """Lattice points around ``grid``, ``margin`` mm wider on every side; rows rise with y."""
    low_y, high_y = grid.y.min().item() - margin, grid.y.max().item() + margin
    low_x, high_x = grid.x.min().item() - margin, grid.x.max().item() + margin

    def axis(low: float, high: float) -> Tensor:
        first, last = math.floor(low / LATTICE_SPACING), math.ceil(high / LATTICE_SPACING)
        return torch.arange(first, last + 1, device=grid.device).float() * LATTICE_SPACING

    return Grid(axis(low_y, high_y), axis(low_x, high_x), LATTICE_SPACING)


def bspline_matrix(position: Tensor, derivative: bool = False) -> tuple[int, int, Tensor]:
    """Weights that read a uniform cubic B-spline at ``position`` (n,), in knots.

    Returns:
        How many control points are touched, the index of the first, and the ``(n, count)``
        weights; with ``derivative``, of the slope per knot.
    """
    floor = position.floor()
    first = int(floor.min().item()) - 1
    count = int(floor.max().item()) + 2 - first + 1
    f = position - floor
    g = 1 - f
    if derivative:
        taps = (-(g**2) / 2, (3 * f**2 - 4 * f) / 2, -(3 * g**2 - 4 * g) / 2, f**2 / 2)
    else:
        taps = (g**3 / 6, (3 * f**3 - 6 * f**2 + 4) / 6, (3 * g**3 - 6 * g**2 + 4) / 6, f**3 / 6)
    weights = position.new_zeros(len(position), count)
    start = floor.long() - 1 - first
    for offset, tap in enumerate(taps):
        weights.scatter_(1, (start + offset)[:, None], tap[:, None])
    return count, first, weights


class Reader:
    """Reads lattice fields ``(C, rows, columns)`` at the texels of one grid."""

    def __init__(self, lattice: Grid, grid: Grid) -> None:
        self._rows, self._vertical, self._slope_y = _axis_weights(lattice.y, grid.y)
        self._columns, self._horizontal, self._slope_x = _axis_weights(lattice.x, grid.x)

    def values(self, fields: Tensor) -> Tensor:
        """Values at the texels, ``(C, h, w)``."""
        return self._vertical @ self._crop(fields) @ self._horizontal.T

    def slopes(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives by x and by y, per millimetre, each ``(C, h, w)``."""
        crop = self._crop(fields)
        by_x = self._vertical @ crop @ self._slope_x.T
        by_y = self._slope_y @ crop @ self._horizontal.T
        return by_x, by_y

    def _crop(self, fields: Tensor) -> Tensor:
        return fields[:, self._rows, self._columns]


def _axis_weights(knots: Tensor, at: Tensor) -> tuple[slice, Tensor, Tensor]:
    position = at / LATTICE_SPACING
    origin = round(knots[0].item() / LATTICE_SPACING)
    count, first, weights = bspline_matrix(position)
    slopes = bspline_matrix(position, derivative=True)[2] / LATTICE_SPACING
    return slice(first - origin, first - origin + count), weights, slopes
