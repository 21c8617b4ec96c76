"""Where a subject is scored, and how large its texels are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.evaluation.pairs import Pair
from realface.geometry.face_box import face_box
from realface.geometry.measure import texel_sides
from realface.geometry.normals import normals_from_shape
from realface.geometry.placement import Placement, place

OPEN = 0.3
"""Least share of the light from all around that reaches a texel of the region ``open``."""


@dataclass(frozen=True)
class Surface:
    """What the scores of a subject share.

    Attributes:
        mask: ``(1, 1, H, W)`` bool.
        regions: Within it, none empty, by name: ``whole``, ``open``, ``face``.
        placement: Of its shape; None: no shape.
        sides: Distance of rows and of columns [mm]; NaN: not known.
        notes: What was left out or assumed, in words.
    """

    mask: Tensor
    regions: dict[str, Tensor]
    placement: Placement | None
    sides: tuple[float, float]
    notes: tuple[str, ...]

    @property
    def texel(self) -> float | None:
        """Side of a typical texel [mm]; None: not known."""
        return self.placement.millimetres_per_texel if self.placement else None

    @property
    def headline(self) -> str:
        """The region that gains are fitted in: where light can be told, ``open``."""
        return "open" if "open" in self.regions else "whole"


def read_surface(pair: Pair) -> Surface:
    """Read mask, occlusion and shape of a subject.

    Raises:
        InputError: If the mask leaves no texel.
    """
    notes = []
    if pair.mask is None:
        mask = torch.ones(1, *pair.size, dtype=torch.bool)
        notes.append("no mask: every texel counts")
    else:
        mask = pair.mask.whole() > 0.5
    if not mask.any():
        raise InputError(
            f"{pair.mask.path if pair.mask else pair.name} without a texel above a half",
            "a mask that leaves something to score",
            "check the mask: 1 (white) is what counts",
        )
    regions = {"whole": mask}
    occlusion = pair.shared("occlusion")
    if occlusion is None:
        notes.append("no occlusion: no region `open`; `realface derive occlusion` makes one")
    else:
        regions["open"] = mask & (occlusion.whole() >= OPEN)
    shape = pair.shared("shape")
    placement, sides = None, (math.nan, math.nan)
    if shape is None:
        notes.append("no shape: no region `face`, no detail, no spectra, nothing shaded")
    else:
        given = pair.inputs if "shape" in pair.inputs else pair.truth
        unit = given.record.millimetres_per_unit
        if unit is None:
            notes.append("millimetres estimated from the face's width: bands are off by a tenth")
        placement = place(shape, pair.mask, unit)
        values = shape.whole()
        sides = texel_sides(values, mask, placement.scale)
        normals = pair.shared("shape_normals")
        facing = normals_from_shape(values, mask) if normals is None else normals.whole()
        regions["face"] = face_box(placement.apply(values), facing, mask)
    for name in [name for name, region in regions.items() if not region.any()]:
        notes.append(f"region `{name}` is empty and left out")
        del regions[name]
    return Surface(
        mask[None],
        {name: region[None] for name, region in regions.items()},
        placement,
        sides,
        tuple(notes),
    )
