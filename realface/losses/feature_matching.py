"""Discriminator feature matching: Wang et al., CVPR 2018, arXiv:1711.11585, equation 4."""

from collections.abc import Sequence

import torch
from torch import Tensor

REFERENCE_LAYERS = 4
"""Layers at which the weight of one layer is 1, as in pix2pixHD."""


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean absolute difference of the discriminator's features of true and generated maps.

    Each layer of each scale weighs ``4 / layers / scales``, with the layers counted without
    the logits, which are left out: pix2pixHD's ``4 / (n_layers_D + 1) / num_D``. The factor 10
    in front (its lambda_feat) is the caller's.

    Args:
        real: Features of the true maps, per scale, the logits last; no gradient flows here.
        fake: The same of the generated maps.

    Returns:
        A scalar, float32 or wider.
    """
    differences = []
    for real_scale, fake_scale in zip(real, fake, strict=True):
        layers = len(fake_scale) - 1
        weight = REFERENCE_LAYERS / layers / len(fake)
        for true, made in zip(real_scale[:-1], fake_scale[:-1], strict=True):
            differences.append(weight * _mean_difference(true.detach(), made))
    return torch.stack(differences).sum()


def _mean_difference(true: Tensor, made: Tensor) -> Tensor:
    wide = torch.promote_types(made.dtype, torch.float32)
    return (made.to(wide) - true.to(wide)).abs().mean()
