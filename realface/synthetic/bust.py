"""Procedural busts: whole heads with ears, neck and shoulders, unrolled around a vertical axis.

Training data for networks that see a whole head at about 1.5 mm a texel. The head is a signed
distance of blobs, smoothly joined and carved (`bust_shape`); a ray for each texel finds its
surface, which `bust_skin` paints. The origin lies between the ears at the height of the nose's
tip; x to the subject's left, y up, z to the viewer. The face is in the middle of the chart, the
seam runs down the back of the head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from realface.maps.encoding import unit
from realface.synthetic.bust_build import Build, draw_build
from realface.synthetic.bust_shape import distance
from realface.synthetic.bust_skin import albedo
from realface.synthetic.bust_solids import waves
from realface.synthetic.shaping import Knots, through

_STEPS = 60  # of each ray, at most; 40 leave holes of a texel where one grazes
_CAUTION = 0.85  # share of the distance that a ray advances: joins and hair overstate it
_OPEN = 10.0  # distance from which it advances all of it [mm]
_NEAR = 0.1  # distance at which a ray stops [mm]
_ARRIVED = 1.0  # distance up to which it has met the surface [mm]
_LOWER_RIM = 0.985  # of the chart's height; below it nothing is valid

# Where rays start and end, over the chart's height: a fan over the vertex, level before the face,
# looking up below the chin and down onto the shoulders.
_FAN = 0.34
_START_RADIUS: Knots = [(_FAN, 160.0), (0.66, 160.0), (0.8, 128.0), (0.87, 135.0), (1.0, 225.0)]
_START_HEIGHT: Knots = [(_FAN, 50.0), (0.62, -88.0), (0.73, -128.0), (0.88, -120.0), (1.0, -105.0)]
_END_HEIGHT: Knots = [(_FAN, 50.0), (0.62, -62.0), (0.73, -100.0), (0.84, -150.0), (1.0, -270.0)]
_END_DEPTH: Knots = [(0.45, 0.0), (0.7, -18.0), (1.0, -25.0)]


def bust_maps(seed: int, height: int, width: int) -> dict[str, Tensor]:
    """Maps of one bust: a pure function of the seed, and the same bust at any size.

    Args:
        seed: Which bust; not negative.
        height: Height of the maps [texels]; texels are about square at 3/4 of the width.
        width: Width of the maps, once around the head [texels]; about 560 mm.

    Returns:
        Float32 ``(C, height, width)``: ``diffuse_albedo`` (3, sRGB), ``specular_albedo`` (1,
        linear), ``diffuse_normals``, ``specular_normals``, ``shape_normals`` (3, unit, object
        space), ``shape`` (3, mm from the median of the valid positions), ``mask`` (1, 0 or 1).
        Outside the mask albedos and shape are 0 and normals (0, 0, 1).
    """
    with torch.no_grad():
        build = draw_build(seed)
        points, valid = _traced(build, *_rays(height, width))
        valid[math.ceil(_LOWER_RIM * height) * width :] = False
        points = points[:, valid]
        normals = _normals(build, points)
        diffuse, specular = albedo(build, points)
    rough = torch.stack([waves(points, 3.0, 9.0, build.dice + 50 + i) for i in range(3)])
    zero, ahead = torch.zeros(3), torch.tensor((0.0, 0.0, 1.0))

    def chart(values: Tensor, outside: Tensor) -> Tensor:
        whole = outside[:, None].repeat(1, height * width)
        whole[:, valid] = values
        return whole.view(-1, height, width)

    flat = chart(normals, ahead)
    return {
        "diffuse_albedo": chart(diffuse, zero),
        "specular_albedo": chart(specular, zero[:1]),
        "diffuse_normals": flat,
        "specular_normals": unit(chart(normals + 0.04 * rough, ahead)),
        "shape_normals": flat.clone(),
        "shape": chart(points - points.median(dim=1, keepdim=True).values, zero),
        "mask": valid.float().view(1, height, width),
    }


def _rays(height: int, width: int) -> tuple[Tensor, Tensor]:
    """First and last points of the texels' rays, ``(3, texels)`` each [mm]."""
    down = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width).flatten()
    across = ((torch.arange(width) + 0.5) / width).expand(height, width).flatten()
    angle = math.pi * (2 * across - 1)
    rise = (1 - down / _FAN).clamp(min=0) * math.pi / 2
    radius = through(down, _START_RADIUS, 0.012)
    start = torch.stack((radius * rise.cos() * angle.sin(), radius, radius * rise.cos()))
    start[1] = through(down, _START_HEIGHT, 0.012) + radius * rise.sin()
    start[2] = start[2] * angle.cos()
    depth = through(down, _END_DEPTH, 0.02)
    start[2] += depth
    end = torch.stack((torch.zeros_like(depth), through(down, _END_HEIGHT, 0.012), depth))
    return start, end


def _traced(build: Build, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays meet the surface ``(3, texels)``, and which meet a valid place of it."""
    way = end - start
    length = way.square().sum(0).sqrt()
    way = way / length
    gone = torch.zeros_like(length)
    far = torch.zeros_like(length)
    active = torch.arange(len(length))
    for _ in range(_STEPS):
        some = gone[active]
        near = distance(build, start[:, active] + some * way[:, active])
        ahead = torch.where(near > _OPEN, near, _CAUTION * near)
        far[active], gone[active] = near, some + ahead
        active = active[(near.abs() > _NEAR) & (gone[active] < length[active])]
        if not len(active):
            break
    arrived = (gone < length) & (far.abs() < _ARRIVED)
    points = start + gone * way
    return points, arrived & _kept(build, points)


def _kept(build: Build, points: Tensor) -> Tensor:
    """Where the bust is not cut off, ``(texels,)``: below the neck, or around the back."""
    wavy = waves(points, 60.0, 200.0, build.dice + 9)
    kept = torch.atan2(points[0], points[2]).abs() < build.sides + 0.12 * wavy
    if build.shoulders == 0:
        kept = kept & (points[1] > -128 - build.neck_length + 6 * wavy)
    return kept


def _normals(build: Build, points: Tensor) -> Tensor:
    """Unit gradients of the distance, ``(3, N)``."""
    total = torch.zeros_like(points)
    for corner in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):  # of a tetrahedron
        way = torch.tensor(corner, dtype=points.dtype)[:, None]
        total += way * distance(build, points + 0.4 * way)
    return unit(total[..., None])[..., 0]
