"""What shades what: shadows of lamps and ambient occlusion, from the positions of a whole map.

Neighbours on the map are not neighbours in space, so everything happens in object space: a shadow
map by direction (Williams, "Casting Curved Shadows on Curved Surfaces", SIGGRAPH 1978,
doi:10.1145/800248.807402), splatted from texels, with percentage-closer filtering (Reeves et al.,
SIGGRAPH 1987, doi:10.1145/37401.37435) and receivers moved along their normals (Holbert, "Saying
Goodbye to Shadow Acne", GDC 2011). Gaps narrower than about two texels are not seen into.

All of it is constant to autograd, repeats exactly, and holds one direction at a time.
"""

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.maps.encoding import unit
from realface.shading.lights import Lights

_GOLDEN = math.pi * (3 - math.sqrt(5))  # spreads points evenly on discs and spheres

_SHADOW_CELL = 1.0  # side of a shadow map's cell, in the median texel's longest edge
_OCCLUSION_CELL = 1.75  # likewise; coarser is faster, and no single shadow's edge is seen
_SPACING = 1.5  # splats at least so many to a cell's side: no holes, even where texels turn
_FINEST = 16  # splats along an edge; quads that need more bridge seams and are left open

_OFFSET = 1.5  # of a receiver along its normal, in cells, at grazing light
_BIAS = 1.6  # towards the light, in cells

_HORIZON = 0.05  # cosine over which light dies where the surface turns away

_NEAREST = 1.5  # of a point light, in radii of the surface; a nearer one is moved out to here


@torch.no_grad()
def visibility(
    positions: Tensor, normals: Tensor, mask: Tensor | None, lights: Lights, samples: int = 64
) -> Tensor:
    """Share of each light that each texel sees past the rest of the surface.

    A light of angular radius 0 gives an edge about two texels wide;
    a wider one is the mean over places on its disc. Point lights are seen in
    perspective from where they stand, at least 1.5 radii of the surface from its middle.

    Args:
        positions: Of the whole map, object space [mm], ``(B, 3, H, W)``; may be NaN outside the
            mask.
        normals: Of the surface (``shape_normals``), unit, object space, ``(B, 3, H, W)``. Light
            from behind them is not seen.
        mask: ``(B, 1, H, W)``, valid where above 0.5; None: everywhere.
        lights: Of the batch, or of a batch of one for all.
        samples: Places on the disc of a wide light, at most; a narrow one needs fewer.

    Returns:
        ``(B, L, H, W)`` in [0, 1], 1 outside the mask; without gradient.
    """
    batch, _, height, width = positions.shape
    count = lights.positions.shape[1]
    seen = positions.new_ones(batch, count, height, width)
    for sample in range(batch):
        surface = _surface(positions, normals, mask, sample, _SHADOW_CELL)
        if surface is None:
            continue
        of = sample if len(lights.positions) > 1 else 0
        for light in range(count):
            place = lights.positions[of, light].to(positions)
            radius = float(lights.radii[of, light])
            seen[sample, light][surface.valid] = _seen(surface, place, radius, samples)
            seen[sample, light] = _without_specks(seen[sample, light], surface.valid)
    return seen


@torch.no_grad()
def ambient_occlusion(
    positions: Tensor, normals: Tensor, mask: Tensor | None, directions: int = 128
) -> Tensor:
    """Share of light from all around that reaches each texel: cosine-weighted mean visibility.

    Args:
        positions: Of the whole map, object space [mm], ``(B, 3, H, W)``; may be NaN outside the
            mask.
        normals: Of the surface (``shape_normals``), unit, object space, ``(B, 3, H, W)``.
        mask: ``(B, 1, H, W)``, valid where above 0.5; None: everywhere.
        directions: On the whole sphere; a texel faces half of them.

    Returns:
        ``(B, 1, H, W)`` in [0, 1]: 1 is open, also outside the mask; without gradient.
    """
    return openness(positions, normals, mask, directions)[0]


@torch.no_grad()
def openness(
    positions: Tensor, normals: Tensor, mask: Tensor | None, directions: int = 128
) -> tuple[Tensor, Tensor]:
    """`ambient_occlusion`, and with it the bent normals: where the light comes from on average.

    Arguments as of `ambient_occlusion`.

    Returns:
        Occlusion ``(B, 1, H, W)``; bent normals ``(B, 3, H, W)``, unit, object space, ``normals``
        outside the mask and where no light arrives.
    """
    occlusion = torch.ones_like(positions[:, :1])
    bent = normals.clone()
    for sample in range(len(positions)):
        surface = _surface(positions, normals, mask, sample, _OCCLUSION_CELL)
        if surface is None:
            continue
        arrived = torch.zeros_like(surface.normals)
        faced = torch.zeros_like(arrived[0])
        share = torch.zeros_like(faced)
        for direction in _sphere(directions, positions):
            cosine = direction @ surface.normals
            facing = (cosine > 0).nonzero()[:, 0]
            cosine = cosine[facing]
            points, normal = surface.points[:, facing], surface.normals[:, facing]
            light = cosine * _unshadowed(surface, points, normal, direction, None)
            faced.index_add_(0, facing, cosine)
            share.index_add_(0, facing, light)
            arrived.index_add_(1, facing, direction[:, None] * light)
        occlusion[sample, 0][surface.valid] = share / faced.clamp(min=1e-6)
        lit = arrived.square().sum(0) > 1e-6 * faced.square()
        towards = unit(arrived[..., None])[..., 0]
        bent[sample][:, surface.valid] = torch.where(lit, towards, surface.normals)
    return occlusion, bent


