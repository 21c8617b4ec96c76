"""Latitude-longitude maps of the sphere: directions of their texels, solid angles, look-up.

Row 0 is up (+y) and the middle column is +z, where the viewer stands. The column at ``u`` in
[0, 1) lies at the azimuth ``phi = (u - 0.5) 2 pi`` towards +x, a row at the elevation ``e``:
``d = (sin phi cos e, sin e, cos phi cos e)``. Texels are areas; their centres are sampled.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def directions(height: int, width: int, like: Tensor) -> Tensor:
    """Unit vectors ``(3, height, width)`` to the texels' centres, type and device of ``like``."""
    row = torch.arange(height, dtype=like.dtype, device=like.device)[:, None]
    column = torch.arange(width, dtype=like.dtype, device=like.device)
    elevation = (0.5 - (row + 0.5) / height) * math.pi
    azimuth = ((column + 0.5) / width - 0.5) * 2 * math.pi
    across = elevation.cos()
    up = elevation.sin().expand(height, width)
    return torch.stack((azimuth.sin() * across, up, azimuth.cos() * across))


def solid_angles(height: int, width: int, like: Tensor) -> Tensor:
    """Solid angle of each texel ``(height, 1)`` [sr]; the whole map's is 4 pi exactly."""
    edges = torch.arange(height + 1, dtype=like.dtype, device=like.device)
    heights = ((0.5 - edges / height) * math.pi).sin()
    return (heights[:-1] - heights[1:])[:, None] * (2 * math.pi / width)


def sample(levels: Tensor, towards: Tensor, level: Tensor | None = None) -> Tensor:
    """Look up directions in maps, continuous over the whole sphere and between levels.

    Bilinear in azimuth and elevation, linear in the level. Columns wrap around; beyond the last
    row's centre values go over to the row's mean, so that each pole has one value.

    Args:
        levels: ``(B, K, C, h, w)``, or of a batch of one for all.
        towards: Unit vectors ``(B, 3, H, W)``.
        level: Fractional number of the level in [0, K - 1], ``(B, 1, H, W)``; None: the first.

    Returns:
        ``(B, C, H, W)``.
    """
    count, height, width = levels.shape[1], *levels.shape[-2:]
    x, y, z = towards.unbind(1)
    across = (x.square() + z.square()).clamp(min=1e-12).sqrt()
    column = (torch.atan2(x, z) / (2 * math.pi) + 0.5) * width - 0.5  # of texels' centres
    row = (0.5 - torch.atan2(y, across) / math.pi) * height - 0.5
    # A pole lies half a texel beyond the last centre, where one more row will hold the mean.
    row = row + row.clamp(max=0) + (row - (height - 1)).clamp(min=0)
    number = torch.zeros_like(row) if level is None else level[:, 0]
    grid = torch.stack(
        ((column + 1) / (width + 1), (row + 1) / (height + 1), number / max(count - 1, 1)), dim=-1
    )
    means = levels.mean(dim=-1, keepdim=True).expand_as(levels)
    rows = torch.cat((means[..., :1, :], levels, means[..., -1:, :]), dim=-2)
    wrapped = torch.cat((rows[..., -1:], rows, rows[..., :1]), dim=-1)
    volume = wrapped.transpose(1, 2).expand(len(towards), -1, -1, -1, -1)
    values = F.grid_sample(volume, 2 * grid[:, None] - 1, padding_mode="border", align_corners=True)
    return values[:, :, 0]


def rotated(levels: Tensor, matrix: Tensor) -> Tensor:
    """Maps ``(B, K, C, h, w)`` of the turned sphere: what was at ``d`` is at ``matrix @ d``.

    Args:
        levels: Any number of maps a sample.
        matrix: Orthogonal, ``(3, 3)`` or ``(B, 3, 3)``.
    """
    batch, count, channels, height, width = levels.shape
    texels = directions(height, width, levels)
    origin = torch.einsum("...ij,ihw->...jhw", matrix.to(levels), texels)  # the transpose
    flat = levels.reshape(batch, 1, count * channels, height, width)
    return sample(flat, origin.expand(batch, 3, height, width)).view_as(levels)
