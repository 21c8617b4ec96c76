"""What can be measured of a texture before the work: black, clipped, of one colour."""

import logging

import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.io import MapFile

log = logging.getLogger(__name__)

BLACK, CLIPPED = 0.02, 0.99
"""Values in sRGB below and above which a texel tells nothing, as the fit of lights has it."""

_MANY = 0.25  # of the valid texels: enough to say so
_ONE_COLOUR = 1.5 / 255
_ROWS, _COLUMNS = 256, 1024  # at most so many are looked at


def check_texture(texture: MapFile, mask: MapFile | None) -> None:
    """Refuse a texture that holds nothing, and warn of one that holds little.

    No check knows whether a texture shows a face.

    Args:
        texture: Read on a regular grid of rows.
        mask: Its valid texels; None: all.

    Raises:
        InputError: If all that is valid is black or clipped.
    """
    values = _valid_texels(texture, mask)
    if not values.shape[1]:
        return
    black = float((values < BLACK).all(0).float().mean())
    clipped = float((values > CLIPPED).any(0).float().mean())
    for share, what in ((black, "black"), (clipped, "clipped")):
        if share == 1:
            raise InputError(
                f"{texture.path}, all of which is {what} where it is valid",
                "a texture of a face, in sRGB",
                "check the file, its range and its mask",
            )
        if share > _MANY:
            log.warning(
                "%s: %.0f %% of it is %s and tells nothing", texture.path, 100 * share, what
            )
    if float((values.amax(1) - values.amin(1)).max()) < _ONE_COLOUR:
        log.warning(
            "%s is all of one colour where it is valid: is it the right file?", texture.path
        )


def _valid_texels(texture: MapFile, mask: MapFile | None) -> Tensor:
    """``(3, N)`` of a regular grid."""
    height, width = texture.size
    across = -(-width // _COLUMNS)
    found = []
    for y in range(0, height, -(-height // _ROWS)):
        row = texture.read(y, 0, 1, width)[:, 0, ::across]
        if mask is not None:
            row = row[:, mask.read(y, 0, 1, width)[0, 0, ::across] > 0.5]
        found.append(row)
    return torch.cat(found, dim=1)
