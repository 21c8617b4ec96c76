"""How far overlapping windows disagree, measured on the predictions, before blending.

A blend hides the edge between windows that disagree in tone, not the wrong tone: a seam ratio of
one can come with windows that are 17 grey levels apart. So both are measured.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.tiling.plan import Plan


@dataclass(frozen=True)
class Disagreement:
    """Absolute difference of neighbouring windows where they overlap, in the output's own units.

    Attributes:
        mean: Mean over ``values``, unweighted; 0 where nothing overlaps.
        max: Largest difference; 0 where nothing overlaps.
        values: How many pairs of values were compared: counted pixels times channels, once for
            each pair of neighbours (left and right, above and below; not diagonal).
    """

    mean: float
    max: float
    values: int

    def __str__(self) -> str:
        return f"mean {self.mean:.3g}, max {self.max:.3g}"


class DisagreementMeter:
    """Compares each window of one output with its left and upper neighbour.

    Keeps the right strip of the window before and the bottom strips of the row above, copied: a
    view would keep whole windows alive, and a callable may reuse the memory of its output.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._right: Tensor | None = None
        self._bottom: dict[int, Tensor] = {}
        self._sum, self._max, self._values = 0.0, 0.0, 0

    def add(self, row: int, column: int, values: Tensor, counted: Tensor | None = None) -> None:
        """Compare a window and keep its strips; windows come row by row, left to right.

        Args:
            row: Index of the row of windows.
            column: Index of the column of windows.
            values: Prediction of the window, ``(C, h, w)``.
            counted: Which of its pixels count, ``(h, w)`` boolean; None: all.
        """
        if counted is None:
            counted = torch.ones(values.shape[1:], dtype=torch.bool)
        rows, columns = self._plan.rows, self._plan.columns
        if column and self._right is not None:
            width = self._right.shape[2]
            self._compare(self._right, values[:, :, :width], counted[:, :width])
        if row and column in self._bottom:
            above = self._bottom.pop(column)
            height = above.shape[1]
            self._compare(above, values[:, :height], counted[:height])
        self._right = None
        if column + 1 < len(columns):
            following = columns[column + 1][0] - columns[column][0]
            self._right = values[:, :, following:].clone()
        if row + 1 < len(rows):
            following = rows[row + 1][0] - rows[row][0]
            self._bottom[column] = values[:, following:].clone()

    def result(self) -> Disagreement:
        """What has been measured so far."""
        mean = self._sum / self._values if self._values else 0.0
        return Disagreement(mean, self._max, self._values)

    def _compare(self, one: Tensor, other: Tensor, counted: Tensor) -> None:
        difference = (one - other).abs_()[:, counted]
        if difference.numel() == 0:  # no overlap, or none that counts
            return
        # The mean is taken in float32 with pairwise sums, the total over windows in double.
        self._sum += float(difference.mean()) * difference.numel()
        self._max = max(self._max, float(difference.max()))
        self._values += difference.numel()
