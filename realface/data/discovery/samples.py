"""A few patches of a layout in memory, and what is computed from their pixels more than once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from realface.data.discovery.layouts import Layout
from realface.errors import InputError
from realface.maps.files import Array, read_image

Samples = Mapping[str, Mapping[str, Array]]
"""Stored pixels ``(h, w, C)`` by kind and key."""

Values = NDArray[np.float32]

_SIDE = 512  # texels; of larger maps, the middle


def read_samples(layout: Layout, count: int = 16) -> dict[str, dict[str, Array]]:
    """The middle 512 x 512 texels, or less, of the maps of a few keys spread over all.

    Keys that every kind has are taken; without any, each kind gives its own. What cannot be decoded
    is left out: whoever reads every file names it.
    """
    samples: dict[str, dict[str, Array]] = {}
    for kind, files in layout.files.items():
        keys = layout.keys or sorted(files)
        step = max(1, len(keys) / count)
        chosen = dict.fromkeys(keys[int(number * step)] for number in range(min(count, len(keys))))
        pixels = {key: _middle(read) for key in chosen if (read := _read(layout, kind, key))
                  is not None}  # fmt: skip
        samples[kind] = pixels
    return samples


def _read(layout: Layout, kind: str, key: str) -> Array | None:
    try:
        return read_image(layout.files[kind][key])
    except InputError:
        return None


def _middle(pixels: Array) -> Array:
    top, left = (max(0, side - _SIDE) // 2 for side in pixels.shape[:2])
    return pixels[top : top + _SIDE, left : left + _SIDE].copy()


def as_floats(pixels: Array) -> Values:
    """Stored pixels as float32: integers over their largest, floats as they are."""
    values = pixels.astype(np.float32)
    if pixels.dtype.kind == "u":
        values /= np.iinfo(pixels.dtype).max
    return values


def is_signed(pixels: Array) -> bool:
    """Whether vectors are stored as they are: floats of which some are clearly negative."""
    return pixels.dtype.kind == "f" and bool((pixels < -0.05).any())


def vectors(pixels: Array) -> Values:
    """``(h, w, 3)`` in [-1, 1] as stored, not normalised; from ``0.5 v + 0.5`` unless signed."""
    values = as_floats(pixels[..., :3])
    return values if is_signed(pixels) else 2 * values - 1


def pooled(values: Values, cells: int) -> Values:
    """``(rows, columns, C)`` means of blocks, at most ``cells`` a side, at least 1."""
    height, width, channels = values.shape
    rows, columns = min(cells, height), min(cells, width)
    tall, wide = height // rows, width // columns
    blocks = values[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide, channels)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def unit(values: Values) -> Values:
    """Vectors ``(..., 3)`` at unit length; a zero vector stays zero."""
    lengths = np.sqrt((values * values).sum(axis=-1, keepdims=True))
    return values / np.maximum(lengths, 1e-12)


def coarse_shape_normals(pixels: Array, cells: int) -> Values:
    """Normals of a stored shape, ``(cells - 2, cells - 2, 3)``; object space if it is.

    Blocks are averaged first: that takes out the steps of a shape stored in 8 bits.
    """
    points = pooled(vectors(pixels), cells)
    along = points[1:-1, 2:] - points[1:-1, :-2]
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    return unit(np.cross(along, -down).astype(np.float32))
