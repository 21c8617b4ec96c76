"""The central face: a box in space about the tip of the nose."""

import torch
from torch import Tensor

_AHEAD = 0.2
"""Least z of normals of texels among which the tip is sought: not the inside of the mouth."""


def face_box(positions: Tensor, normals: Tensor, mask: Tensor) -> Tensor:
    """Texels from chin to hairline and from ear to ear.

    The tip of the nose is the foremost valid texel that looks ahead; the box goes 75 mm to either
    side of it, 70 mm down, 95 mm up and 110 mm back. The numbers are ours.

    Args:
        positions: Object space [mm], ``(3, H, W)``, of a head that looks along +z.
        normals: Of the shape, ``(3, H, W)``.
        mask: ``(1, H, W)`` bool, the valid texels.

    Returns:
        ``(1, H, W)`` bool, within the mask; empty where no valid texel looks ahead.
    """
    ahead = mask[0] & (normals[2] > _AHEAD)
    if not ahead.any():
        return torch.zeros_like(mask)
    depth = torch.where(ahead, positions[2], -torch.inf)
    x, y, z = positions - positions.flatten(1)[:, depth.argmax()].view(3, 1, 1)
    return mask & ((x.abs() < 75) & (y > -70) & (y < 95) & (z > -110))[None]
