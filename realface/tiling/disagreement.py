"""How far overlapping windows disagree, measured on the predictions, before blending.

A blend hides the edge between windows that disagree in tone, not the wrong tone: a seam ratio of
one can come with windows that are 17 grey levels apart. So both are measured.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.tiling.plan import Plan

CELL = 16
"""Side of the squares of the map that a disagreement map has a value for [px]."""


@dataclass(frozen=True)
class Disagreement:
    """Absolute difference of neighbouring windows where they are cross-faded, in output units.

    Attributes:
        mean: Mean over ``values``, unweighted; 0 where nothing is cross-faded.
        max: Largest difference; 0 where nothing is.
        values: How many pairs of values were compared: counted pixels times channels, once for
            each pair of neighbours (left and right, above and below; not diagonal).
        picture: ``(ceil(H / CELL), ceil(W / CELL))``, the largest difference in each square of
            the map; 0 where nothing was compared.
    """

    mean: float
    max: float
    values: int
    picture: Tensor

    def __str__(self) -> str:
        return f"mean {self.mean:.3g}, max {self.max:.3g}"


class DisagreementMeter:
    """Compares what is kept of each window of one output with its left and upper neighbour.

    Keeps the right strip of the window before and the bottom strips of the row above, copied: a
    view would keep whole windows alive, and a callable may reuse the memory of its output.
    """

    def __init__(self, plan: Plan) -> None:
        self._ramp = plan.ramp
        self._rows, self._columns = plan.kept_rows, plan.kept_columns
        self._right: tuple[tuple[int, int], Tensor] | None = None
        self._bottom: dict[tuple[int, int], Tensor] = {}
        self._sum, self._max, self._values = 0.0, 0.0, 0
        self._picture = torch.zeros(*(-(-side // CELL) for side in plan.size))

    def add(self, row: int, column: int, values: Tensor, counted: Tensor | None = None) -> None:
        """Compare what is kept of a window; windows come row by row, left to right.

        Args:
            row: Index of the row of windows.
            column: Index of the column of windows.
            values: ``(C, h, w)``.
            counted: Which of its pixels count, ``(h, w)`` boolean; None: all.
        """
        if not self._ramp:
            return
        here, ramp = (self._rows[row][0], self._columns[column][0]), self._ramp
        if self._right is not None and self._right[0] == (row, column):
            self._compare(
                self._right[1], values[:, :, :ramp], _part(counted, slice(None), slice(ramp)), here
            )
        if (above := self._bottom.pop((row, column), None)) is not None:
            self._compare(above, values[:, :ramp], _part(counted, slice(ramp), slice(None)), here)
        self._right = None
        if column + 1 < len(self._columns):
            self._right = (row, column + 1), values[:, :, -ramp:].clone()
        if row + 1 < len(self._rows):
            self._bottom[row + 1, column] = values[:, -ramp:].clone()

    def result(self) -> Disagreement:
        """What has been measured so far."""
        mean = self._sum / self._values if self._values else 0.0
        return Disagreement(mean, self._max, self._values, self._picture)

    def _compare(
        self, strip: Tensor, other: Tensor, counted: Tensor | None, corner: tuple[int, int]
    ) -> None:
        """Overwrites the strip with the difference."""
        difference, channels = strip.sub_(other).abs_(), strip.shape[0]
        if counted is not None:
            difference *= counted
        pixels = difference[0].numel() if counted is None else int(counted.sum())
        # Over a strip in float32 with pairwise sums, over windows in double.
        self._sum += float(difference.sum())
        self._values += pixels * channels
        largest = difference.amax(0)
        self._max = max(self._max, float(largest.max()))
        self._draw(largest, corner)

    def _draw(self, largest: Tensor, corner: tuple[int, int]) -> None:
        """Into the picture, the map's squares being those that start at multiples of ``CELL``."""
        (y, x), (height, width) = corner, largest.shape
        padding = (x % CELL, -(x + width) % CELL, y % CELL, -(y + height) % CELL)
        cells = F.max_pool2d(F.pad(largest, padding)[None], CELL)[0]
        top, left = y // CELL, x // CELL
        part = self._picture[top : top + cells.shape[0], left : left + cells.shape[1]]
        torch.maximum(part, cells, out=part)


def _part(counted: Tensor | None, rows: slice, columns: slice) -> Tensor | None:
    return None if counted is None else counted[rows, columns]
