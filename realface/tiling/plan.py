"""What stitching a map will take, decided before any of it is computed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from realface.errors import InputError
from realface.tiling.blend import Fade
from realface.tiling.windows import Box, Span, axis_windows, cut_windows, next_multiple

_FLOAT32 = 4  # bytes
_ELONGATION = 3  # sides of a window of given area; longer ones only gather border


@dataclass(frozen=True)
class Plan:
    """Windows over a map, and what they cost; ``str(plan)`` is the dry run.

    Attributes:
        size: Height and width of the map [px].
        window: Height and width of every window [px], as they are: shrunk to fit the map.
        rows: ``(start, stop)`` of each row of windows, top to bottom [px]; they need not cover the
            map.
        columns: ``(start, stop)`` of each column of windows, left to right [px].
        batch: Windows of one row that are computed at once.
        multiple_of: Grid on which windows start, and which divides their sides [px].
        channels: Channels read and channels written, summed over the maps; only
            ``peak_memory`` uses them.
        ramp: Pixels over which neighbours are cross-faded, in the middle of what they share; 0:
            each pixel is of one window.
        fade: Form of the ramp.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    batch: int
    multiple_of: int
    channels: tuple[int, int]
    ramp: int = 0
    fade: Fade = "hann"

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.rows) * len(self.columns)

    @property
    def covered(self) -> Box:
        """The part of the map that the windows cover."""
        return (self.rows[0][0], self.rows[-1][1]), (self.columns[0][0], self.columns[-1][1])

    def reach(self, rows: Span, columns: Span) -> Box:
        """What is kept of a window, extended over what no window covers, to the map's edge."""
        spans = []
        for span, covered, side in zip((rows, columns), self.covered, self.size, strict=True):
            start, stop = span
            spans.append(
                (0 if start == covered[0] else start, side if stop == covered[1] else stop)
            )
        return spans[0], spans[1]

    @property
    def redundancy(self) -> float:
        """Pixels computed for each pixel of the map; 1.0 is without overlap."""
        height, width = self.window
        return self.windows * height * width / (self.size[0] * self.size[1])

    @property
    def kept_rows(self) -> tuple[Span, ...]:
        """Of each row of windows, the rows of the map that are kept of it, ramps included [px]."""
        return tuple(cut_windows(self.rows, self.ramp, self.multiple_of))

    @property
    def kept_columns(self) -> tuple[Span, ...]:
        """Likewise of the columns."""
        return tuple(cut_windows(self.columns, self.ramp, self.multiple_of))

    @property
    def margin(self) -> int | None:
        """Least number of pixels dropped at the windows' inner borders; None for one window."""
        dropped = [
            abs(edge - kept)
            for axis, cut in ((self.rows, self.kept_rows), (self.columns, self.kept_columns))
            for (before, after), (one, other) in zip(pairwise(axis), pairwise(cut), strict=True)
            for edge, kept in ((before[1], one[1]), (after[0], other[0]))
        ]
        return min(dropped) if dropped else None

    @property
    def overlaps(self) -> tuple[Span, Span]:
        """Least and most pixels shared by neighbours, down and across; zeros for one window."""
        return _overlaps(self.rows), _overlaps(self.columns)

    @property
    def peak_memory(self) -> int:
        """Estimate of what ``stitch`` holds at once on the CPU [bytes].

        Two batches of windows read, one of them ahead; one predicted, and what is kept of it and
        of the one before; the ramps carried to the windows on the right and below. Without the
        network's own memory, the sources' and the sinks'. Does not depend on the map's height.
        """
        read, written = self.channels
        height, width = self.window
        batch = min(self.batch, self.windows) * (2 * read + 3 * written)
        single = read + (written if self.ramp else 0)  # as the source gives it; as it is faded
        carried = written * self.ramp * (2 * self.size[1] + height)
        return _FLOAT32 * ((batch + single) * height * width + carried)

    def __str__(self) -> str:
        down, across = (_range(*overlap) for overlap in self.overlaps)
        lines = [
            f"map         {_size(self.size)} (height x width)",
            f"windows     {self.windows} ({_counted(len(self.rows), 'row')} x "
            f"{_counted(len(self.columns), 'column')})"
            f" of {_size(self.window)}, batches of {self.batch}",
        ]
        if self.covered != ((0, self.size[0]), (0, self.size[1])):
            (top, bottom), (left, right) = self.covered
            box = f"{_size((bottom - top, right - left))} of it, from y={top}, x={left}"
            lines.append(f"covered     {box}; there is nothing to compute around it")
        if self.windows > 1:
            ramp = f"{self.ramp} px of it cross-faded ({self.fade})" if self.ramp else "cut"
            lines.append(f"overlap     {down} px between rows, {across} px between columns, {ramp}")
        return "\n".join(
            [
                *lines,
                f"redundancy  {self.redundancy:.3f} pixels computed for each pixel of the map",
                f"memory      about {self.peak_memory / 2**20:.0f} MiB besides the network's",
            ]
        )


