"""Which triangle covers each texel of a UV map, exactly and without gaps.

Corners are snapped to 1/4096 texel and every decision is taken in integers, so neighbouring
triangles agree on their shared edge to the last bit. Triangles are cut into runs of texels, one
per row; all runs of a batch are solved at once. Tie rule as in rasterising hardware: a centre
that lies on an edge belongs to one of its two sides (Pineda, "A Parallel Algorithm for Polygon
Rasterization", SIGGRAPH 1988, for the edge functions).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realface.errors import InputError

_SUBTEXELS = 4096  # per texel; products of two map sizes in sub-texels stay below 2**53
_HALF = _SUBTEXELS // 2
_LARGEST_SIDE = 16384  # texels; the exactness above is proven up to here
_RUNS_AT_ONCE = 1 << 20  # bounds the memory of a batch

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Raster:
    """What lies under each texel.

    Attributes:
        index: ``(H, W)`` int32, the triangle at each texel centre; -1 where there is none. Of
            several triangles the first in the mesh is kept.
        overlaps: Texels that more than one triangle covers.
        affine: ``(F, 6)`` what :meth:`weights` evaluates: corner 0 (x, y) in texels, then the
            slopes of the second and of the third weight in x and y.
    """

    index: NDArray[np.int32]
    overlaps: int
    affine: Float

    def weights(self, triangles: Int, rows: Int, columns: Int) -> Float:
        """Barycentric weights of texel centres within given triangles.

        Args:
            triangles: ``(N,)`` triangle of each texel.
            rows: ``(N,)`` row of each texel.
            columns: ``(N,)`` column of each texel.

        Returns:
            ``(N, 3)`` weights of the triangle's corners, summing to one.
        """
        x0, y0, second_x, second_y, third_x, third_y = self.affine.take(triangles, axis=0).T
        x, y = columns + 0.5 - x0, rows + 0.5 - y0
        second, third = x * second_x + y * second_y, x * third_x + y * third_y
        return np.stack([1 - second - third, second, third], axis=1)

    def barycentric(self) -> Float:
        """Barycentric weights of the whole map.

        Returns:
            ``(H, W, 3)``; zero where ``index`` is -1.
        """
        weights = np.zeros((*self.index.shape, 3))
        rows, columns = np.nonzero(self.index >= 0)
        weights[rows, columns] = self.weights(
            self.index[rows, columns].astype(np.int64), rows, columns
        )
        return weights


def rasterise(uvs: Float, triangles: Int, height: int, width: int) -> Raster:
    """Find the triangle under each texel centre.

    Texel ``(row, column)`` has its centre at ``u = (column + 0.5) / width``,
    ``v = 1 - (row + 0.5) / height``. Parts of triangles outside the unit square are cut off;
    triangles whose UVs have no area cover nothing.

    Args:
        uvs: ``(V, 2)`` texture coordinates, v upward.
        triangles: ``(F, 3)`` vertex indices.
        height: Rows of the map [texels].
        width: Columns of the map [texels].

    Returns:
        The raster.

    Raises:
        InputError: If the size is not within 1 to 16384 on each side.
    """
    if not (0 < height <= _LARGEST_SIDE and 0 < width <= _LARGEST_SIDE):
        raise InputError(
            f"a map of {height}x{width} (height x width)",
            f"1 to {_LARGEST_SIDE} texels on each side",
            "choose another size",
        )
    texels = np.stack([uvs[:, 0] * width, (1 - uvs[:, 1]) * height], axis=1)
    corners = np.rint(texels * _SUBTEXELS).astype(np.int64)[triangles]  # (F, 3, 2), x then y
    index = np.full(height * width, -1, dtype=np.int32)
    contested = np.zeros(height * width, dtype=bool)
    for batch in _batches(corners, height):
        triangle, start, length = _runs(corners[batch], height, width)
        _paint(index, contested, batch[triangle], start, length)
    overlaps = int(np.count_nonzero(contested))
    return Raster(index.reshape(height, width), overlaps, _affine(corners))


def _batches(corners: Int, height: int) -> Iterator[Int]:
    """Triangles in reverse order, in batches of bounded work: painted last, the first wins."""
    top, bottom = _rows(corners, height)
    work = np.cumsum(np.maximum(bottom - top + 1, 0)[::-1])
    order = np.arange(len(corners))[::-1]
    cuts = np.searchsorted(
        work, np.arange(_RUNS_AT_ONCE, work[-1] if len(work) else 0, _RUNS_AT_ONCE)
    )
    yield from (batch for batch in np.split(order, np.unique(cuts)) if len(batch))


def _rows(corners: Int, height: int) -> tuple[Int, Int]:
    """First and last row whose centres lie within each triangle's extent in y."""
    y = corners[..., 1]
    top = np.maximum(-((_HALF - y.min(axis=1)) // _SUBTEXELS), 0)
    bottom = np.minimum((y.max(axis=1) - _HALF) // _SUBTEXELS, height - 1)
    return top, bottom


def _double_area(corners: Int) -> Int:
    """Twice the signed area of each triangle, in square sub-texels; rows count downwards."""
    (x1, y1), (x2, y2) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return x1 * y2 - x2 * y1


def _runs(corners: Int, height: int, width: int) -> tuple[Int, Int, Int]:
    """Cut triangles into horizontal runs of covered texels.

    For an edge from a to b of a triangle of positive area, a centre (x, y) is inside where
    ``E = (bx - ax)(y - ay) - (by - ay)(x - ax)`` is positive, or zero on an edge that owns its
    points. On one row that is a bound on x, solved by integer division.

    Returns:
        Triangle within ``corners``, flat texel index of the run's start, its length; for each run.
    """
    area = _double_area(corners)
    turned = np.where((area < 0)[:, None, None], corners[:, [0, 2, 1]], corners)
    top, bottom = _rows(corners, height)
    count = np.where(area == 0, 0, np.maximum(bottom - top + 1, 0))
    triangle = np.repeat(np.arange(len(corners)), count)
    row = _ramps(top, count)
    y = row * _SUBTEXELS + _HALF
    first, last = np.zeros_like(row), np.full_like(row, width - 1)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        start, step = turned[:, a], turned[:, b] - turned[:, a]
        owned = (step[:, 1] > 0) | ((step[:, 1] == 0) & (step[:, 0] < 0))
        constant = step[:, 1] * (start[:, 0] - _HALF) - step[:, 0] * start[:, 1] + owned - 1
        room = step[triangle, 0] * y + constant[triangle]  # dy * _SUBTEXELS * column <= room
        slope = step[triangle, 1] * _SUBTEXELS
        bound = room // np.where(slope == 0, 1, np.abs(slope))
        last = np.where(slope > 0, np.minimum(last, bound), last)
        first = np.where(slope < 0, np.maximum(first, -bound), first)
        last = np.where((slope == 0) & (room < 0), -1, last)
    covered = last >= first
    triangle, row, first, last = (part[covered] for part in (triangle, row, first, last))
    return triangle, row * width + first, last - first + 1


def _ramps(start: Int, count: Int) -> Int:
    """``start[i], start[i] + 1, ...``, ``count[i]`` of them, one ramp after the other."""
    return np.arange(int(count.sum())) + np.repeat(start - (np.cumsum(count) - count), count)


def _paint(
    index: NDArray[np.int32],
    contested: NDArray[np.bool_],
    triangle: Int,
    start: Int,
    length: Int,
) -> None:
    """Write triangle numbers along runs; numpy keeps the last value where texels repeat.

    Texels that an earlier batch has painted, or that another run of this one has, are contested.
    """
    texels, numbers = _ramps(start, length), np.repeat(triangle.astype(np.int32), length)
    contested[texels[index[texels] >= 0]] = True
    index[texels] = numbers
    contested[texels[index[texels] != numbers]] = True


def _affine(corners: Int) -> Float:
    """Coefficients of the second and third barycentric weight, see :class:`Raster`."""
    points = corners / _SUBTEXELS
    (x1, y1), (x2, y2) = (points[:, 1] - points[:, 0]).T, (points[:, 2] - points[:, 0]).T
    area = x1 * y2 - x2 * y1
    scale = np.where(area == 0, 0, 1 / np.where(area == 0, 1, area))
    slopes = np.stack([y2, -x2, -y1, x1], axis=1) * scale[:, None]
    return np.concatenate([points[:, 0], slopes], axis=1)
