"""Maps read at another size, a window at a time: the same values whatever the windows.

Keys' cubic convolution (a = -1/2), stretched over what a texel of a smaller map covers; "Cubic
convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981,
doi:10.1109/TASSP.1981.1163711.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from realface.maps.encoding import unit
from realface.maps.io import MapFile, check_window
from realface.maps.kinds import MapKind
from realface.maps.record import MapRecord

Read = Callable[[int, int, int, int], Tensor]
"""From ``y, x, height, width`` of a window to its values, ``(C, height, width)``."""

_BAND = 256  # rows that a whole map is resampled by, so that memory does not grow twice
_INSIDE = 0.5  # of a texel's weights that lie in the mask: from there on it is valid


class ResampledMap(MapFile):
    """A map of a subject as if its file were of another size.

    Texels outside the mask do not bleed into it: inside, weights are those of valid texels alone,
    outside, the nearest texel is taken.
    Normals come back to unit length, colours into [0, 1], and a mask to 0 and 1.

    Args:
        path: As `MapFile`.
        kind: Likewise.
        record: Likewise; of the file.
        size: ``(height, width)`` to be read at [px].
        mask: Valid texels of the file; None: all.

    Raises:
        InputError: As `MapFile`.
    """

    def __init__(
        self,
        path: Path,
        kind: MapKind,
        record: MapRecord,
        size: tuple[int, int],
        mask: MapFile | None = None,
    ) -> None:
        super().__init__(path, kind, record)
        self._resampled_size, self._mask = size, mask

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` that it is read at [px]."""
        return self._resampled_size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """As `MapFile.read`."""
        check_window(self.size, y, x, height, width)
        window, sizes = (y, x, height, width), (self.record.size, self.size)
        if self.kind.name == "mask":
            return (resample_window(super().read, *sizes, *window) > _INSIDE).float()
        if self._mask is None:
            return bounded(resample_window(super().read, *sizes, *window), self.kind)
        file_read, mask_read = super().read, self._mask.read

        def weighted(*part: int) -> Tensor:
            valid = (mask_read(*part) > 0.5).float()
            return torch.cat((file_read(*part) * valid, valid))

        of_valid, share = resample_window(weighted, *sizes, *window).split((self.kind.channels, 1))
        inside = share > _INSIDE
        beside = nearest_window(file_read, *sizes, *window)
        values = torch.where(inside, of_valid / torch.where(inside, share, 1.0), beside)
        return bounded(values, self.kind)

    def whole(self) -> Tensor:
        """As `MapFile.whole`, by bands."""
        height, width = self.size
        made = torch.empty(self.kind.channels, height, width)
        for y in range(0, height, _BAND):
            rows = min(_BAND, height - y)
            made[:, y : y + rows] = self.read(y, 0, rows, width)
        return made


def bounded(values: Tensor, kind: MapKind) -> Tensor:
    """Values ``(C, h, w)`` that a cubic has overshot, back to what the kind may hold."""
    if kind.encoding == "unit_vector":
        return unit(values)
    return values if kind.encoding == "position" else values.clamp(0, 1)


def resample_window(
    read: Read,
    source: tuple[int, int],
    size: tuple[int, int],
    y: int,
    x: int,
    height: int,
    width: int,
) -> Tensor:
    """A window of a map at another size; what lies beyond the map's edge is as the edge.

    Args:
        read: The map at its own size.
        source: That size, ``(height, width)`` [px].
        size: The size wanted, likewise; edges of both coincide.
        y: First row of the window, at the size wanted.
        x: First column.
        height: Rows.
        width: Columns.

    Returns:
        ``(C, height, width)``; the same values for any window that holds a texel.
    """
    rows, row_weights = _taps(y, height, source[0], size[0])
    columns, column_weights = _taps(x, width, source[1], size[1])
    top, left = int(rows.min()), int(columns.min())
    part = read(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
    return _along(_along(part, 1, rows - top, row_weights), 2, columns - left, column_weights)


def nearest_window(
    read: Read,
    source: tuple[int, int],
    size: tuple[int, int],
    y: int,
    x: int,
    height: int,
    width: int,
) -> Tensor:
    """As `resample_window`, each texel as the one in whose square its middle lies."""
    rows, columns = (
        (torch.arange(start, start + length, dtype=torch.float64) + 0.5) * old / new
        for start, length, old, new in zip((y, x), (height, width), source, size, strict=True)
    )
    down, across = rows.long(), columns.long()
    top, left = int(down[0]), int(across[0])
    part = read(top, left, int(down[-1]) - top + 1, int(across[-1]) - left + 1)
    return part.index_select(1, down - top).index_select(2, across - left)


def _taps(start: int, length: int, source: int, size: int) -> tuple[Tensor, Tensor]:
    """Texels of an axis and their weights, ``(length, taps)``, for texels from ``start`` on."""
    step = source / size
    stretch = max(step, 1.0)
    taps = math.ceil(4 * stretch) + 1
    centre = (torch.arange(start, start + length, dtype=torch.float64) + 0.5) * step - 0.5
    first = (centre - 2 * stretch).floor()
    position = first[:, None] + torch.arange(taps)
    weights = _cubic((position - centre[:, None]) / stretch)
    weights = weights / weights.sum(1, keepdim=True)
    return position.long().clamp(0, source - 1), weights.float()


def _cubic(distance: Tensor) -> Tensor:
    t = distance.abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))


def _along(values: Tensor, axis: int, places: Tensor, weights: Tensor) -> Tensor:
    """Weighted texels along an axis of ``(C, h, w)``.

    Summed tap by tap: a matrix product may round by the shape of its window.
    """
    shape = [1, 1, 1]
    shape[axis] = len(places)
    made: Tensor | None = None
    for place, weight in zip(places.T, weights.T, strict=True):
        term = values.index_select(axis, place).mul_(weight.view(shape))
        made = term if made is None else made.add_(term)
    assert made is not None
    return made
