"""What lies around a plan's windows, where they do not cover the map."""

from collections.abc import Callable, Iterator

from torch import Tensor

from realface.tiling.join import Sink
from realface.tiling.plan import Plan
from realface.tiling.windows import Box

_PIECE = 512  # px; what is written at once, and in what steps down and across

Fill = Callable[[int, int, int, int], Tensor]
"""From ``y, x, height, width`` of a part of the map to its values, ``(C, height, width)``."""


class Surrounded:
    """A sink for a plan's windows that has the rest of the map filled in.

    It is written with the windows that it lies beside, so that a map grows row by row.

    Args:
        sink: Where the map goes.
        plan: Windows that are cut.
        fill: What the map holds where no window is.
    """

    def __init__(self, sink: Sink, plan: Plan, fill: Fill) -> None:
        self._sink, self._plan, self._fill = sink, plan, fill

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take what is kept of a window, ``(C, h, w)``."""
        rows, columns = (y, y + values.shape[1]), (x, x + values.shape[2])
        (top, bottom), (left, right) = self._plan.reach(rows, columns)
        self._surround(((top, y), (left, right)))
        self._surround((rows, (left, x)))
        self._sink.write(y, x, values)
        self._surround((rows, (columns[1], right)))
        self._surround(((rows[1], bottom), (left, right)))

    def _surround(self, box: Box) -> None:
        for rows, columns in _pieces(box):
            part = rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0]
            self._sink.write(part[0], part[1], self._fill(*part))


def _pieces(box: Box) -> Iterator[Box]:
    """A part of a map in pieces, row by row; their borders are at multiples of `_PIECE`."""
    (top, bottom), (left, right) = box
    for y in range(top // _PIECE * _PIECE, bottom, _PIECE):
        for x in range(left // _PIECE * _PIECE, right, _PIECE):
            rows = max(y, top), min(y + _PIECE, bottom)
            columns = max(x, left), min(x + _PIECE, right)
            if rows[0] < rows[1] and columns[0] < columns[1]:
                yield rows, columns
