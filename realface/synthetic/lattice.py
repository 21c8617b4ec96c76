"""Where things are: the chart of a face in millimetres, and smooth fields on a lattice over it.

The chart is the UV map unrolled: 300 x 200 mm at 3:2, x to the right and y up, in millimetres,
with the face's midline at x = 0. Smooth fields (shape, regions) are computed once on a lattice half
a millimetre apart, whatever the size of the map, and read through cubic B-splines, which
are twice differentiable: the tangents of ``shape`` are exact.

Everything is batched: a grid holds one window for each subject, all of one size and one texel.
Sizes are numbers of the host and never read from a tensor, so nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

CHART_WIDTH = 300.0
"""Width of the unrolled map [mm]."""

CHART_TOP = 104.0
"""Height of the map's upper edge [mm]; y = 0 lies at the height of the tip of the nose."""

LATTICE_SPACING = 0.5
"""Distance of lattice points [mm]."""

Window = tuple[int, int, int, int]
"""``(y, x, height, width)`` within a map [texels]."""


@dataclass(frozen=True)
class Grid:
    """Evenly spaced places on the chart, one window per member of a batch, in millimetres.

    Attributes:
        y: Heights of the rows, ``(B, h)``: falling for texels, rising for a lattice.
        x: Places of the columns, ``(B, w)``, rising.
        texel: Distance of neighbours [mm].
        low: Lowest y and x that the first member asked for [mm]; the windows of the other
            members lie elsewhere, but what is asked for around them lies alike.
    """

    y: Tensor
    x: Tensor
    texel: float
    low: tuple[float, float]

    @property
    def size(self) -> tuple[int, int, int]:
        """Members, rows and columns."""
        return len(self.y), self.y.shape[1], self.x.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the windows are computed."""
        return self.x.device

    def mesh(self) -> tuple[Tensor, Tensor]:
        """``y`` (B, h, 1) and ``x`` (B, 1, w), which broadcast to every texel."""
        return self.y[:, :, None], self.x[:, None, :]

    def thinned(self, count: int) -> Grid:
        """Every so-many-th place, of which about ``count`` remain along the longer side."""
        stride = max(1, max(self.size[1:]) // count)
        y, x = self.y[:, stride // 2 :: stride], self.x[:, stride // 2 :: stride]
        return Grid(y, x, self.texel * stride, self.low)


def texel_grid(width: int, windows: Sequence[Window], device: torch.device) -> Grid:
    """Texel centres of windows of one size, each in a map that is ``width`` texels wide."""
    texel = CHART_WIDTH / width
    rows, columns = windows[0][2:]
    # On the CPU: Apple's GPUs have no float64.
    top = torch.tensor([window[0] for window in windows], dtype=torch.float64)[:, None]
    left = torch.tensor([window[1] for window in windows], dtype=torch.float64)[:, None]
    y = CHART_TOP - (top + torch.arange(rows, dtype=torch.float64) + 0.5) * texel
    x = (left + torch.arange(columns, dtype=torch.float64) + 0.5) * texel - CHART_WIDTH / 2
    low = y[0, -1].item(), x[0, 0].item()
    return Grid(y.float().to(device), x.float().to(device), texel, low)


def lattice_covering(grid: Grid, margin: float) -> Grid:
    """Lattice points around ``grid``, ``margin`` mm wider on every side; rows rise with y."""
    _, rows, columns = grid.size

    def axis(places: Tensor, count: int) -> Tensor:
        knots = math.ceil(((count - 1) * grid.texel + 2 * margin) / LATTICE_SPACING) + 2
        first = ((places.amin(dim=1, keepdim=True) - margin) / LATTICE_SPACING).floor()
        return (first + torch.arange(knots, device=grid.device)) * LATTICE_SPACING

    low = grid.low[0] - margin, grid.low[1] - margin
    return Grid(axis(grid.y, rows), axis(grid.x, columns), LATTICE_SPACING, low)


def knots_touched(count: int, step: float) -> int:
    """At most so many control points shape ``count`` places that are ``step`` knots apart."""
    return int((count - 1) * step) + 6  # 4 for a place, 1 where it falls, 1 for rounding


def bspline_weights(
    position: Tensor, first: Tensor, count: int, derivative: bool = False
) -> Tensor:
    """Weights that read a uniform cubic B-spline at ``position``, in knots.

    Args:
        position: Places, ``(B, n)``.
        first: Number of the first control point of each member, ``(B, 1)``.
        count: How many control points there are.
        derivative: Of the slope per knot, instead of the value.

    Returns:
        ``(B, n, count)``.
    """
    floor = position.floor()
    f = (position - floor)[..., None]
    basis = _basis(position.device, derivative)
    taps = torch.addcmul(basis[2], f, torch.addcmul(basis[1], f, basis[0]))
    taps = torch.addcmul(basis[3], f, taps)
    at = (floor - (first + 1)).long()[..., None] + torch.arange(4, device=position.device)
    return position.new_zeros(*position.shape, count).scatter_(2, at, taps)


@cache
@torch.inference_mode(False)  # kept, and so fit for gradients whoever asks first
def _basis(device: torch.device, derivative: bool) -> Tensor:
    """The four pieces of the cubic B-spline as polynomials, highest power first, ``(4, 4)``."""
    pieces = torch.tensor([[-1.0, 3, -3, 1], [3, -6, 3, 0], [-3, 0, 3, 0], [1, 4, 1, 0]]) / 6
    if derivative:
        falling = torch.tensor([3.0, 2, 1])[:, None]
        pieces = torch.cat((torch.zeros(1, 4), falling * pieces[:3]))
    return pieces.to(device)


class Reader:
    """Reads lattice fields ``(B, C, rows, columns)`` at the texels of a grid inside it."""

    def __init__(self, lattice: Grid, grid: Grid) -> None:
        self._rows, self._vertical, self._slope_y = _axis_weights(
            lattice.y, grid.y, grid.low[0] - lattice.low[0], grid.texel
        )
        self._columns, self._horizontal, self._slope_x = _axis_weights(
            lattice.x, grid.x, grid.low[1] - lattice.low[1], grid.texel
        )

    def values(self, fields: Tensor) -> Tensor:
        """Values at the texels, ``(B, C, h, w)``."""
        return self._vertical @ self._crop(fields) @ self._horizontal.mT

    def slopes(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives by x and by y, per millimetre, each ``(B, C, h, w)``."""
        crop = self._crop(fields)
        by_x = self._vertical @ crop @ self._slope_x.mT
        by_y = self._slope_y @ crop @ self._horizontal.mT
        return by_x, by_y

    def _crop(self, fields: Tensor) -> Tensor:
        return fields[..., self._rows, self._columns]


def _axis_weights(
    knots: Tensor, at: Tensor, above: float, texel: float
) -> tuple[slice, Tensor, Tensor]:
    """The knots that a window touches, and its weights of value and slope ``(B, 1, n, count)``.

    ``above`` is how far the window's lowest place lies above the lattice's [mm].
    """
    position, origin = at / LATTICE_SPACING, (knots[:, :1] / LATTICE_SPACING).round()
    # Where a knot lies below the lowest place differs by one between members.
    start = max(0, int(above / LATTICE_SPACING) - 2)
    count = min(knots_touched(at.shape[1], texel / LATTICE_SPACING) + 2, knots.shape[1] - start)
    first = origin + start
    values = bspline_weights(position, first, count)
    slopes = bspline_weights(position, first, count, derivative=True) / LATTICE_SPACING
    return slice(start, start + count), values[:, None], slopes[:, None]
