"""Maps in memory as sources and sinks."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorSource:
    """A map in memory; windows are views of it.

    Attributes:
        values: ``(C, H, W)`` float32 on the CPU.
    """

    values: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the map [px]."""
        return self.values.shape[1], self.values.shape[2]

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """Window whose upper left pixel is ``(y, x)``, ``(C, height, width)``."""
        return self.values[:, y : y + height, x : x + width]


class TensorSink:
    """Collects a map in memory.

    Attributes:
        values: ``(C, H, W)`` float32; without channels until the first write, and then undefined
            where nothing was written yet.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """Take a map of ``size``, height and width [px]; its channels come with the first write."""
        self.size = size
        self.values = torch.empty(0, *size)

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Copy finished values, ``(C, h, w)``, to ``(y, x)``."""
        if not self.values.shape[0]:
            self.values = torch.empty(values.shape[0], *self.size)
        self.values[:, y : y + values.shape[1], x : x + values.shape[2]] = values
