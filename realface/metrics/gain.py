"""The gain that albedo and light share: no picture tells a darker skin from a dimmer lamp."""

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.metrics.masked import valid_texels


def best_gain(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Factor on each channel that brings a prediction nearest to the truth.

    Least squares over the valid texels: :math:`\sum p\,t / \sum p^2`.

    Args:
        predicted: Linear light, ``(B, C, H, W)``.
        truth: Likewise.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.

    Returns:
        ``(B, C, 1, 1)``; 1 where the prediction is black.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = (values.double() for values in valid_texels(mask, predicted, truth))
    energy = predicted.square().sum((2, 3), keepdim=True)
    shared = (predicted * truth).sum((2, 3), keepdim=True)
    return torch.where(energy > 0, shared / torch.where(energy > 0, energy, 1), 1).float()


def with_best_gain(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """An albedo after the best gain of each channel in linear light.

    Args:
        predicted: sRGB-encoded, ``(B, C, H, W)``, not negative; may go on above 1.
        truth: sRGB-encoded, same shape.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.

    Returns:
        ``(B, C, H, W)`` sRGB-encoded, not clamped.

    Raises:
        ValueError: If the shapes do not fit.
    """
    linear = srgb_to_linear(predicted)
    return linear_to_srgb(linear * best_gain(linear, srgb_to_linear(truth), mask))
