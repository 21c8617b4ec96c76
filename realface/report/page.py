"""Pages of labelled pictures, as PNG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realface.maps.encoding import linear_to_srgb
from realface.maps.kinds import KINDS

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER, INK = 24, 220
"""Grey levels of page and writing."""

_GAP = 12
_LABEL = 30
_SIZE = 0.48  # of letters, some 9 px wide


@dataclass(frozen=True)
class Tile:
    """One labelled picture ``(h, w, 3)`` uint8."""

    label: str
    image: Image


def picture(values: Tensor, kind: str) -> Image:
    """A map ``(C, h, w)`` as people see it, ``(h, w, 3)`` uint8 sRGB."""
    encoding = KINDS[kind].encoding
    if encoding == "unit_vector":
        values = 0.5 * values + 0.5
    elif encoding == "position":
        low = values.flatten(1).amin(1).view(3, 1, 1)
        high = values.flatten(1).amax(1).view(3, 1, 1)
        values = (values - low) / (high - low).clamp(min=1e-6)
    elif encoding == "linear" and kind != "mask":
        values = linear_to_srgb(values)
    return to_bytes(values)


def to_bytes(values: Tensor) -> Image:
    """Colours ``(1 or 3, h, w)`` in [0, 1] as ``(h, w, 3)`` uint8."""
    image = values.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).mul(255).round()
    return image.to(torch.uint8).contiguous().numpy()


def page(rows: Sequence[Sequence[Tile]], width: int, columns: int) -> Image:
    """Rows of tiles one below the other; rows longer than ``columns`` are broken.

    Args:
        rows: Of tiles, each left-aligned.
        width: Of a tile [px]; wider pictures are cut off.
        columns: At most, side by side.
    """
    columns = min(max(len(row) for row in rows), columns)
    strips = [
        _strip(row[start : start + columns], width, columns)
        for row in rows
        for start in range(0, len(row), columns)
    ]
    joined = np.concatenate(strips, axis=0)
    return np.pad(joined, ((_GAP, _GAP), (_GAP, 0), (0, 0)), constant_values=PAPER)


def _strip(tiles: Sequence[Tile], width: int, columns: int) -> Image:
    height = max(tile.image.shape[0] for tile in tiles)
    strip = np.full((height + _LABEL + _GAP, columns * (width + _GAP), 3), PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        left = number * (width + _GAP)
        shown = tile.image[:, :width]
        strip[: shown.shape[0], left : left + shown.shape[1]] = shown
        write(strip, tile.label, left, height + 20)
    return strip


def write(image: Image, text: str, x: int, y: int, colour: Colour = (INK,) * 3) -> None:
    """Write ASCII on a picture, in place; ``x`` is its left end, ``y`` its base line [px]."""
    import cv2

    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, _SIZE, colour, 1, cv2.LINE_AA)


def written_width(text: str) -> int:
    """How wide `write` makes it [px]."""
    import cv2

    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _SIZE, 1)[0][0])
