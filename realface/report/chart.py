"""Histograms as small pictures, on the paper of `realface.report.page`."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from realface.report.page import INK, PAPER, Colour, Image, write, written_width

_HEIGHT, _WIDTH = 480, 960
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 36, 56, 64  # px around the bars
_LINE = 22  # px

_BAR: Colour = (92, 142, 196)
_FAINT: Colour = (52, 52, 52)
_MARKS: tuple[Colour, ...] = ((242, 196, 80), (240, 140, 70), (226, 84, 84))

_MOST = 0.99  # of what is counted is shown at least


def histogram_chart(
    title: str,
    counts: NDArray[np.int64],
    edges: NDArray[np.float64],
    unit: str,
    marks: Mapping[str, float],
) -> Image:
    """Draw a histogram with some of its values marked, ``(480, 960, 3)`` uint8.

    The axis ends at an eighth, a quarter or half of the edges if 99 % lie below, else at the last
    one; how many lie beyond is written, and so is what the last bin holds: it has no end.

    Args:
        title: ASCII.
        counts: ``(N,)``; the last bin also holds what is beyond the last edge.
        edges: ``(N + 1,)`` from 0, equally spaced.
        unit: Of the edges.
        marks: Name: value, at most three; NaN is left out, values within the last bin are written
            as above its lower edge.
    """
    image = np.full((_HEIGHT, _WIDTH, 3), PAPER, np.uint8)
    write(image, title, _LEFT, 30)
    total = int(counts.sum())
    if not total:
        write(image, "no valid texel", _LEFT, _HEIGHT // 2)
        return image
    shares = 100 * counts / total
    end = _shown(shares, edges)
    shown = shares[:-1][: round(end / edges[1])]
    plot = _Plot(image, end, _above(float(shown.max())))
    plot.axes(unit)
    plot.bars(shown, float(edges[1]))
    beyond = max(0.0, 100 - float(shown.sum()))
    if beyond >= 0.005:
        write(image, f"{beyond:.2f} % above {edges[len(shown)]:g} {unit}", _LEFT, _HEIGHT - 16)
    plot.marks(marks, float(edges[-2]), unit)
    return image


class _Plot:
    """The area that bars stand in: 0 to ``end`` to the right, 0 to ``top`` per cent upwards."""

    def __init__(self, image: Image, end: float, top: float) -> None:
        self._image, self._end, self._top = image, end, top

    def _x(self, value: float) -> int:
        return _LEFT + round(min(value / self._end, 1) * (_WIDTH - _LEFT - _RIGHT))

    def _y(self, share: float) -> int:
        return _HEIGHT - _BOTTOM - round(share / self._top * (_HEIGHT - _TOP - _BOTTOM))

    def axes(self, unit: str) -> None:
        for share in _ticks(self._top):
            y, text = self._y(share), f"{share:g} %"
            self._image[y, _LEFT : _WIDTH - _RIGHT] = _FAINT
            write(self._image, text, _LEFT - 10 - written_width(text), y + 5)
        for value in _ticks(self._end):
            x, text = self._x(value), f"{value:g}"
            self._image[self._y(0) : self._y(0) + 6, x] = INK
            write(self._image, text, x - written_width(text) // 2, self._y(0) + 24)
        self._image[self._y(0), _LEFT : _WIDTH - _RIGHT] = INK
        write(self._image, unit, _WIDTH - _RIGHT - written_width(unit), _HEIGHT - 16)

    def bars(self, shares: NDArray[np.float64], width: float) -> None:
        for number, share in enumerate(shares):
            left, right = self._x(number * width), self._x((number + 1) * width)
            self._image[self._y(float(share)) : self._y(0), left + 1 : right] = _BAR

    def marks(self, marks: Mapping[str, float], last: float, unit: str) -> None:
        """Lines, then their names one below the other, on the side that has room."""
        known = {name: value for name, value in marks.items() if not math.isnan(value)}
        for number, value in enumerate(known.values()):
            x = self._x(value)
            self._image[_TOP + number * _LINE : self._y(0), x : x + 2] = _MARKS[number]
        for number, (name, value) in enumerate(known.items()):
            x, y = self._x(value), _TOP + number * _LINE
            text = f"{name} {'above ' if value >= last else ''}{value:.3g} {unit}"
            width = written_width(text)
            at = x + 8 if x + 8 + width < _WIDTH else x - 8 - width
            self._image[y : y + _LINE, at - 4 : at + width + 4] = PAPER
            write(self._image, text, at, y + 15, _MARKS[number])


def _shown(shares: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Where the axis ends."""
    needed = edges[1 + int(np.searchsorted(np.cumsum(shares), 100 * _MOST - 1e-6))]
    bins = len(shares)
    ends = [float(edges[bins // part]) for part in (8, 4, 2)]
    return next((end for end in ends if end >= needed), float(edges[-1]))


def _above(share: float) -> float:
    """Room above the highest bar, for what is written there."""
    share = max(share, 0.01)
    step = _step(1.25 * share)
    return step * math.ceil(1.25 * share / step)


def _ticks(end: float) -> list[float]:
    step = _step(end)
    return [number * step for number in range(math.floor(end / step + 1e-9) + 1)]


def _step(end: float) -> float:
    """The least of 1, 2, 5, 10 .. that makes at most eight steps."""
    size = 10.0 ** math.floor(math.log10(end / 8))
    return next(size * times for times in (1, 2, 5, 10) if 8 * size * times >= end * (1 - 1e-9))
