"""How whole faces are varied: heads turned in space, and UV layouts drawn.

What looks at a face at once would else learn the one chart and the one pose that it is shown.
"""

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.maps.encoding import unit
from realface.maps.kinds import KINDS

Maps = dict[str, Tensor]

_ASPECTS = (0.5, 2.0)
"""Height over width of a drawn chart."""

_ZOOM = (0.8, 1.5)
"""Texels of the drawn chart for one of the given, along a side, inverted; and out of the chart's
border in part, since charts differ in how much of a head they hold."""

_STRETCH = 1.25  # of the chart's width against its height
_TILT = 15.0  # degrees, besides quarter turns
_WAVE = 0.05  # of the chart's height: how far its texels are pushed about, one standard deviation
_SHIFT = 0.12  # of the chart's height

STRIDE = 32
"""Sides of charts are multiples of this [px], which suits a stage of up to five halvings."""

_VALID = 0.99  # share of a warped texel that valid ones must make up


def random_turns(count: int, most: tuple[float, float, float], device: torch.device) -> Tensor:
    """Rotations ``(count, 3, 3)``: about the vertical, the horizontal and the axis of view.

    Args:
        count: How many.
        most: Largest angle about each [degrees].
        device: Where.
    """
    angles = (2 * torch.rand(3, count, device=device) - 1) * torch.tensor(
        [[math.radians(one)] for one in most], device=device
    )
    yaw, pitch, roll = (
        _about(angle, *plane) for angle, plane in zip(angles, ((2, 0), (1, 2), (0, 1)), strict=True)
    )
    return pitch @ yaw @ roll


def turned(maps: Maps, turns: Tensor) -> Maps:
    """Faces ``(B, C, H, W)`` by kind with their heads turned: positions and normals alone change.

    Args:
        maps: Positions relative to the head's middle.
        turns: ``(B, 3, 3)``, orthogonal.
    """
    return {
        kind: torch.einsum("bij,bjhw->bihw", turns, values)
        if kind in KINDS and KINDS[kind].is_vector
        else values
        for kind, values in maps.items()
    }


def random_layout(maps: Maps) -> Maps:
    """The same surfaces on another chart: one for all of a batch, of another shape and size.

    A quarter turn, mirror, tilt, stretch, zoom and shift, and a smooth push; drawn from torch's own
    generator. Vectors are of object space and keep their values.

    Args:
        maps: Of whole faces, ``(B, C, H, W)`` by kind, the ``mask`` among them.

    Returns:
        Maps of about as many texels, sides multiples of `STRIDE`; 0 and normals ``(0, 0, 1)``
        beside the faces.
    """
    mask = maps["mask"]
    rng = random.Random(int(torch.randint(1 << 31, ()).item()))
    height, width = mask.shape[-2:]
    aspect = math.exp(rng.uniform(math.log(_ASPECTS[0]), math.log(_ASPECTS[1])))
    area = height * width * rng.uniform(0.4, 1.0)
    sides = (area * aspect) ** 0.5, (area / aspect) ** 0.5
    rows, columns = (max(STRIDE, STRIDE * round(side / STRIDE)) for side in sides)
    grid = _places(rng, (height, width), (rows, columns)).to(mask)
    grid = grid[None].expand(len(mask), -1, -1, -1)
    valid = (F.grid_sample(mask, grid, align_corners=False) > _VALID).to(mask)
    moved = {"mask": valid}
    ahead = mask.new_tensor((0.0, 0.0, 1.0)).view(3, 1, 1)
    for kind, values in maps.items():
        if kind == "mask":
            continue
        there = F.grid_sample(values, grid, align_corners=False) * valid
        if kind in KINDS and KINDS[kind].encoding == "unit_vector":
            there = unit(torch.where(valid > 0, there, ahead))
        moved[kind] = there
    return moved


def _about(angle: Tensor, first: int, second: int) -> Tensor:
    """Rotations ``(N, 3, 3)`` that turn one axis to another by angles ``(N,)`` [rad]."""
    turn = torch.eye(3, device=angle.device).repeat(len(angle), 1, 1)
    turn[:, first, first] = turn[:, second, second] = angle.cos()
    turn[:, second, first], turn[:, first, second] = angle.sin(), -angle.sin()
    return turn


def _places(rng: random.Random, given: tuple[int, int], drawn: tuple[int, int]) -> Tensor:
    """Where each texel of a drawn chart lies on the given one, ``(h, w, 2)`` in [-1, 1]."""
    height, width = drawn
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height) * height / width, torch.linspace(-1, 1, width), indexing="ij"
    )
    angle = math.radians(90 * rng.randrange(4) + rng.uniform(-_TILT, _TILT))
    mirror = rng.choice((1.0, -1.0))
    stretch = math.exp(rng.uniform(-1, 1) * math.log(_STRETCH))
    # The chart fills the drawn one where neither is zoomed: areas are alike.
    zoom = rng.uniform(*_ZOOM) * (given[0] * given[1] / (height * width)) ** 0.5 * width / 2
    u = zoom * (math.cos(angle) * x - math.sin(angle) * y) * stretch * mirror
    v = zoom * (math.sin(angle) * x + math.cos(angle) * y) / stretch
    waves = F.interpolate(torch.randn(1, 2, 4, 4), drawn, mode="bicubic", align_corners=True)[0]
    u = u + given[0] * (_WAVE * waves[0] + rng.uniform(-_SHIFT, _SHIFT))
    v = v + given[0] * (_WAVE * waves[1] + rng.uniform(-_SHIFT, _SHIFT))
    return torch.stack((2 * u / given[1], 2 * v / given[0]), dim=-1)
