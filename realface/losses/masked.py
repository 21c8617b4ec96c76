"""Means over the valid texels of a map, for losses."""

import torch
from torch import Tensor


def valid_texels(mask: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
    """The maps in float32 or wider, with zeros where the mask is not set.

    Zeros are put in before any arithmetic: whatever stands outside the mask, NaN included,
    reaches neither the value nor the gradient.

    Args:
        mask: ``(B, 1, H, W)``; valid where above 0.5, or a boolean.
        *maps: Each ``(B, C, H, W)``, all of one shape.

    Raises:
        ValueError: If shapes differ, with the shapes.
    """
    shapes = {tuple(m.shape) for m in maps}
    batch, _, *size = maps[0].shape
    if len(shapes) > 1 or tuple(mask.shape) != (batch, 1, *size):
        raise ValueError(
            f"maps of shapes {sorted(shapes)} with a mask {tuple(mask.shape)}: the maps must "
            "have one shape (B, C, H, W), the mask (B, 1, H, W)"
        )
    valid = mask > 0.5
    wide = (m.to(torch.promote_types(m.dtype, torch.float32)) for m in maps)
    return tuple(torch.where(valid, m, m.new_zeros(())) for m in wide)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over valid texels and channels; zero, with a gradient of zero, where none is valid.

    Args:
        values: ``(B, C, H, W)``, finite everywhere.
        mask: ``(B, 1, H, W)``; valid where above 0.5, or a boolean.
    """
    weight = (mask > 0.5).to(values.dtype)
    count = weight.sum() * values.shape[1]
    return (values * weight).sum() / count.clamp(min=1)
