"""How far overlapping windows disagree, measured on the predictions, before blending.

A blend hides the edge between windows that disagree in tone, not the wrong tone: a seam ratio of
one can come with windows that are 17 grey levels apart. So both are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.tiling.blend import ramp_up
from realface.tiling.plan import Plan
from realface.tiling.windows import Span

CELL = 16
"""Side of the squares of the map that a disagreement map has a value for [px]."""


@dataclass(frozen=True)
class Pair:
    """Two neighbouring windows where they are cross-faded.

    Attributes:
        first: Row and column in the plan of the left or upper one.
        second: Of the other one.
        difference: Mean of the second less the first over the texels that count, for each
            channel, ``(C,)`` float64, in output units.
        texels: How many those are; at least 1.
    """

    first: tuple[int, int]
    second: tuple[int, int]
    difference: Tensor
    texels: int


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
        pairs: The neighbours that share a texel that counts.
        shares: Texels that count in each window, by their weights in the map, ``(rows, columns)``
            of windows, float64; empty where nothing is cross-faded.
    """

    mean: float
    max: float
    values: int
    picture: Tensor
    pairs: tuple[Pair, ...] = ()
    shares: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.float64))

    @property
    def tone(self) -> float:
        """Root mean square of the pairs' mean differences: what a constant could mend."""
        texels = sum(pair.texels for pair in self.pairs)
        squares = sum(pair.texels * float(pair.difference.square().mean()) for pair in self.pairs)
        return (squares / texels) ** 0.5 if texels else 0.0

    @property
    def levels(self) -> str:
        """For people, of a map in [0, 1]: mean and tone in grey levels of 255."""
        return f"{255 * self.mean:.2f} grey levels ({255 * self.tone:.2f} of it tone)"

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
        # Plain numbers: a tensor for each pair of windows of a large map takes several times that.
        self._pairs: list[tuple[tuple[int, int], tuple[int, int], list[float], int]] = []
        self._up = ramp_up(plan.ramp, plan.fade).double()
        kept = (len(self._rows), len(self._columns)) if plan.ramp else (0, 0)
        self._shares = torch.zeros(kept, dtype=torch.float64)

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
        here, ramp = (row, column), self._ramp
        down = _weights(self._rows, row, self._up)
        across = _weights(self._columns, column, self._up)
        self._shares[here] = (
            down.sum() * across.sum() if counted is None else down @ counted.double() @ across
        )
        if self._right is not None and self._right[0] == here:
            there, part = (row, column - 1), _part(counted, slice(None), slice(ramp))
            self._compare(there, self._right[1], here, values[:, :, :ramp], part)
        if (above := self._bottom.pop(here, None)) is not None:
            there, part = (row - 1, column), _part(counted, slice(ramp), slice(None))
            self._compare(there, above, here, values[:, :ramp], part)
        self._right = None
        if column + 1 < len(self._columns):
            self._right = (row, column + 1), values[:, :, -ramp:].clone()
        if row + 1 < len(self._rows):
            self._bottom[row + 1, column] = values[:, -ramp:].clone()

    def result(self) -> Disagreement:
        """What has been measured so far."""
        mean = self._sum / self._values if self._values else 0.0
        pairs = tuple(
            Pair(first, second, torch.tensor(difference, dtype=torch.float64), texels)
            for first, second, difference, texels in self._pairs
        )
        shares = self._shares.clone()
        return Disagreement(mean, self._max, self._values, self._picture, pairs, shares)

    def _compare(
        self,
        first: tuple[int, int],
        strip: Tensor,
        second: tuple[int, int],
        other: Tensor,
        counted: Tensor | None,
    ) -> None:
        """Overwrites the strip, of the first window, with the difference."""
        difference, channels = strip.sub_(other), strip.shape[0]
        if counted is not None:
            difference *= counted
        pixels = difference[0].numel() if counted is None else int(counted.sum())
        if pixels:
            mean = -difference.sum((1, 2), dtype=torch.float64) / pixels
            self._pairs.append((first, second, mean.tolist(), pixels))
        difference.abs_()
        # Over a strip in float32 with pairwise sums, over windows in double.
        self._sum += float(difference.sum())
        self._values += pixels * channels
        largest = difference.amax(0)
        self._max = max(self._max, float(largest.max()))
        self._draw(largest, (self._rows[second[0]][0], self._columns[second[1]][0]))

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


def _weights(kept: Sequence[Span], index: int, up: Tensor) -> Tensor:
    """Of the pixels of a row, or column, of windows in the map, float64: 1, less in ramps."""
    start, stop = kept[index]
    weights, ramp = torch.ones(stop - start, dtype=torch.float64), len(up)
    if index:
        weights[:ramp] *= up
    if index + 1 < len(kept):
        weights[-ramp:] *= 1 - up
    return weights
