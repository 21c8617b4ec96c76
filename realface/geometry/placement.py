"""Where a subject's shape lies and how large it is, in millimetres."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.geometry.measure import (
    median_position,
    millimetres_per_texel,
    millimetres_per_unit_from_width,
)
from realface.maps.io import MapFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """From a subject's own units to the frame that networks and lights use.

    Attributes:
        scale: Millimetres per unit of ``shape``.
        centre: Median position over the mask [mm].
        millimetres_per_texel: Median over the mask.
    """

    scale: float
    centre: tuple[float, float, float]
    millimetres_per_texel: float

    def apply(self, shape: Tensor) -> Tensor:
        """``(3, h, w)`` in the subject's units to millimetres from the median position."""
        return shape * self.scale - torch.tensor(self.centre).view(3, 1, 1)


def place(shape: MapFile, mask: MapFile | None, millimetres_per_unit: float | None) -> Placement:
    """Measure a subject.

    Args:
        shape: Its positions.
        mask: Its valid texels; None: all.
        millimetres_per_unit: Of ``shape``; None: estimated from the face's width, and logged.

    Raises:
        InputError: If the mask is empty or of another size, or the surface has no width.
    """
    if mask is not None and mask.size != shape.size:
        raise InputError(
            f"{mask.path} of {mask.size[0]}x{mask.size[1]} (height x width)",
            f"the size of its shape: {shape.path} is {shape.size[0]}x{shape.size[1]}",
            "add the mask again with `realface add ... --resample`",
        )
    positions = shape.whole()
    valid = torch.ones_like(positions[:1]) if mask is None else mask.whole()
    scale = millimetres_per_unit
    if scale is None:
        scale = millimetres_per_unit_from_width(positions, valid)
        log.warning(
            "%s: millimetres_per_unit is not known; %.4g estimated from the face's width",
            shape.path,
            scale,
        )
    x, y, z = (scale * value for value in median_position(positions, valid))
    return Placement(scale, (x, y, z), millimetres_per_texel(positions, valid, scale))


@dataclass(frozen=True)
class PlacedShape:
    """A shape map read in millimetres from the median position: a source for tiling.

    Attributes:
        shape: The map in the subject's units.
        placement: Of the subject.
    """

    shape: MapFile
    placement: Placement

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.shape.size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """One window ``(3, height, width)``."""
        return self.placement.apply(self.shape.read(y, x, height, width))
