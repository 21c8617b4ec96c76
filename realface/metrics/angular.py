"""Angle between predicted and true normals, in degrees."""

import torch
from torch import Tensor

from realface.metrics.masked import mean_of_valid, valid_texels


def angular_error_degrees(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean angle over the valid texels.

    Args:
        predicted: Normals ``(B, 3, H, W)``, of any length.
        truth: Normals in the same space, same shape.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.

    Returns:
        A scalar in [0, 180] degrees; NaN where no texel is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = valid_texels(mask, predicted, truth)
    return mean_of_valid(angular_error_map(predicted, truth), mask)


def angular_error_map(predicted: Tensor, truth: Tensor) -> Tensor:
    r"""Angle at each texel, :math:`\mathrm{atan2}(\|p \times t\|, p \cdot t)`.

    Accurate at all angles: an arc cosine in float32 cannot tell angles below 0.02 degrees
    from zero.

    Args:
        predicted: Normals ``(B, 3, H, W)``, of any length.
        truth: Normals in the same space, same shape.

    Returns:
        ``(B, 1, H, W)`` in [0, 180] degrees; 90 where one of them has no length.
    """
    wide = torch.promote_types(predicted.dtype, torch.float32)
    predicted, truth = predicted.detach().to(wide), truth.detach().to(wide)
    sine = torch.linalg.cross(predicted, truth, dim=1).norm(dim=1, keepdim=True)
    cosine = (predicted * truth).sum(dim=1, keepdim=True)
    angle = torch.rad2deg(torch.atan2(sine, cosine))
    return torch.where((sine == 0) & (cosine == 0), angle.new_full((), 90.0), angle)