@dataclass(frozen=True)
class _Surface:
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


def _surface(
    positions: Tensor, normals: Tensor, mask: Tensor | None, sample: int, edges_a_cell: float
) -> _Surface | None:
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
    return _Surface(valid, points, normals[sample][:, valid], splats, middle, radius, cell)


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


def _seen(surface: _Surface, place: Tensor, radius: float, samples: int) -> Tensor:
    """Share ``(N,)`` of one light, ``(4,)`` homogeneous, that the surface's points see."""
    is_point = bool(place[3] > 0)
    to_light = place[:3] - surface.middle if is_point else place[:3]
    distance = float(to_light.square().sum().sqrt())
    axis = to_light / max(distance, 1e-12)
    distance = max(distance, _NEAREST * surface.radius)
    right, up = _frame(axis)
    # A penumbra is not told from steps of a cell: this one is cast from a radius away.
    wide = math.ceil(2 * math.tan(radius) * surface.radius / surface.cell)
    count = min(samples, max(wide, 1))
    cosine = _to_light(surface.points, axis, distance if is_point else None) * surface.normals
    facing = cosine.sum(0) > -_HORIZON - _NEAREST / (_NEAREST - 1) * math.tan(radius)
    points, normals = surface.points[:, facing], surface.normals[:, facing]
    total = torch.zeros_like(points[0])
    for number in range(count):
        off = math.tan(radius * math.sqrt((number + 0.5) / count))
        angle = number * _GOLDEN
        towards = axis + off * (math.cos(angle) * right + math.sin(angle) * up)
        length = float(towards.square().sum().sqrt())
        away = distance * length if is_point else None
        axis_there = towards / length
        shadow = _unshadowed(surface, points, normals, axis_there, away)
        cosine = (_to_light(points, axis_there, away) * normals).sum(0)
        total += shadow * ((cosine + _HORIZON) / (2 * _HORIZON)).clamp(0, 1)
    return torch.zeros_like(surface.points[0]).masked_scatter_(facing, total / count)


def _without_specks(seen: Tensor, valid: Tensor) -> Tensor:
    """The median of each valid texel ``(H, W)`` and its valid neighbours; others stay.

    Edges stay sharp. Acne and what slips through creases are texels alone, and with them gone
    receivers need to be moved by less: shadows reach nearer to what throws them.
    """
    height, width = seen.shape
    around = F.pad(torch.where(valid, seen, math.nan), (1, 1, 1, 1), value=math.nan)
    places = itertools.product(range(3), range(3))
    window = torch.stack([around[y : y + height, x : x + width] for y, x in places], -1)
    window = torch.where(window.isnan(), seen[..., None], window)
    return torch.where(valid, window.median(-1).values, seen)


def _unshadowed(
    surface: _Surface, points: Tensor, normals: Tensor, axis: Tensor, distance: float | None
) -> Tensor:
    """How much each point sees of a light past the surface, filtered to [0, 1], ``(N,)``.

    Args:
        surface: What throws the shadow.
        points: Points on it, ``(3, N)``, relative to its middle [mm].
        normals: Theirs, ``(3, N)``.
        axis: Unit vector from the surface's middle to the light, ``(3,)``.
        distance: Of the light from there [mm]; None: infinite.
    """
    frame = torch.stack((*_frame(axis), axis))
    stretch = 1.0 if distance is None else distance / (distance - surface.radius)
    cell = surface.cell * stretch
    side = 2 * math.ceil(surface.radius * stretch / cell) + 12

    def project(places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Column and row in the shadow map, in cells, and how near the light [mm]."""
        across, up, height = frame @ places
        if distance is not None:
            # Nearness along the ray: along the axis, what faces a lamp beside it would be steep.
            away = distance - height
            height = -(across.square() + up.square() + away.square()).sqrt()
            across, up = across * distance / away, up * distance / away
        return across / cell + side / 2, up / cell + side / 2, height

    column, row, height = project(surface.splats)
    shadow = torch.full_like(height[:1], -math.inf).repeat(side * side)
    shadow.scatter_reduce_(0, row.long() * side + column.long(), height, "amax")

    cosine = (_to_light(points, axis, distance) * normals).sum(0)
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


def _to_light(points: Tensor, axis: Tensor, distance: float | None) -> Tensor:
    """Unit vectors from points ``(3, N)`` to a light, ``(3, N)`` or ``(3, 1)``."""
    if distance is None:
        return axis[:, None]
    return unit((distance * axis[:, None] - points)[..., None])[..., 0]


def _frame(axis: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors orthogonal to a unit vector ``(3,)`` and to each other."""
    helper = torch.zeros_like(axis)
    helper[int(axis.abs().argmin())] = 1
    right = unit(torch.linalg.cross(helper, axis)[:, None, None])[:, 0, 0]
    return right, torch.linalg.cross(axis, right)


def _sphere(count: int, like: Tensor) -> Tensor:
    """Evenly spread unit vectors ``(count, 3)``: a Fibonacci sphere."""
    number = torch.arange(count, device=like.device, dtype=torch.float64)
    height = 1 - (2 * number + 1) / count
    around = (1 - height.square()).sqrt()
    angle = number * _GOLDEN
    return torch.stack((around * angle.cos(), height, around * angle.sin()), 1).to(like)
