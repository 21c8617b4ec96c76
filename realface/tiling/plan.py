"""What stitching a map will take, decided before any of it is computed."""

from dataclasses import dataclass
from itertools import pairwise

from realface.errors import InputError
from realface.tiling.windows import axis_windows, next_multiple

_FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Plan:
    """Windows over a map, and what they cost; ``str(plan)`` is the dry run.

    Attributes:
        size: Height and width of the map [px].
        window: Height and width of every window [px], as they are: shrunk to fit the map.
        rows: ``(start, stop)`` of each row of windows, top to bottom [px].
        columns: ``(start, stop)`` of each column of windows, left to right [px].
        batch: Windows of one row that are computed at once.
        multiple_of: Grid on which windows start, and which divides their sides [px].
        channels: Channels read and channels written, summed over the maps; only
            ``peak_memory`` uses them.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]
    batch: int
    multiple_of: int
    channels: tuple[int, int]

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.rows) * len(self.columns)

    @property
    def redundancy(self) -> float:
        """Pixels computed for each pixel of the map; 1.0 is without overlap."""
        height, width = self.window
        return self.windows * height * width / (self.size[0] * self.size[1])

    @property
    def overlaps(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Least and most pixels shared by neighbours, down and across; zeros for one window."""
        return _overlaps(self.rows), _overlaps(self.columns)

    @property
    def peak_memory(self) -> int:
        """Estimate of what ``stitch`` holds at once on the CPU [bytes].

        The band being summed, the rows carried from the band above, the batch of windows read
        and predicted, and the strips that measure disagreement. Without the network's own
        memory, the sources' and the sinks'. Does not depend on the map's height.
        """
        read, written = self.channels
        height, width = self.window
        (_, down), (_, across) = self.overlaps
        row_width = len(self.columns) * width
        band = written * height * self.size[1]
        carried = written * down * self.size[1]
        # One window more than the batch: the source's own tensor, just read.
        windows = ((min(self.batch, len(self.columns)) + 1) * read + self.batch * written) * (
            height * width
        )
        strips = written * (down * row_width + 2 * max(height * across, down * width))
        weight = height * width
        return _FLOAT32 * (band + carried + windows + strips + weight)

    def __str__(self) -> str:
        down, across = (_range(*overlap) for overlap in self.overlaps)
        return "\n".join(
            (
                f"map         {_size(self.size)} (height x width)",
                f"windows     {self.windows} ({len(self.rows)} rows x {len(self.columns)} columns)"
                f" of {_size(self.window)}, batches of {self.batch}",
                f"overlap     {down} px between rows, {across} px between columns",
                f"redundancy  {self.redundancy:.2f} pixels computed for each pixel of the map",
                f"memory      about {self.peak_memory / 2**20:.0f} MiB besides the network's",
            )
        )


def plan(
    size: tuple[int, int],
    *,
    window: int = 1536,
    overlap: int = 384,
    multiple_of: int = 1,
    batch: int = 1,
    channels: tuple[int, int] = (3, 3),
) -> Plan:
    """Lay windows over a map: the fewest that fit, shrunk evenly.

    Args:
        size: Height and width of the map [px], multiples of ``multiple_of``.
        window: Largest side of a window [px]; AvatarMe (CVPR 2020) ran on 1536.
        overlap: Least number of pixels that neighbouring windows share [px].
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
    if multiple_of >= 1 and min(size) >= 1:
        _check_size(size, multiple_of)
    if batch < 1:
        raise InputError(f"batch={batch}", "1 window or more", "give a larger batch")
    rows = axis_windows(size[0], window, overlap, multiple_of)
    columns = axis_windows(size[1], window, overlap, multiple_of)
    actual = (rows[0][1] - rows[0][0], columns[0][1] - columns[0][0])
    return Plan(size, actual, tuple(rows), tuple(columns), batch, multiple_of, channels)


def _check_size(size: tuple[int, int], multiple_of: int) -> None:
    fitting = (next_multiple(size[0], multiple_of), next_multiple(size[1], multiple_of))
    if tuple(size) != fitting:
        raise InputError(
            f"a map of {_size(size)} (height x width)",
            f"a height and a width that are multiples of {multiple_of}, the network's stride",
            f"pad or crop it to {_size(fitting)}, or pass --pad",
        )


def _overlaps(windows: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    shared = [before[1] - after[0] for before, after in pairwise(windows)]
    return (min(shared), max(shared)) if shared else (0, 0)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"
