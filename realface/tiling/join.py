"""One output while it is stitched: kept parts pass through, ramps wait for their neighbours."""

from typing import Protocol

import torch
from torch import Tensor

from realface.errors import InputError
from realface.tiling.blend import ramp_up
from realface.tiling.plan import Plan


class Sink(Protocol):
    """Where an output map goes, in rectangles that cover it once."""

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take finished values, on a thread of its own.

        Args:
            y: Row of their upper edge [px].
            x: Column of their left edge [px].
            values: ``(C, h, w)`` float32 on the CPU, to be read at once: their memory may be
                used again.
        """


class Join:
    """Hands what is kept of each window to a sink, each pixel once.

    Where neighbours are cross-faded, the weighted ramp on a window's right waits for the window
    there, and the one on its bottom for the row below: no sum of the whole map is kept, nor of its
    weights. Without ramps nothing waits.

    Args:
        name: Of the output, for messages.
        sink: Where it goes.
        plan: Its windows.
    """

    def __init__(self, name: str, sink: Sink, plan: Plan) -> None:
        self._name, self._sink, self._plan = name, sink, plan
        self._rows, self._columns = plan.kept_rows, plan.kept_columns
        self._channels: int | None = None
        self._up = ramp_up(plan.ramp, plan.fade)
        self._right: tuple[tuple[int, int], Tensor] | None = None
        self._bottom = torch.empty(0)

    def add(self, row: int, column: int, values: Tensor) -> None:
        """Take what is kept of a window; windows come row by row, left to right.

        Args:
            row: Index of the row of windows.
            column: Index of the column of windows.
            values: ``(C, h, w)`` float32 on the CPU; written into.

        Raises:
            InputError: If the windows differ in their channels.
        """
        self._check(values)
        (top, _), (left, _) = self._rows[row], self._columns[column]
        if not self._plan.ramp:
            self._sink.write(top, left, values)
            return
        self._fade(row, column, values)
        height, width = values.shape[1:]
        below, beyond = row + 1 < len(self._rows), column + 1 < len(self._columns)
        height -= self._plan.ramp if below else 0
        width -= self._plan.ramp if beyond else 0
        if column and self._right is not None and self._right[0] == (row, column):
            values[:, :, : self._plan.ramp] += self._right[1]
        if row:
            values[:, : self._plan.ramp, :width] += self._bottom[:, :, left : left + width]
        if beyond:
            self._right = (row, column + 1), values[:, :, width:].clone()
        if below:
            self._bottom[:, :, left : left + width] = values[:, height:, :width]
        self._sink.write(top, left, values[:, :height, :width])

    def _fade(self, row: int, column: int, values: Tensor) -> None:
        """Weight the borders with neighbours."""
        ramp, up = self._plan.ramp, self._up
        if row:
            values[:, :ramp] *= up[:, None]
        if row + 1 < len(self._rows):
            values[:, -ramp:] *= 1 - up[:, None]
        if column:
            values[:, :, :ramp] *= up
        if column + 1 < len(self._columns):
            values[:, :, -ramp:] *= 1 - up

    def _check(self, values: Tensor) -> None:
        if self._channels is None:
            self._channels = values.shape[0]
            # Zeros: what windows of an earlier run have left here is written there already.
            self._bottom = torch.zeros(self._channels, self._plan.ramp, self._plan.size[1])
        if values.shape[0] != self._channels:  # one channel would be spread over all, unasked
            raise InputError(
                f"the function returned {self._name} with {values.shape[0]} channels",
                f"{self._channels} channels, as for the windows before",
                "use a function that returns the same channels for every window",
            )
