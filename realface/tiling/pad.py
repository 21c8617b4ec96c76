"""Maps of any size for networks with a stride: padded in the open, cropped back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.tiling.engine import Source
from realface.tiling.join import Sink
from realface.tiling.windows import next_multiple


def padded(source: Source, multiple_of: int) -> Source:
    """Extend a map at its bottom and right edge to the next multiple of ``multiple_of``.

    Pixels are reflected at the edge, which is not repeated; where the map is too small to reflect
    further, the last pixel reflected is repeated. Values are copied as they are: vectors are not
    mirrored. Nothing is held: a window is padded when it is read.

    Args:
        source: Any map.
        multiple_of: Stride of the network [px].

    Returns:
        A source of the padded size; ``source`` itself, if its size fits.

    Raises:
        InputError: If ``multiple_of`` is less than 1.
    """
    if multiple_of < 1:
        raise InputError(f"multiple_of={multiple_of}", "at least 1", "give the network's stride")
    height, width = (next_multiple(side, multiple_of) for side in source.size)
    return source if (height, width) == tuple(source.size) else _Padded(source, (height, width))


def cropped(sink: Sink, size: tuple[int, int]) -> Sink:
    """Drop what is written below and to the right of ``size``: the other half of ``padded``.

    Args:
        sink: Where the map of the size asked for goes.
        size: Height and width of that map [px].

    Returns:
        A sink that takes the padded map.
    """
    return _Cropped(sink, size)


@dataclass(frozen=True)
class _Padded:
    source: Source
    size: tuple[int, int]

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        rows = _reflected(y, height, self.source.size[0])
        columns = _reflected(x, width, self.source.size[1])
        top, left = int(rows.min()), int(columns.min())
        box = int(rows.max()) - top + 1, int(columns.max()) - left + 1
        values = self.source.read(top, left, *box)
        if y + height <= self.source.size[0] and x + width <= self.source.size[1]:
            return values
        return values.index_select(1, rows - top).index_select(2, columns - left)


@dataclass(frozen=True)
class _Cropped:
    sink: Sink
    size: tuple[int, int]

    def write(self, y: int, x: int, values: Tensor) -> None:
        inside = values[:, : max(self.size[0] - y, 0), : max(self.size[1] - x, 0)]
        if inside.numel():
            self.sink.write(y, x, inside)


def _reflected(start: int, length: int, size: int) -> Tensor:
    """Pixel of an axis of ``size`` that stands for each of ``length`` pixels from ``start``."""
    position = torch.arange(start, start + length)
    return torch.minimum(position, 2 * (size - 1) - position).clamp(min=0)
