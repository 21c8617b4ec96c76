"""Where windows lie along one axis of a map: on the grid, of one size, shrunk to fit."""

from collections.abc import Sequence
from itertools import pairwise

from realface.errors import InputError

Span = tuple[int, int]
"""First and past-the-last pixel along an axis."""

Box = tuple[Span, Span]
"""Rows and columns of a part of a map."""


def next_multiple(size: int, multiple_of: int) -> int:
    """Smallest multiple of ``multiple_of`` that is at least ``size``."""
    return -(-size // multiple_of) * multiple_of


def axis_windows(size: int, window: int, overlap: int, multiple_of: int) -> list[Span]:
    """Lay the fewest windows of one size over an axis, neighbours sharing ``overlap`` or more.

    A last window that is shifted back to the edge is computed mostly twice, and the shift takes
    it off the network's stride grid, where a strided network gives other values. So the windows
    shrink evenly instead: ``n`` is the least number of windows of the wanted size that covers the
    axis, the window then the smallest one with which ``n`` still do, and the spare pixels are
    spread over the overlaps. Every start and the window itself are multiples of ``multiple_of``,
    so overlaps are too: an overlap off the grid is rounded up to it, a window off it down.

    Args:
        size: Length of the axis [px], a multiple of ``multiple_of``.
        window: Largest window [px]; an axis no longer than it gets one window, all of it.
        overlap: Least number of pixels shared by neighbours [px], ``0 <= overlap < window``.
        multiple_of: Stride of the network: its inputs' sides must be multiples of it [px].

    Returns:
        ``(start, stop)`` of each window [px], stop excluded; the first starts at 0, the last
        stops at ``size``.

    Raises:
        InputError: If an argument is out of its range, named with its value.
    """
    _check(size, window, overlap, multiple_of)
    # From here on in steps of the grid, so that nothing can leave it.
    cells, shared = size // multiple_of, next_multiple(overlap, multiple_of) // multiple_of
    widest = window // multiple_of
    if cells <= widest:
        return [(0, size)]
    count = -(-(cells - shared) // (widest - shared))
    width = -(-(cells + (count - 1) * shared) // count)
    starts = [index * (cells - width) // (count - 1) for index in range(count)]
    return [(start * multiple_of, (start + width) * multiple_of) for start in starts]


def cut_windows(windows: Sequence[Span], ramp: int, multiple_of: int) -> list[Span]:
    """What is kept of each window: neighbours share ``ramp`` pixels in the middle of their overlap.

    Args:
        windows: As from ``axis_windows``.
        ramp: Pixels that neighbours share of what is kept; at most their least overlap, and at
            most their least step, so that no pixel is of three windows.
        multiple_of: Grid on which each kept part starts, apart from the first.

    Returns:
        ``(start, stop)`` of each kept part [px], stop excluded; the first starts where the first
        window does, the last stops where the last one does.
    """
    starts = [
        after[0] + (before[1] - after[0] - ramp) // 2 // multiple_of * multiple_of
        for before, after in pairwise(windows)
    ]
    firsts = [windows[0][0], *starts]
    lasts = [*(start + ramp for start in starts), windows[-1][1]]
    return list(zip(firsts, lasts, strict=True))


def _check(size: int, window: int, overlap: int, multiple_of: int) -> None:
    if multiple_of < 1:
        raise InputError(f"multiple_of={multiple_of}", "at least 1", "give the network's stride")
    if size < 1 or size % multiple_of:
        raise InputError(
            f"size={size}",
            f"a positive multiple of multiple_of={multiple_of}",
            f"pad or crop the map to {next_multiple(max(size, 1), multiple_of)}",
        )
    if window < multiple_of:
        raise InputError(
            f"window={window}",
            f"at least the network's stride, multiple_of={multiple_of}",
            "give a larger window",
        )
    if overlap < 0:
        raise InputError(f"overlap={overlap}", "0 or more pixels", "give a larger overlap")
    usable = window // multiple_of * multiple_of
    if next_multiple(overlap, multiple_of) >= usable:
        raise InputError(
            f"overlap={overlap} with window={window}",
            f"an overlap smaller than the window, both on the grid of multiple_of={multiple_of}: "
            f"at most {usable - multiple_of}",
            "give a smaller overlap or a larger window",
        )
