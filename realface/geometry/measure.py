"""What a shape map tells of position and scale."""

import math

import torch
from torch import Tensor

from realface.errors import InputError

FACE_WIDTH = 150.0
"""Assumed width of the upper half of a face or head [mm]; ours, for meshes that state no unit.

Adults' cheekbones are about 140 mm apart and their ears' rims about 170 mm; maps hold one or the
other. On ICT-FaceKit (centimetres, with ears) the estimate is 12 % low.
"""

_SAMPLES = 1 << 20  # texels; statistics of larger maps are taken on a regular grid


def median_position(shape: Tensor, mask: Tensor) -> tuple[float, float, float]:
    """Median of each coordinate over the mask.

    Args:
        shape: Object-space positions, ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.

    Returns:
        x, y, z in the units of ``shape``.

    Raises:
        InputError: If the mask is empty.
    """
    x, y, z = _valid_points(shape, mask).median(dim=1).values.tolist()
    return x, y, z


def millimetres_per_unit_from_width(shape: Tensor, mask: Tensor) -> float:
    """Estimate of a mesh's unit, from the assumption that its face is 150 mm wide.

    The width is taken between the 1st and 99th percentile in x of the texels above the median
    in y, so that neck and shoulders do not count. Expect an error of a tenth or two, and say
    that it is an estimate where it is used.

    Args:
        shape: Object-space positions, ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.

    Returns:
        Millimetres per unit of ``shape``.

    Raises:
        InputError: If the mask is empty or the surface has no width.
    """
    points = _valid_points(shape, mask)
    x = points[0, points[1] >= points[1].median()].sort().values
    width = float(x[round(0.99 * (len(x) - 1))] - x[round(0.01 * (len(x) - 1))])
    if width <= 0 or not math.isfinite(width):
        raise InputError(
            f"a shape that is {width} units wide in x",
            "a face seen from the front",
            "state its scale (millimetres per unit), or check the shape's encoding",
        )
    return FACE_WIDTH / width


def millimetres_per_texel(shape: Tensor, mask: Tensor, millimetres_per_unit: float) -> float:
    r"""Side of the square that a typical texel covers on the surface.

    Median over the mask of
    :math:`\sqrt{\|\partial p/\partial column \times \partial p/\partial row\|}`.

    Args:
        shape: Object-space positions, ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.
        millimetres_per_unit: Scale of ``shape``.

    Returns:
        Millimetres.

    Raises:
        InputError: If no texel has valid neighbours on its right and below.
    """
    stride = _stride(mask)
    valid = mask[0] > 0.5
    here, right, below = (
        (slice(y, y - 1 or None, stride), slice(x, x - 1 or None, stride))
        for y, x in ((0, 0), (0, 1), (1, 0))
    )
    usable = valid[here] & valid[right] & valid[below]
    if not usable.any():
        raise InputError(
            f"a mask with {int(valid.sum())} valid texels, none with its neighbours",
            "islands of at least 2x2 texels",
            "check the mask",
        )
    at = shape[:, here[0], here[1]][:, usable]
    along = shape[:, right[0], right[1]][:, usable] - at
    down = shape[:, below[0], below[1]][:, usable] - at
    area = torch.linalg.cross(along, down, dim=0).norm(dim=0)
    return float(area.median().sqrt()) * millimetres_per_unit


def texel_sides(shape: Tensor, mask: Tensor, millimetres_per_unit: float) -> tuple[float, float]:
    """Distance of neighbouring rows and of neighbouring columns on the surface.

    Medians over the mask.

    Args:
        shape: Object-space positions, ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.
        millimetres_per_unit: Scale of ``shape``.

    Returns:
        (rows, columns) [mm]; NaN where no texel has such a neighbour.
    """
    stride, valid = _stride(mask), mask[0] > 0.5
    sides = []
    for dim in (1, 2):
        length = shape.shape[dim] - 1
        here, there = (shape.narrow(dim, start, length)[:, ::stride, ::stride] for start in (0, 1))
        both = valid.narrow(dim - 1, 0, length) & valid.narrow(dim - 1, 1, length)
        steps = (there - here)[:, both[::stride, ::stride]].norm(dim=0)
        sides.append(float(steps.median()) * millimetres_per_unit if len(steps) else math.nan)
    return sides[0], sides[1]


def _stride(mask: Tensor) -> int:
    return max(1, math.isqrt(mask.numel() // _SAMPLES))


def _valid_points(shape: Tensor, mask: Tensor) -> Tensor:
    """``(3, N)`` positions in the mask, on a regular grid where the map is large."""
    stride = _stride(mask)
    points = shape[:, ::stride, ::stride][:, mask[0, ::stride, ::stride] > 0.5]
    if not points.shape[1]:
        raise InputError(
            "a mask without a valid texel", "at least one", "check the mask and the UVs"
        )
    return points
