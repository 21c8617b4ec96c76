"""Difference in direction of predicted and true normals."""

import torch.nn.functional as F
from torch import Tensor

from realface.losses.masked import masked_mean, valid_texels

SHORTEST = 1e-4
"""Shorter vectors are divided by this, so that no gradient exceeds its inverse."""


def angular(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Mean of :math:`1 - \cos` of the angle between normals, over the valid texels.

    Computed as :math:`\tfrac12 \|\hat p - \hat t\|^2`, which is the same for unit vectors, and
    keeps its accuracy and its gradient where the angle is small; an arc cosine has neither.

    Args:
        predicted: ``(B, 3, H, W)``; of any length, only the direction counts.
        truth: ``(B, 3, H, W)``, in the same space.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.

    Returns:
        A scalar in [0, 2], float32 or wider; zero where no texel is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = valid_texels(mask, predicted, truth)
    difference = F.normalize(predicted, dim=1, eps=SHORTEST) - F.normalize(
        truth, dim=1, eps=SHORTEST
    )
    return masked_mean(0.5 * difference.square().sum(dim=1, keepdim=True), mask)
