"""Least-squares GAN losses: Mao et al., ICCV 2017, arXiv:1611.04076, with labels 1 and 0."""

from collections.abc import Sequence

import torch
from torch import Tensor


def least_squares_generator(fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean of (logits - 1)^2, summed over the scales: zero where every fake passes as real.

    Args:
        fake: What a :class:`~realface.networks.discriminator.MultiScaleDiscriminator` says
            of the generated maps: per scale its feature maps, the logits last.

    Returns:
        A scalar, float32 or wider.
    """
    return _summed([_distance(scale[-1], 1.0) for scale in fake])


def least_squares_discriminator(
    real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Half of mean (real logits - 1)^2 + mean (fake logits)^2, summed over the scales.

    Args:
        real: Features of the true maps, per scale, the logits last.
        fake: The same of the generated maps, which the caller has detached.

    Returns:
        A scalar, float32 or wider: 0 for a perfect discriminator, 1/4 for each scale for one
        that always says 1/2.
    """
    on_real = _summed([_distance(scale[-1], 1.0) for scale in real])
    on_fake = _summed([_distance(scale[-1], 0.0) for scale in fake])
    return 0.5 * (on_real + on_fake)


def _distance(logits: Tensor, label: float) -> Tensor:
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (wide - label).square().mean()


def _summed(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()
