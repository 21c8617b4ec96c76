"""One output while it is stitched: a band of rows summed, and handed on as rows are finished."""

from typing import Protocol

import torch
from torch import Tensor

from realface.errors import InputError
from realface.tiling.blend import axis_weights
from realface.tiling.plan import Plan


class Sink(Protocol):
    """Where an output map goes, in bands from top to bottom, each row once."""

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take finished values.

        Args:
            y: Row of their upper edge [px].
            x: Column of their left edge [px]; ``stitch`` writes full width, so 0.
            values: ``(C, h, w)`` float32 on the CPU; the sink may keep them. Each is a view of
                a band: copy it to keep only those rows in memory.
        """


class Band:
    """Sums the windows of one row at a time, and carries over the rows that the next row shares.

    Memory: ``C * window height * map width`` float32 values while a row of windows is summed,
    only the rows shared with the next row between rows; never more, however high the map is.
    """

    def __init__(self, name: str, sink: Sink, plan: Plan) -> None:
        self._name, self._sink, self._plan = name, sink, plan
        self._channels: int | None = None
        self._weights = axis_weights(plan.rows), axis_weights(plan.columns)
        self._sums: Tensor | None = None
        self._carried: Tensor | None = None

    def add(self, row: int, column: int, values: Tensor) -> None:
        """Add a window, weighted; ``values`` are only read.

        Args:
            row: Index of the row of windows, the one in work.
            column: Index of the column of windows.
            values: Prediction of the window, ``(C, h, w)`` float32 on the CPU.

        Raises:
            InputError: If the windows differ in their channels.
        """
        if self._channels is None:
            self._channels = values.shape[0]
        if values.shape[0] != self._channels:  # one channel would be spread over all, unasked
            raise InputError(
                f"the function returned {self._name} with {values.shape[0]} channels",
                f"{self._channels} channels, as for the windows before",
                "use a function that returns the same channels for every window",
            )
        if self._sums is None:
            self._sums = self._begin(values.shape[0])
        down, across = self._weights
        start, stop = self._plan.columns[column]
        self._sums[:, :, start:stop].addcmul_(values, torch.outer(down[row], across[column]))

    def finish(self, row: int) -> None:
        """Write the rows that no later window reaches, and keep the rest; ends a row of windows.

        Args:
            row: Index of the row of windows.
        """
        sums, self._sums = self._sums, None
        if sums is None:
            raise ValueError(f"row {row} of windows was finished before a window was added")
        rows = self._plan.rows
        finished = sums.shape[1]
        if row + 1 < len(rows):
            finished = rows[row + 1][0] - rows[row][0]
            self._carried = sums[:, finished:].clone()
        self._sink.write(rows[row][0], 0, sums[:, :finished])

    def _begin(self, channels: int) -> Tensor:
        """Empty band with the rows carried from the one above on top.

        A new one for each row of windows, so that what the sink was given stays as it was.
        """
        sums = torch.zeros(channels, self._plan.window[0], self._plan.size[1])
        if self._carried is not None:
            sums[:, : self._carried.shape[1]] = self._carried
            self._carried = None
        return sums
