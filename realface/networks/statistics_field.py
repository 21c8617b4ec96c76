"""Statistics that vary over a map, by position alone: windows that overlap still agree."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass
class Position:
    """Where the windows in work lie; shared by all fields of a network.

    Attributes:
        origins: ``(y, x)`` of the upper left texel of each window of the batch [px].
    """

    origins: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class StatisticsField:
    """Mean and variance on a grid over the map, bilinear between its points, constant beyond.

    After Dense Normalization (Ho et al., arXiv:2407.04245), from its description.

    Attributes:
        mean: ``(C, rows, columns)`` float32.
        variance: ``(C, rows, columns)`` float32.
        y: ``(rows,)`` float64, rising, where the grid's points lie [px of the map].
        x: ``(columns,)`` likewise.
        stride: Texels of the map for one of the features.
        position: Of the windows.
    """

    mean: Tensor
    variance: Tensor
    y: Tensor
    x: Tensor
    stride: int
    position: Position

    def normalise(self, x: Tensor, eps: float) -> Tensor:
        """Normalise ``(B, C, H, W)``, its windows lying at ``position``.

        Raises:
            ValueError: If the position names another number of windows.
        """
        if len(self.position.origins) != len(x):
            raise ValueError(
                f"{len(x)} windows, and the position of {len(self.position.origins)}: "
                "set Position.origins before the network runs"
            )
        made = torch.empty_like(x)
        for index, (top, left) in enumerate(self.position.origins):
            rows = self._between(self.y, top, x.shape[2])
            columns = self._between(self.x, left, x.shape[3])
            mean = _interpolated(self.mean.to(x.device), rows, columns)
            variance = _interpolated(self.variance.to(x.device), rows, columns)
            made[index] = (x[index] - mean) * (variance + eps).rsqrt_()
        return made

    def _between(self, points: Tensor, start: int, length: int) -> "_Between":
        # In absolute positions and float64, so that another window gives the same bits.
        texel = torch.arange(start // self.stride, start // self.stride + length)
        centre = ((texel.double() + 0.5) * self.stride).clamp(points[0], points[-1])
        after = torch.searchsorted(points, centre).clamp(min=min(1, len(points) - 1))
        before = (after - 1).clamp(min=0)
        step = (points[after] - points[before]).clamp(min=1)
        return _Between(before, after, ((centre - points[before]) / step).float())


class _Between(NamedTuple):
    """For each feature along an axis the points before and after it, and the latter's weight."""

    before: Tensor
    after: Tensor
    weight: Tensor


def _interpolated(table: Tensor, rows: _Between, columns: _Between) -> Tensor:
    """``(C, H, W)`` from ``(C, rows, columns)``, on the table's device."""
    above, below, down = (one.to(table.device) for one in rows)
    left, right, across = (one.to(table.device) for one in columns)
    # Not lerp: it may fuse its product and sum, in the middle of a row but not at its end.
    tall = table[:, above] * (1 - down)[:, None] + table[:, below] * down[:, None]
    return tall[:, :, left] * (1 - across) + tall[:, :, right] * across
