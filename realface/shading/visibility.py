"""What shades what: shadows of lamps and ambient occlusion, from the positions of a whole map.

All of it is constant to autograd, repeats exactly, and holds one direction at a time.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.maps.encoding import unit
from realface.shading.lights import Lights
from realface.shading.shadow_map import Surface, frame, surface_of, to_light, unshadowed

_GOLDEN = math.pi * (3 - math.sqrt(5))  # spreads points evenly on discs and spheres

_SHADOW_CELL = 1.0  # side of a shadow map's cell, in the median texel's longest edge
_OCCLUSION_CELL = 1.75  # likewise; coarser is faster, and no single shadow's edge is seen

_HORIZON = 0.05  # cosine over which light dies where the surface turns away

_WIDEST = 1.4  # rad; lights of greater radius are cut down to it, short of the horizon

_NEAREST = 1.5  # of a point light, in radii of the surface; a nearer one is moved out to here


@torch.no_grad()
def visibility(
    positions: Tensor, normals: Tensor, mask: Tensor | None, lights: Lights, samples: int = 64
) -> Tensor:
    """Share of each light that each texel sees past the rest of the surface.

    A light of angular radius 0 gives an edge about two texels wide; a wider one, up to 80
    degrees, is the mean over places on its disc. Point lights are seen in perspective from where
    they stand, at least 1.5 radii of the surface from its middle.

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
        surface = surface_of(positions, normals, mask, sample, _SHADOW_CELL)
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
        surface = surface_of(positions, normals, mask, sample, _OCCLUSION_CELL)
        if surface is None:
            continue
        arrived = torch.zeros_like(surface.normals)
        faced = torch.zeros_like(arrived[0])
        share = torch.zeros_like(faced)
        for direction in sphere(directions, positions):
            cosine = direction @ surface.normals
            facing = (cosine > 0).nonzero()[:, 0]
            cosine = cosine[facing]
            points, normal = surface.points[:, facing], surface.normals[:, facing]
            light = cosine * unshadowed(surface, points, normal, direction, None)
            faced.index_add_(0, facing, cosine)
            share.index_add_(0, facing, light)
            arrived.index_add_(1, facing, direction[:, None] * light)
        occlusion[sample, 0][surface.valid] = share / faced.clamp(min=1e-6)
        lit = arrived.square().sum(0) > 1e-6 * faced.square()
        towards = unit(arrived[..., None])[..., 0]
        bent[sample][:, surface.valid] = torch.where(lit, towards, surface.normals)
    return occlusion, bent


@torch.no_grad()
def seen_from(
    positions: Tensor, normals: Tensor, mask: Tensor | None, directions: Tensor
) -> Tensor:
    """Which texels face directions and see that way past the rest of the surface.

    Args:
        positions: As `ambient_occlusion`.
        normals: Likewise.
        mask: Likewise.
        directions: Unit vectors, object space, ``(N, 3)``.

    Returns:
        ``(B, N, H, W)`` in [0, 1], 0 outside the mask; without gradient.
    """
    seen = positions.new_zeros(len(positions), len(directions), *positions.shape[-2:])
    for sample in range(len(positions)):
        surface = surface_of(positions, normals, mask, sample, _OCCLUSION_CELL)
        if surface is None:
            continue
        for number, direction in enumerate(directions):
            facing = (direction @ surface.normals > 0).nonzero()[:, 0]
            points, normal = surface.points[:, facing], surface.normals[:, facing]
            here = torch.zeros_like(surface.points[0])
            here[facing] = unshadowed(surface, points, normal, direction, None).to(here)
            seen[sample, number][surface.valid] = here
    return seen


def _seen(surface: Surface, place: Tensor, radius: float, samples: int) -> Tensor:
    """Share ``(N,)`` of one light, ``(4,)`` homogeneous, that the surface's points see."""
    is_point = bool(place[3] > 0)
    there = place[:3] - surface.middle if is_point else place[:3]
    distance = float(there.square().sum().sqrt())
    axis = there / max(distance, 1e-12)
    distance = max(distance, _NEAREST * surface.radius)
    radius = min(radius, _WIDEST)
    right, up = frame(axis)
    # A penumbra is not told from steps of a cell: this one is cast from a radius away.
    wide = math.ceil(2 * math.tan(radius) * surface.radius / surface.cell)
    count = min(samples, max(wide, 1))
    cosine = to_light(surface.points, axis, distance if is_point else None) * surface.normals
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
        shadow = unshadowed(surface, points, normals, axis_there, away)
        cosine = (to_light(points, axis_there, away) * normals).sum(0)
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


def sphere(count: int, like: Tensor) -> Tensor:
    """Evenly spread unit vectors ``(count, 3)``: a Fibonacci sphere, in type and place ``like``."""
    number = torch.arange(count, device=like.device, dtype=torch.float64)
    height = 1 - (2 * number + 1) / count
    around = (1 - height.square()).sqrt()
    angle = number * _GOLDEN
    return torch.stack((around * angle.cos(), height, around * angle.sin()), 1).to(like)
