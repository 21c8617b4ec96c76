"""A procedural subject as a chart that is read at places: on it, around it, and its plain grain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from realface.geometry.padding import fill_from_around
from realface.geometry.profile import face_landmarks
from realface.synthetic.lattice import CHART_TOP, CHART_WIDTH
from realface.synthetic.subject import ProceduralSubject

AROUND = 75.0
"""How far beyond the chart its colours go on [mm]."""

_CHART_HEIGHT = CHART_WIDTH * 2 / 3
_COARSE = 2.0  # texel of the blurred colours [mm]
_BLURS = (1.2, 4.0, 12.0, 30.0, 80.0)  # deviations of those that carry colours on [coarse texels]
_EDGE = 4.0  # deviation of the blur of the chart's outline [mm]
_PLAIN = (34.0, -8.0, 28.0, 22.0)  # left, bottom, width and height of a plain patch of cheek [mm]
_GRAIN = (0.9, 1.1)  # bounds of its colours over their mean: without the patch's moles
_ENOUGH = 600  # columns of a chart in which landmarks are found


@dataclass(frozen=True)
class Chart:
    """A procedural subject, ready to be read at places on its chart.

    Attributes:
        detail: ``(8, h, w)``: sRGB diffuse albedo 3, specular albedo 1, then slopes of the relief
            along chart x and y: 2 that scattered light meets, 2 that reflected light meets.
        inside: ``(1, h', w')``: 1 on the chart, falling to 0 at its outline.
        blurred: ``(4, h', w')``: the albedos, blurred and carried on beyond the chart.
        mean: ``(4,)`` albedos of the plain patch.
        landmarks: Name to chart place x, y [mm].
    """

    detail: Tensor
    inside: Tensor
    blurred: Tensor
    mean: Tensor
    landmarks: dict[str, Tensor]


def read_chart(seed: int, width: int) -> Chart:
    """The chart of subject ``seed``, ``width`` texels wide; its landmarks found in its shape."""
    maps = ProceduralSubject(seed).maps(round(width * 2 / 3), width)
    shape, normals, mask = maps["shape"], maps["shape_normals"], maps["mask"]
    texel = CHART_WIDTH / width
    fine = (maps["diffuse_normals"], maps["specular_normals"])
    colours = torch.cat((maps["diffuse_albedo"], maps["specular_albedo"]))
    detail = torch.cat((colours, *(relief_slopes(shape, normals, n, texel) for n in fine)))
    left, bottom, across, up = _PLAIN
    plain = (CHART_TOP - bottom - up, left + CHART_WIDTH / 2, up, across)
    row, column, rows, columns = (max(1, round(length / texel)) for length in plain)
    mean = colours[:, row : row + rows, column : column + columns].mean(dim=(1, 2))
    return Chart(detail, *_carried_on(colours, mask), mean, _landmarks(seed, maps))


def _landmarks(seed: int, maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Chart place x, y [mm] of each landmark of a subject."""
    width = maps["mask"].shape[2]
    if width < _ENOUGH:
        maps, width = ProceduralSubject(seed).maps(round(_ENOUGH * 2 / 3), _ENOUGH), _ENOUGH
    step = width // _ENOUGH
    thinned = [maps[kind][:, ::step, ::step] for kind in ("shape", "shape_normals", "mask")]
    found = face_landmarks(*thinned)
    texel = CHART_WIDTH / width
    return {name: _chart_place(maps["shape"], maps["mask"], p, texel) for name, p in found.items()}


def _chart_place(shape: Tensor, mask: Tensor, at: Tensor, texel: float) -> Tensor:
    """Chart place x, y [mm] of the texel of ``shape`` nearest to a point."""
    squared = (shape - at[:, None, None]).square().sum(0)
    index = int(torch.where(mask[0] > 0, squared, math.inf).argmin())
    row, column = divmod(index, shape.shape[2])
    x, y = (column + 0.5) * texel - CHART_WIDTH / 2, CHART_TOP - (row + 0.5) * texel
    return torch.tensor((x, y))


