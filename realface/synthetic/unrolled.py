"""From places on a head, around its vertical axis, to places on the chart of a procedural face.

Both heads are unrolled alike: the angle around a vertical axis behind the root of the nose, and
the height. A scale along each axis brings their landmarks together roughly; what is left is
interpolated between the landmarks with Gaussians, and fades to nothing beyond them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.synthetic.lattice import CHART_WIDTH

_RADIUS = 96.0  # of the cylinder that the chart is unrolled from [mm]
_BEHIND = 105.0  # the axis lies this far behind the root of the nose [mm]
_REACH = 24.0  # deviation of a landmark's influence [mm]
_RIDGE = 0.02  # how far landmarks may be missed, against how smooth the warp is
_SPACING = 1.5  # of the lattice that the warp is kept on [mm]
_HALF_HEIGHT = 200.0  # of that lattice, around the tip of the nose [mm]


@dataclass(frozen=True)
class Axis:
    """The vertical axis that a head is unrolled around: its x and z [mm]."""

    x: float
    z: float


def axis_of(landmarks: dict[str, Tensor]) -> Axis:
    """Axis of a head with these landmarks [mm]: behind the nasion, in the middle of the pairs."""
    names = [name for name in landmarks if name.endswith("_left")]
    pairs = [landmarks[n] + landmarks[n.removesuffix("_left") + "_right"] for n in names]
    middle = float(torch.stack(pairs)[:, 0].mean() / 2)
    return Axis(middle, float(landmarks["nasion"][2]) - _BEHIND)


def unroll(points: Tensor, axis: Axis) -> Tensor:
    """Arc around the axis and height [mm], ``(2, ...)``, of points ``(3, ...)`` [mm]."""
    angle = torch.atan2(points[0] - axis.x, points[2] - axis.z)
    return torch.stack((_RADIUS * angle, points[1]))


def unrolled_gradients(points: Tensor, axis: Axis) -> tuple[Tensor, Tensor]:
    """Gradients of arc and height by the point's position, each ``(3, ...)``."""
    x, z = points[0] - axis.x, points[2] - axis.z
    squared = (x * x + z * z).clamp(min=1.0)
    zero = torch.zeros_like(x)
    return _RADIUS * torch.stack((z, zero, -x)) / squared, torch.stack((zero, zero + 1, zero))


@dataclass(frozen=True)
class Warp:
    """Chart places over unrolled places, kept on a lattice.

    Attributes:
        table: ``(6, rows, columns)``: chart x and y [mm], their slopes along the arc, then along
            the height. Rows rise with height.
        tip: Height of the tip of the nose [mm], the table's middle row.
    """

    table: Tensor
    tip: float

    def read(self, unrolled: Tensor) -> Tensor:
        """The table at ``(2, h, w)`` unrolled places, ``(6, h, w)``; held beyond its rows."""
        half = torch.tensor((math.pi * _RADIUS, _HALF_HEIGHT), device=unrolled.device)
        place = torch.stack((unrolled[0], unrolled[1] - self.tip), dim=-1) / half
        return torch.nn.functional.grid_sample(
            self.table[None].to(unrolled.device),
            place[None],
            padding_mode="border",
            align_corners=True,
        )[0]


def fit_warp(landmarks: dict[str, Tensor], axis: Axis, chart: dict[str, Tensor]) -> Warp:
    """The smooth warp that takes a head's landmarks to their places on the chart.

    Args:
        landmarks: Of the head [mm].
        axis: Of the same.
        chart: Chart places x, y of landmarks [mm], ``(2,)`` each; those that both have count.

    Raises:
        InputError: If the landmarks would fold the face.
    """
    names = [name for name in chart if name in landmarks]
    source = unroll(torch.stack([landmarks[name] for name in names], dim=1).double(), axis)
    target = torch.stack([chart[name] for name in names], dim=1).double()
    tip = float(landmarks["nose_tip"][1])
    columns = 2 * round(math.pi * _RADIUS / _SPACING) + 1
    rows = 2 * round(_HALF_HEIGHT / _SPACING) + 1
    arc = torch.linspace(-math.pi, math.pi, columns, dtype=torch.float64) * _RADIUS
    height = torch.linspace(-_HALF_HEIGHT, _HALF_HEIGHT, rows, dtype=torch.float64) + tip
    places = torch.stack(torch.meshgrid(height, arc, indexing="ij")).flip(0)

    warped = _interpolated(source, target, places)
    down, along = torch.gradient(warped, spacing=(height, arc), dim=(1, 2))
    folded = along[0] * down[1] - along[1] * down[0] <= 0
    if folded.any():
        raise InputError(
            f"landmarks that fold the face: {', '.join(names)}",
            "landmarks of a neutral face, each where its name says",
            "turn the mesh to look towards +z, or correct the landmarks' file",
        )
    return Warp(torch.cat((warped, along, down)).float(), tip)


def _interpolated(source: Tensor, target: Tensor, places: Tensor) -> Tensor:
    """Chart places ``(2, ...)`` of unrolled ``places``, from ``(2, N)`` pairs; float64."""
    rough, base = _rough(source, target, source), _rough(source, target, places)
    kernel = _gaussian(source, source) + _RIDGE * torch.eye(source.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(kernel, (target - rough).T)
    pull = _gaussian(places.flatten(1), source) @ weights
    return base + pull.T.reshape(base.shape)


def _rough(source: Tensor, target: Tensor, places: Tensor) -> Tensor:
    """The chart's own unrolling, scaled and moved along x and along y to fit the pairs best."""
    fitted = []
    for known, wanted, at in (
        (_chart_x(source[0]), target[0], _chart_x(places[0])),
        (source[1], target[1], places[1]),
    ):
        centred = known - known.mean()
        scale = (centred * (wanted - wanted.mean())).sum() / centred.square().sum()
        fitted.append(wanted.mean() + scale * (at - known.mean()))
    return torch.stack(fitted)


def _chart_x(arc: Tensor) -> Tensor:
    """Chart x of an arc on the chart's own head: inverts x (1 + 0.3 (2 x / width)^2) = arc."""
    x, bend = arc.clone(), 0.3 * (2 / CHART_WIDTH) ** 2
    for _ in range(8):  # Newton
        x = x - (x + bend * x**3 - arc) / (1 + 3 * bend * x**2)
    return x


def _gaussian(places: Tensor, centres: Tensor) -> Tensor:
    squared = (places[:, :, None] - centres[:, None]).square().sum(0)
    return torch.exp(-0.5 * squared / _REACH**2)
