"""A surface seen from a light: which of its points the rest of it hides.

Neighbours on a map are not neighbours in space, so everything happens in object space: a shadow
map by direction (Williams, "Casting Curved Shadows on Curved Surfaces", SIGGRAPH 1978,
doi:10.1145/800248.807402), splatted from texels, with percentage-closer filtering (Reeves et al.,
SIGGRAPH 1987, doi:10.1145/37401.37435) and receivers moved along their normals (Holbert, "Saying
Goodbye to Shadow Acne", GDC 2011). Gaps narrower than about two texels are not seen into.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.maps.encoding import unit

_SPACING = 1.5  # splats at least so many to a cell's side: no holes, even where texels turn
_FINEST = 16  # splats along an edge; quads that need more bridge seams and are left open

_OFFSET = 1.5  # of a receiver along its normal, in cells, times its squared sine to the light
_BIAS = 1.6  # towards the light, in cells
"""Fitted to Mitsuba's shadows (docs/mitsuba.md), as small as spheres and planes bear."""


@dataclass(frozen=True)
class Surface:
    """One sample as points around the middle of its bounding box.

    Attributes:
        valid: Which texels, ``(H, W)``.
        points: Their positions, ``(3, N)`` [mm].
        normals: Their normals, ``(3, N)``.
        splats: What casts shadows: the points and more where texels are stretched, ``(3, M)``.
        middle: Of the bounding box, ``(3,)``, in object space.
        radius: Of the sphere around it [mm].
        cell: Of its shadow maps [mm].
    """

    valid: Tensor
    points: Tensor
    normals: Tensor
    splats: Tensor
    middle: Tensor
    radius: float
    cell: float


def surface_of(
    positions: Tensor, normals: Tensor, mask: Tensor | None, sample: int, edges_a_cell: float
) -> Surface | None:
    """The surface of one sample of a batch; None where nothing is valid."""
    shape = positions[sample]
    valid = torch.ones_like(shape[0]) > 0 if mask is None else mask[sample, 0] > 0.5
    if not valid.any():
        return None
    points = shape[:, valid]
    low, high = points.amin(1), points.amax(1)
    middle = (low + high) / 2
    points = points - middle[:, None]
    centred = torch.where(valid, shape - middle[:, None, None], 0)
    down, across, corners = _quads(centred, valid)
    usual = float(torch.maximum(down, across).median()) if len(down) else 0.0
    cell = edges_a_cell * usual or 1.0
    splats = torch.cat((points, *_between(down, across, corners, cell / _SPACING)), 1)
    radius = float(points.square().sum(0).amax().sqrt()) + cell
    return Surface(valid, points, normals[sample][:, valid], splats, middle, radius, cell)


def _quads(positions: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quads between valid texels: longer edges down and across, ``(Q,)``; corners ``(4, 3, Q)``."""
    inside = valid[1:, 1:] & valid[1:, :-1] & valid[:-1, 1:] & valid[:-1, :-1]
    rows, columns = (slice(None, -1), slice(1, None)), (slice(None, -1), slice(1, None))
    corners = torch.stack(
        [positions[:, row, column][:, inside] for row in rows for column in columns]
    )
    down = (corners[2:] - corners[:2]).square().sum(1).amax(0).sqrt()
    across = (corners[1::2] - corners[::2]).square().sum(1).amax(0).sqrt()
    return down, across, corners


def _between(down: Tensor, across: Tensor, corners: Tensor, spacing: float) -> list[Tensor]:
    """Points ``(3, M)`` on the quads, at most ``spacing`` apart with the texels; seams left open.

    Both sides are parted alone, as texels may be much longer than wide.
    """
    found = []
    kinds = [2**power for power in range(_FINEST.bit_length())]
    in_rows, in_columns = (_parts(edges, spacing) for edges in (down, across))
    for rows, columns in itertools.product(kinds, kinds):
        chosen = corners[:, :, (in_rows == rows) & (in_columns == columns)]
        for y, x in itertools.product(range(rows), range(columns)):
            if y or x:  # the corner is a texel
                left = torch.lerp(chosen[0], chosen[2], y / rows)
                right = torch.lerp(chosen[1], chosen[3], y / rows)
                found.append(torch.lerp(left, right, x / columns))
    return found


def _parts(edges: Tensor, spacing: float) -> Tensor:
    """Powers of two into which edges must be cut to be no longer than ``spacing``."""
    return 2 ** (edges / spacing).clamp(min=1).log2().ceil()


def unshadowed(
    surface: Surface, points: Tensor, normals: Tensor, axis: Tensor, distance: float | None
) -> Tensor:
    """How much each point sees of a light past the surface, filtered to [0, 1], ``(N,)``.

    Args:
        surface: What throws the shadow.
        points: Points on it, ``(3, N)``, relative to its middle [mm].
        normals: Theirs, ``(3, N)``.
        axis: Unit vector from the surface's middle to the light, ``(3,)``.
        distance: Of the light from there [mm]; None: infinite.
    """
    axes = torch.stack((*frame(axis), axis))
    stretch = 1.0 if distance is None else distance / (distance - surface.radius)
    cell = surface.cell * stretch
    side = 2 * math.ceil(surface.radius * stretch / cell) + 12

    def project(places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Column and row in the shadow map, in cells, and how near the light [mm]."""
        across, up, height = axes @ places
        if distance is not None:
            # Nearness along the ray: along the axis, what faces a lamp beside it would be steep.
            away = distance - height
            height = -(across.square() + up.square() + away.square()).sqrt()
            across, up = across * distance / away, up * distance / away
        return across / cell + side / 2, up / cell + side / 2, height

    column, row, height = project(surface.splats)
    shadow = torch.full_like(height[:1], -math.inf).repeat(side * side)
    shadow.scatter_reduce_(0, row.long() * side + column.long(), height, "amax")

    cosine = (to_light(points, axis, distance) * normals).sum(0)
    # A perspective cell is wider on the surface the further the light.
    wide = cell if distance is None else cell * (1 - axis @ points / distance)
    column, row, height = project(points + _OFFSET * wide * (1 - cosine.square()) * normals)
    height = height + _BIAS * wide
    left, below = (column - 0.5).floor(), (row - 0.5).floor()
    along, upward = column - 0.5 - left, row - 0.5 - below
    index = below.long() * side + left.long()

    def lit(offset: int) -> Tensor:
        return (shadow[index + offset] <= height).to(height)

    lower, upper = torch.lerp(lit(0), lit(1), along), torch.lerp(lit(side), lit(side + 1), along)
    return torch.lerp(lower, upper, upward)


def to_light(points: Tensor, axis: Tensor, distance: float | None) -> Tensor:
    """Unit vectors from points ``(3, N)`` to a light, ``(3, N)`` or ``(3, 1)``."""
    if distance is None:
        return axis[:, None]
    return unit((distance * axis[:, None] - points)[..., None])[..., 0]


def frame(axis: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors orthogonal to a unit vector ``(3,)`` and to each other."""
    helper = torch.zeros_like(axis)
    helper[int(axis.abs().argmin())] = 1
    right = unit(torch.linalg.cross(helper, axis)[:, None, None])[:, 0, 0]
    return right, torch.linalg.cross(axis, right)