def plan(
    size: tuple[int, int],
    *,
    window: int = 1536,
    overlap: int = 384,
    margin: int = 0,
    ramp: int | None = None,
    fade: Fade = "hann",
    multiple_of: int = 1,
    batch: int = 1,
    channels: tuple[int, int] = (3, 3),
) -> Plan:
    """Lay windows over a map to be cross-faded: the fewest that fit, shrunk evenly.

    Args:
        size: Height and width of the map [px], multiples of ``multiple_of``.
        window: Largest side of a window [px]; AvatarMe (CVPR 2020) ran on 1536.
        overlap: Least number of pixels that neighbouring windows share [px].
        margin: How far a window's border reaches in [px]; a ramp keeps away from it, where the
            overlap is long enough.
        ramp: How many pixels are cross-faded, in the middle of the overlap; the rest is dropped.
            0: a cut. None: all that the margin leaves and where three windows do not meet.
        fade: Form of the ramp, see `realface.tiling.blend`.
        multiple_of: Stride of the network [px].
        batch: Windows of one row to compute at once.
        channels: Channels read and channels written, summed over the maps; only the memory
            estimate uses them.

    Returns:
        The plan that ``stitch`` follows. A map smaller than the window gets one window, all of it.

    Raises:
        InputError: If the map's size is no multiple of ``multiple_of``, or a number is out of
            its range.
    """
    _check(size, multiple_of, batch)
    rows = axis_windows(size[0], window, overlap, multiple_of)
    columns = axis_windows(size[1], window, overlap, multiple_of)
    widest = min(_room(rows), _room(columns))
    if ramp is None:
        inside = overlap - 2 * next_multiple(margin, multiple_of)
        ramp = int(min(inside if inside > 0 else overlap, widest))
    if not 0 <= ramp <= min(overlap, widest):
        raise InputError(
            f"ramp={ramp} with overlap={overlap} and windows of {_height(rows)}x{_height(columns)}",
            f"0 to {min(overlap, widest)}: within what two windows share, and a third does not",
            "give a shorter ramp, or a larger window",
        )
    actual = (_height(rows), _height(columns))
    return Plan(size, actual, tuple(rows), tuple(columns), batch, multiple_of, channels, ramp, fade)


