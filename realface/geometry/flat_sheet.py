"""A sheet that faces the viewer: what stands for the shape of a texture that has no mesh."""

import torch
from torch import Tensor

from realface.errors import InputError

EAR_TO_EAR = 280.0
"""Assumed length of skin, from ear to ear over the face, that a texture spans in width [mm]; ours.

A layout of the whole head spans about twice as much, a photograph's front view half.
"""


def texel_from_width(mask: Tensor) -> float:
    """Side of a texel, from the assumption that the mask is `EAR_TO_EAR` wide.

    Args:
        mask: ``(1, H, W)``, valid above 0.5.

    Returns:
        Millimetres.

    Raises:
        InputError: If the mask is empty.
    """
    columns = (mask[0] > 0.5).any(0).nonzero()
    if not len(columns):
        raise InputError("a mask without a valid texel", "at least one", "check the mask")
    return EAR_TO_EAR / int(columns[-1] - columns[0] + 1)


def flat_sheet(height: int, width: int, texel: float) -> dict[str, Tensor]:
    """Shape and normals of a flat sheet that faces the viewer.

    Args:
        height: Rows [texels].
        width: Columns [texels].
        texel: Side of one [mm].

    Returns:
        ``shape`` ``(3, H, W)`` in millimetres, z = 0, the middle at 0; ``shape_normals``
        ``(3, H, W)``, (0, 0, 1). In this frame normals in object space are those of tangent space.

    Raises:
        InputError: If ``texel`` is not positive.
    """
    if not 0 < texel < float("inf"):
        raise InputError(f"a texel of {texel:g} mm", "a positive number", "correct --texel")
    shape = torch.zeros(3, height, width)
    shape[0] = (torch.arange(width) - (width - 1) / 2) * texel
    shape[1] = ((height - 1) / 2 - torch.arange(height))[:, None] * texel
    normals = torch.zeros(3, height, width)
    normals[2] = 1
    return {"shape": shape, "shape_normals": normals}
