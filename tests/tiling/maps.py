"""Maps and callables with a known answer."""

import torch
from torch import Tensor

from realface.tiling.engine import WindowFunction, stitch
from realface.tiling.plan import Plan
from realface.tiling.tensors import TensorSink, TensorSource


def coordinates(height: int, width: int) -> Tensor:
    """(2, H, W): y and x, each from 0 to 1; a window put one pixel off would show."""
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    x = torch.linspace(0, 1, width)[None].expand(height, width)
    return torch.stack((y, x))


def noise(channels: int, height: int, width: int) -> Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))


def stitch_tensor(fn: WindowFunction, values: Tensor, plan: Plan) -> Tensor:
    """Stitch fn's output "out" from one input "in", in memory."""
    sink = TensorSink(plan.size)
    stitch(fn, {"in": TensorSource(values)}, {"out": sink}, plan)
    return sink.values


class Rows:
    """A source of any height that holds nothing: the value is the row's number over 1000."""

    def __init__(self, size: tuple[int, int], channels: int = 1) -> None:
        self.size, self.channels = size, channels

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        rows = torch.arange(y, y + height, dtype=torch.float32)[:, None] / 1000
        return rows.expand(self.channels, height, width)


class Ledger:
    """A sink that only writes down what it was asked to write."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, int, tuple[int, ...]]] = []

    def write(self, y: int, x: int, values: Tensor) -> None:
        self.writes.append((y, x, tuple(values.shape)))