def exact_plan(
    size: tuple[int, int],
    *,
    margin: int,
    window: int = 1536,
    minimum: int = 1,
    multiple_of: int = 1,
    batch: int = 1,
    channels: tuple[int, int] = (3, 3),
    within: Box | None = None,
) -> Plan:
    """Lay windows of which only what no border reaches is kept: the whole image's result.

    Windows share twice the network's margin and are cut in the middle; what is kept is written
    once, without weights. Their sides are those with the fewest pixels computed; a window may
    be longer than ``window`` where it is narrower, since area is what memory follows.

    Args:
        size: Height and width of the map [px], multiples of ``multiple_of``.
        margin: How far a window's border reaches in [px].
        window: Side of a square with as many pixels as a window may have [px].
        minimum: Least side of a window [px].
        multiple_of: Stride of the network [px].
        batch: Windows of one row to compute at once.
        channels: As in `plan`.
        within: The part of the map that counts; windows cover it and the margin around it, and
            what is kept of them is the whole image's result within it. None: all.

    Returns:
        The plan with the least redundancy, of such the one with the fewest windows.

    Raises:
        InputError: If the map's size is no multiple of ``multiple_of``, no window of that area
            has a centre, or a number is out of its range.
    """
    _check(size, multiple_of, batch)
    if window < 1:
        raise InputError(f"window={window}", "at least 1 px", "give a larger window")
    if margin < 0:
        raise InputError(f"margin={margin}", "0 or more pixels", "give the network's margin")
    overlap = 2 * next_multiple(margin, multiple_of)
    least = max(next_multiple(minimum, multiple_of), overlap + multiple_of)
    made = []
    (top, bottom), (left, right) = _around(size, within, overlap // 2, minimum, multiple_of)
    whole = bottom - top, right - left

    def laid(start: int, length: int, side: int) -> tuple[Span, ...]:
        shared = overlap if side < length else 0
        spans = axis_windows(length, side, shared, multiple_of)
        return tuple((start + first, start + last) for first, last in spans)

    for height, width in _sides(whole, window, overlap, multiple_of):
        rows, columns = laid(top, whole[0], height), laid(left, whole[1], width)
        actual = (_height(rows), _height(columns))
        if all(side >= min(least, all_) for side, all_ in zip(actual, whole, strict=True)):
            made.append(Plan(size, actual, rows, columns, batch, multiple_of, channels))
    if not made:
        raise InputError(
            f"windows of {window}x{window} px, for a network whose border reaches {margin} px in",
            f"windows with a centre: at least {least} px a side",
            "give a larger --window, or fade windows that disagree at their borders: --blend hann",
        )
    return min(made, key=lambda one: (one.redundancy, one.windows, max(one.window)))


def _around(
    size: tuple[int, int], within: Box | None, margin: int, minimum: int, multiple_of: int
) -> Box:
    """A part of a map and the margin around it, on the grid, not less than a network reads."""
    if within is None:
        return (0, size[0]), (0, size[1])
    spans = []
    for (start, stop), side in zip(within, size, strict=True):
        if not 0 <= start < stop <= side:
            raise InputError(
                f"within={within} of a map of {_size(size)}",
                "rows and columns of the map, at least one each",
                "give a part of the map, or None",
            )
        start = max(start - margin, 0) // multiple_of * multiple_of
        stop = min(max(stop + margin, start + minimum), side)
        stop = next_multiple(stop, multiple_of)
        spans.append((min(start, max(stop - next_multiple(minimum, multiple_of), 0)), stop))
    return spans[0], spans[1]


def _sides(
    size: tuple[int, int], window: int, overlap: int, multiple_of: int
) -> Iterator[tuple[int, int]]:
    """Heights that fit a number of rows, each with the width that the area leaves [px]."""
    cells, shared = size[0] // multiple_of, overlap // multiple_of
    for count in range(1, cells + 1):
        height = -(-(cells + (count - 1) * shared) // count) * multiple_of
        width = min(window**2 // height // multiple_of * multiple_of, size[1])
        if height <= overlap and count > 1:
            return
        if width <= overlap and width < size[1]:
            continue
        long = max(height, width) > max(window, _ELONGATION * min(height, width))
        thin = height == size[0] <= window or width == size[1] <= window
        if not long or thin:
            yield height, width
        elif height < width:
            return


def _check(size: tuple[int, int], multiple_of: int, batch: int) -> None:
    if multiple_of >= 1 and min(size) >= 1:
        _check_size(size, multiple_of)
    if batch < 1:
        raise InputError(f"batch={batch}", "1 window or more", "give a larger batch")


def _check_size(size: tuple[int, int], multiple_of: int) -> None:
    fitting = (next_multiple(size[0], multiple_of), next_multiple(size[1], multiple_of))
    if tuple(size) != fitting:
        raise InputError(
            f"a map of {_size(size)} (height x width)",
            f"a height and a width that are multiples of {multiple_of}, the network's stride",
            f"pad or crop it to {_size(fitting)}, or pass --pad",
        )


def _height(windows: Sequence[Span]) -> int:
    return windows[0][1] - windows[0][0]


def _room(windows: Sequence[Span]) -> float:
    """How long a ramp may be without a third window in it; infinite for one window."""
    steps = [after[0] - before[0] for before, after in pairwise(windows)]
    return min(steps, default=math.inf)


def _overlaps(windows: Sequence[Span]) -> Span:
    shared = [before[1] - after[0] for before, after in pairwise(windows)]
    return (min(shared), max(shared)) if shared else (0, 0)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"