def relief_slopes(shape: Tensor, base: Tensor, fine: Tensor, texel: float) -> Tensor:
    """Slopes along chart x and y of the height that turns ``base`` into ``fine`` normals.

    A normal n over a surface with unit normal N is that of a height with the surface gradient
    g = N - n / (n . N); its slopes along the chart are g . P_x and g . P_y.

    Args:
        shape: Positions P [mm], ``(3, h, w)``.
        base: Unit normals of ``shape``, ``(3, h, w)``.
        fine: Unit normals of the relief on it, ``(3, h, w)``.
        texel: Of the chart [mm].

    Returns:
        ``(2, h, w)`` [mm of height per mm of chart].
    """
    down, right = torch.gradient(shape, spacing=texel, dim=(1, 2))
    facing = (fine * base).sum(0).clamp(min=0.2)
    gradient = base - fine / facing
    return torch.stack(((gradient * right).sum(0), -(gradient * down).sum(0)))


def _carried_on(colours: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The chart's inside weight and its blurred colours, on a coarse canvas around it."""
    size = (round(_CHART_HEIGHT / _COARSE), round(CHART_WIDTH / _COARSE))
    known = interpolate(mask[None], size, mode="area")[0]
    coarse = interpolate((colours * mask)[None], size, mode="area")[0] / known.clamp(min=1e-6)
    room = [round(AROUND / _COARSE)] * 4
    known, coarse = pad(known, room), pad(coarse, room)
    blurred = fill_from_around(coarse, known[0] > 0.99, _BLURS)
    outline = fill_from_around(known, torch.ones_like(known[0]) > 0, (_EDGE / _COARSE,))
    return smoothstep(outline, 0.55, 0.98), blurred


def smoothstep(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to ``low``, 1 from ``high`` on, smooth between."""
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def plain_grain(
    shape: Tensor, normals: Tensor, chart: Chart
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Grain of plain skin, from one patch, mirrored to cover everything.

    It is projected along x, y and z, and the three are mixed by which way the surface faces: no
    pole, no seam.

    Args:
        shape: Positions [mm], ``(3, h, w)``.
        normals: Its unit normals, ``(3, h, w)``.
        chart: Of the subject.

    Returns:
        Gradients of the relief that scattered and that reflected light meets, ``(3, h, w)`` each,
        not yet in the surface's plane; and colours as factors on the four albedos, ``(4, h, w)``.
    """
    weights = normals.square().square()
    weights = weights / weights.sum(0)
    soft, sharp = torch.zeros_like(shape), torch.zeros_like(shape)
    colour = shape.new_zeros(4, *shape.shape[1:])
    for axis, (first, second) in enumerate(((2, 1), (0, 2), (0, 1))):
        x, x_sign = _mirrored(shape[first], _PLAIN[0], _PLAIN[2])
        y, y_sign = _mirrored(shape[second], _PLAIN[1], _PLAIN[3])
        values = read(chart.detail, torch.stack((x, y)), 0.0)
        for relief, (along_x, along_y) in ((soft, (4, 5)), (sharp, (6, 7))):
            relief[first] += weights[axis] * x_sign * values[along_x]
            relief[second] += weights[axis] * y_sign * values[along_y]
        colour += weights[axis] * (values[:4] / chart.mean[:, None, None]).clamp(*_GRAIN)
    return (soft, sharp), colour


def _mirrored(place: Tensor, start: float, length: float) -> tuple[Tensor, Tensor]:
    """A place folded into [start, start + length], and the direction it runs in there."""
    t = torch.remainder(place, 2 * length)
    return start + torch.where(t < length, t, 2 * length - t), torch.where(t < length, 1.0, -1.0)


def read(canvas: Tensor, place: Tensor, around: float, mode: str = "bilinear") -> Tensor:
    """A canvas ``(C, h, w)`` over the chart and ``around`` mm more, at chart places."""
    half_width, half_height = CHART_WIDTH / 2 + around, _CHART_HEIGHT / 2 + around
    x = place[0] / half_width
    y = (CHART_TOP - _CHART_HEIGHT / 2 - place[1]) / half_height
    at = torch.stack((x, y), dim=-1)[None]
    return grid_sample(canvas[None], at, mode, padding_mode="border", align_corners=False)[0]
