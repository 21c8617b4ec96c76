"""A subject as a camera in front of it sees it: colours of UV maps drawn on their shape."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realface.geometry.rasterise import rasterise
from realface.report.page import PAPER

_DISTANCE = 1000.0
"""Of the camera from the subject's median position [mm], a portrait's."""

_FRAME_HEIGHT = 225.0
"""What the picture shows at the median position's distance [mm]."""

_AXIS_DEPTH = -60.0
"""Where the head turns: this far in front of the median position [mm]."""

_SAMPLES = 2
"""Per pixel and axis."""


def front_view(
    colours: Tensor, positions: Tensor, mask: Tensor, height: int, width: int, turn: float = 0.0
) -> Tensor:
    """Draw a subject from the front.

    Every quad of neighbouring valid texels becomes two triangles, the nearest drawn on top.

    Args:
        colours: Of the texels, ``(3, H, W)`` in [0, 1], sRGB; interpolated as they are.
        positions: ``(3, H, W)`` [mm], relative to the subject's median position.
        mask: ``(1, H, W)``, valid above a half.
        height: Of the picture [px].
        width: Of the picture [px].
        turn: About the vertical axis, the subject's left towards the viewer [rad].

    Returns:
        ``(3, height, width)`` in [0, 1], grey where nothing is.
    """
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y, z = positions.double().numpy().reshape(3, -1)
    z = z - _AXIS_DEPTH
    x, z = cosine * x - sine * z, cosine * z + sine * x + _AXIS_DEPTH
    scale = _DISTANCE / (_DISTANCE - z) / _FRAME_HEIGHT
    places = np.stack([x * scale * height / width, y * scale], axis=1) + 0.5
    triangles = _nearest_first(_triangles(mask[0].numpy() > 0.5), z)
    rows, columns = height * _SAMPLES, width * _SAMPLES
    raster = rasterise(places, triangles, rows, columns)
    inside = np.nonzero(raster.index >= 0)
    drawn = raster.index[inside].astype(np.int64)
    weights = torch.from_numpy(raster.weights(drawn, *inside)).float()
    corners = torch.from_numpy(triangles[drawn])
    image = torch.full((3, rows, columns), PAPER / 255)
    image[:, inside[0], inside[1]] = (colours.flatten(1)[:, corners] * weights).sum(dim=2)
    return F.avg_pool2d(image[None], _SAMPLES)[0]


def _triangles(valid: np.ndarray) -> np.ndarray:
    """``(F, 3)`` flat texel numbers of the quads whose four texels are valid."""
    whole = valid[:-1, :-1] & valid[1:, :-1] & valid[:-1, 1:] & valid[1:, 1:]
    row, column = np.nonzero(whole)
    width = valid.shape[1]
    corner = row * width + column
    below = corner + width
    return np.concatenate(
        [
            np.stack([corner, below, corner + 1], axis=1),
            np.stack([corner + 1, below, below + 1], axis=1),
        ]
    )


def _nearest_first(triangles: np.ndarray, depth: np.ndarray) -> np.ndarray:
    return triangles[np.argsort(-depth[triangles].max(axis=1), kind="stable")]
