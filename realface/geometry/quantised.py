"""Normals of a shape map whose positions were rounded to few levels.

Rounding says more than noise would: each position lies within half a level of what is stored, so
where the stored level changes, the surface passes midway between the two. The surface is taken as
the smoothest one within these bounds: least bending energy (a thin plate with free edges, which no
border flattens) over the box of bounds, by the alternating direction method of multipliers (Boyd et
al., "Distributed Optimization and Statistical Learning via ADMM", 2011).
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from realface.geometry.normals import normals_from_shape, unit_or
from realface.geometry.padding import pad_islands

_ITERATIONS = 40
_RELAXATION = 1.7  # of the method's steps; plain ones would need twice as many iterations
_CUTOFF = 1.6  # radians per stripe: waves this long are halved by one smoothing
_KEPT = 3.0  # cutoffs up to which waves are kept at all
_CELLS_PER_STRIPE = 7  # finer grids gain little, coarser ones lose the edges of stripes
_ROUNDING = 0.34  # levels: plain rounding leaves 0.29 beside a smooth surface
_SOFTER = 0.35  # of the cutoff, where the bounds do not hold
_LEAST_STRIPE = 2.0  # texels: below, rounding is as good as white noise
_BLUR = 5.7  # texels of sigma at a stripe of one texel: leaves a tenth of a degree of noise
_BASELINE = 64  # texels over which the distance between texels is measured
_SMALLEST = 8  # texels of a side
_BLOCK, _MARGIN = 512, 64  # cells that are solved at once, and their overlap
_UP = (0.0, 0.0, 1.0)


class _Waves(NamedTuple):
    """Waves with free ends along one side of a block, by rising frequency.

    Attributes:
        frequency: Radians per texel, ``(k,)``; 0 twice: constant and linear.
        cells: Their values at the cells of the grid, orthonormal, ``(cells, k)``.
        values: Their values at the texels, ``(texels, k)``.
        slopes: Their change per texel at the texels, ``(texels, k)``.
    """

    frequency: Tensor
    cells: Tensor
    values: Tensor
    slopes: Tensor

    def up_to(self, frequency: float, like: Tensor) -> "_Waves":
        """The waves up to a frequency, on the device and of the dtype of another tensor."""
        kept = int((self.frequency <= frequency).sum())
        return _Waves(*(part[..., :kept].to(like) for part in self))


def normals_from_quantised(shape: Tensor, mask: Tensor, level: float) -> Tensor:
    """Normals of the smooth surface behind a shape map of few levels.

    The smoothing follows from the stripes that one level makes: their width is the level over the
    distance between texels. Stripes narrower than two texels (12 bits and more at RealFaceDB's
    scale) get a Gaussian of a few texels at most; wider ones the smoothest surface within the
    bounds of rounding. Where positions lie further from smooth than rounding explains (a map that
    was compressed or dithered), the bounds do not hold and a plain smoothing spline is taken.

    Accuracy at RealFaceDB's scale (8 bits over 180 mm, 512 x 512 texels of a 6144 x 4096 map),
    mean and median inside, mean in the outer 32 texels [degrees]: an ellipsoid 0.1, 0.1, 0.4;
    procedural faces 0.5, 0.1, 1.0; two real heads 1.2, 0.9, 1.9 and 2.4, 1.4, 3.1, the facets of
    their meshes included (``benchmarks/shape_normals.py``). What turns within a stripe, such as the
    lips' crease, is rounded off; where depth has a level or two, it is unsure by some degrees.

    Args:
        shape: Object-space positions, ``(3, H, W)``; only texels in the mask are read.
        mask: ``(1, H, W)``, valid where above 0.5.
        level: Distance between neighbouring levels of ``shape``, in its units: the range over
            ``2**bits - 1``; 0 for positions that were not rounded.

    Returns:
        ``(3, H, W)`` unit vectors, object space; (0, 0, 1) outside the mask.

    Raises:
        ValueError: If the sizes differ or ``level`` is negative.
    """
    if shape.shape[1:] != mask.shape[1:] or not level >= 0:
        raise ValueError(f"shape {tuple(shape.shape)}, mask {tuple(mask.shape)}, level={level}")
    valid = mask > 0.5
    stripe = stripe_width(shape, mask, level)
    if stripe < _LEAST_STRIPE or min(shape.shape[1:]) < _SMALLEST:
        return normals_from_shape(shape, mask, _BLUR * math.sqrt(stripe))
    step = max(1, round(stripe / _CELLS_PER_STRIPE))
    step = min(step, min(shape.shape[1:]) // _SMALLEST)
    normals = torch.empty_like(shape)
    for rows, top, bottom in _spans(shape.shape[1], step):
        for columns, left, right in _spans(shape.shape[2], step):
            points, inside = shape[:, rows, columns], valid[:, rows, columns]
            solved = _smoothest(points, inside, level, _CUTOFF / stripe, step)
            solved = solved[:, top - rows.start :, left - columns.start :]
            normals[:, top:bottom, left:right] = solved[:, : bottom - top, : right - left]
    return torch.where(valid, normals, normals.new_tensor(_UP)[:, None, None])


def stripe_width(shape: Tensor, mask: Tensor, level: float) -> float:
    """Texels in which the position moves by one level, typically over the map.

    Args:
        shape: ``(3, H, W)`` positions; only texels in the mask are read.
        mask: ``(1, H, W)``, valid where above 0.5.
        level: As `normals_from_quantised`.

    Returns:
        ``level`` over the median distance between neighbouring texels; 0 if nothing moves.
    """
    valid, distances = mask[0] > 0.5, []
    for dim in (0, 1):
        reach = min(_BASELINE, shape.shape[1 + dim] // 2)
        length = shape.shape[1 + dim] - reach
        moved = shape.narrow(1 + dim, reach, length) - shape.narrow(1 + dim, 0, length)
        usable = valid.narrow(dim, reach, length) & valid.narrow(dim, 0, length)
        distances.append(moved.square().sum(dim=0).sqrt()[usable] / max(1, reach))
    distance = torch.cat(distances)
    typical = float(distance.median()) if len(distance) else 0.0
    return level / typical if typical > 0 else 0.0


def _spans(length: int, step: int) -> Iterator[tuple[slice, int, int]]:
    """Blocks along a side: the texels that are solved, first and end of those that are kept."""
    overlap = _MARGIN * step
    count = max(1, math.ceil((length - 2 * overlap) / ((_BLOCK - 2 * _MARGIN) * step)))
    if length <= _BLOCK * step:
        count = 1
    for i in range(count):
        first, end = i * length // count, (i + 1) * length // count
        yield slice(max(first - overlap, 0), min(end + overlap, length)), first, end


def _smoothest(points: Tensor, inside: Tensor, level: float, cutoff: float, step: int) -> Tensor:
    """Normals of the smoothest surface within half a level of the points, ``(3, h, w)``."""
    by_row = _waves(points.shape[1], step).up_to(_KEPT * cutoff, points)
    by_column = _waves(points.shape[2], step).up_to(_KEPT * cutoff, points)
    cells, known = _filled(points[:, ::step, ::step], inside[:, ::step, ::step])
    bending = by_row.frequency[:, None].square() + by_column.frequency.square()
    weight = bending.square()

    def smooth(values: Tensor, softness: float = cutoff) -> Tensor:
        gain = 1 / (1 + weight / softness**4)
        return by_row.cells.T @ values @ by_column.cells * gain

    found = smooth(cells)
    surface = by_row.cells @ found @ by_column.cells.T
    if _residual(surface - cells, known) > _ROUNDING * level:
        found = smooth(cells, _SOFTER * cutoff)
    else:
        room = torch.where(known, level / 2, torch.inf)
        low, high = cells - room, cells + room
        bounded, excess = cells, torch.zeros_like(cells)
        for _ in range(_ITERATIONS):
            surface = by_row.cells @ found @ by_column.cells.T
            excess = excess + _RELAXATION * surface + (1 - _RELAXATION) * bounded
            bounded = torch.minimum(torch.maximum(excess, low), high)
            excess = excess - bounded
            found = smooth(bounded - excess)
    along = by_row.values @ found @ by_column.slopes.T
    down = by_row.slopes @ found @ by_column.values.T
    return unit_or(torch.linalg.cross(along, -down, dim=0), _UP)


def _filled(cells: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Cells around their mean, carried on where they are not known; and which are known."""
    known = torch.where(inside, cells, 0)  # what lies outside may be NaN
    if inside.all():
        return cells - cells.mean(dim=(1, 2), keepdim=True), inside
    mean = known.sum(dim=(1, 2), keepdim=True) / inside.sum().clamp(min=1)
    known = torch.where(inside, known - mean, 0)
    return pad_islands(known, inside, _MARGIN), inside


def _residual(difference: Tensor, known: Tensor) -> float:
    """Root of the mean square over the known cells."""
    square = (difference.square() * known).sum() / (len(difference) * known.sum().clamp(min=1))
    return float(square.sqrt())


@lru_cache(maxsize=8)
def _waves(texels: int, step: int) -> _Waves:
    """Eigenvectors of the squared second difference: nothing holds their ends."""
    at = torch.arange(texels, dtype=torch.float64) / step
    count = (texels - 1) // step + 1
    second = torch.eye(count, dtype=torch.float64).diff(n=2, dim=0)
    stiffness, waves = torch.linalg.eigh(second.T @ second)
    stiffness[:2] = 0  # constant and linear, but for rounding
    frequency = stiffness.clamp(min=0).pow(0.25) / step
    slopes = torch.gradient(waves, dim=0, edge_order=2)[0]
    first = at.long().clamp(max=count - 2)
    share = (at - first)[:, None]

    def at_texels(values: Tensor) -> Tensor:
        return values[first] * (1 - share) + values[first + 1] * share

    parts = frequency, waves, at_texels(waves), at_texels(slopes) / step
    return _Waves(*(part.float() for part in parts))
