"""Mean, spread and bounds of the maps of many patches, gathered one by one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from realface.maps.files import Array


@dataclass(frozen=True)
class Statistics:
    """Of one kind's values so far, each number per channel.

    Attributes:
        count: Texels.
        mean: Of their values.
        squares: Sum of their squared differences from the mean.
        low: Least value.
        high: Greatest value.
    """

    count: int
    mean: tuple[float, ...]
    squares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def merged(self, other: "Statistics") -> "Statistics":
        """Of both together: Chan, Golub and LeVeque 1983, equation 1.5b; in float64."""
        count = self.count + other.count
        gap = np.subtract(other.mean, self.mean)
        mean = np.add(self.mean, gap * (other.count / count))
        squares = np.add(self.squares, other.squares)
        squares = squares + gap**2 * (self.count * other.count / count)
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Statistics(count, _plain(mean), _plain(squares), _plain(low), _plain(high))

    def summary(self) -> dict[str, Any]:
        """``mean``, ``std``, ``min`` and ``max``, lists over the channels."""
        std = np.sqrt(np.divide(self.squares, self.count))
        return {
            "mean": list(self.mean),
            "std": list(_plain(std)),
            "min": list(self.low),
            "max": list(self.high),
        }


def measure(maps: Mapping[str, Tensor]) -> dict[str, Statistics]:
    """Of one patch, by kind.

    Args:
        maps: ``(C, h, w)`` float32 by kind, finite inside ``mask``. Where there is a ``mask``, the
            texels where it is above 0.5 count, and in the mask itself all of them.

    Returns:
        Nothing of a kind without a valid texel. The same numbers whatever the number of threads.
    """
    mask = maps.get("mask")
    inside = None if mask is None else (mask > 0.5).flatten().numpy()
    if inside is not None and inside.all():
        inside = None
    found = {}
    for kind, values in maps.items():
        texels = values.flatten(1).numpy()
        if kind != "mask" and inside is not None:
            texels = texels.compress(inside, axis=1)
        if texels.size:
            found[kind] = _measure(texels)
    return found


def _measure(texels: Array) -> Statistics:
    """Of ``(C, N)`` float32: by NumPy, which sums in one order whatever the number of threads."""
    mean = texels.mean(axis=1, dtype=np.float64)
    apart = texels - mean[:, None].astype(np.float32)
    apart *= apart
    return Statistics(
        texels.shape[1],
        _plain(mean),
        _plain(apart.sum(axis=1)),
        _plain(texels.min(axis=1)),
        _plain(texels.max(axis=1)),
    )


def merge(parts: Iterable[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """Of all parts together, by kind; the same for the same order of parts."""
    total: dict[str, Statistics] = {}
    for part in parts:
        for kind, statistics in part.items():
            total[kind] = total[kind].merged(statistics) if kind in total else statistics
    return total


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
