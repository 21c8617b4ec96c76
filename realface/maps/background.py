"""What of a texture is no face, by the image itself: its alpha channel, or its background."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from realface.maps.files import Array, read_image

log = logging.getLogger(__name__)

Background = Literal["auto", "none"]
"""``auto``: by alpha, or one colour that reaches in from the border; ``none``: all is face."""

JPEG_TOLERANCE = 8
"""Levels of 255 by which a JPEG's background may stray from its colour; elsewhere it is exact."""

_BORDER_SHARE = 0.5  # of the image's border that a background must hold: less may be skin


def texture_mask(path: Path) -> NDArray[np.bool_] | None:
    """The texels of a texture that its own image says are valid; what was found is logged.

    An alpha channel that is not opaque everywhere is the mask, from half up. Otherwise the colour
    that most of the border has is background, as far as it reaches in from the border.

    Args:
        path: The texture.

    Returns:
        ``(H, W)``, True where valid; None: the image has no such channel and no such background.

    Raises:
        InputError: If it cannot be read.
    """
    pixels = read_image(path)
    mask = alpha_mask(pixels)
    if mask is not None:
        _tell(path, mask, "by its alpha channel")
        return mask
    exact = path.suffix.lower() not in (".jpg", ".jpeg")
    colour = _border_colour(pixels[..., :3])
    mask = background_mask(pixels[..., :3], 0 if exact else JPEG_TOLERANCE)
    if mask is not None:
        named = ", ".join(f"{value:g}" for value in colour)
        within = "" if exact else f", {JPEG_TOLERANCE} levels up or down,"
        _tell(path, mask, f"its background: one colour ({named}){within} from the border in")
    return mask


def alpha_mask(pixels: Array) -> NDArray[np.bool_] | None:
    """Where the alpha of ``(H, W, C)`` pixels is above a half; None: all is opaque, or none is."""
    if pixels.shape[2] != 4:
        return None
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1.0
    alpha = pixels[..., 3]
    return None if (alpha == top).all() else alpha > top / 2


def background_mask(pixels: Array, tolerance: float = 0.0) -> NDArray[np.bool_] | None:
    """Where an image is not the colour that its border has.

    Args:
        pixels: ``(H, W, C)``, without alpha.
        tolerance: Largest difference from that colour, in each channel; in the pixels' levels.

    Returns:
        ``(H, W)``, False where texels of the border's colour hang together, by their sides, with
        the border; None: no colour holds half of the border, or nothing else would be left.
    """
    import cv2

    colour = _border_colour(pixels)
    same = np.ones(pixels.shape[:2], bool)
    for channel, value in enumerate(colour):
        same &= np.abs(pixels[..., channel].astype(np.float32) - value) <= tolerance
    if _border(same).mean() < _BORDER_SHARE:
        return None
    _, labels = cv2.connectedComponents(same.astype(np.uint8), connectivity=4)
    outside = np.zeros(int(labels.max()) + 1, bool)
    outside[np.unique(_border(labels))] = True
    outside[0] = False  # what has another colour
    mask = ~outside[labels]
    return mask if mask.any() else None


def _border(values: Array) -> Array:
    """The texels of the border of ``(H, W, ...)``, one after the other."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _border_colour(pixels: Array) -> Array:
    """``(C,)``: the median of the border, which a colour has that holds more than half of it."""
    border = np.sort(_border(pixels), axis=0)
    return border[len(border) // 2].astype(np.float32)


def _tell(path: Path, mask: NDArray[np.bool_], how: str) -> None:
    left_out = mask.size - np.count_nonzero(mask)
    log.info(
        "%s: %d texels (%.1f %%) are masked out, %s",
        path,
        left_out,
        100 * left_out / mask.size,
        how,
    )
