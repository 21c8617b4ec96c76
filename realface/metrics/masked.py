"""Means over the valid texels of a map, for metrics."""

import torch
from torch import Tensor


def valid_texels(mask: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
    """The maps without gradient, in float32 or wider, zero where the mask is not set.

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
    wide = (m.detach().to(torch.promote_types(m.dtype, torch.float32)) for m in maps)
    return tuple(torch.where(valid, m, m.new_zeros(())) for m in wide)


def mean_of_valid(values: Tensor, mask: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """Mean over valid texels and channels, NaN where none is valid: no texel, no number.

    Args:
        values: ``(B, C, H, W)``, finite everywhere.
        mask: ``(B, 1, H, W)``; valid where above 0.5, or a boolean.
        dims: Dimensions to average over; None: all.
    """
    weight = (mask > 0.5).to(values.dtype).expand_as(values)
    dims = dims or tuple(range(values.ndim))
    return (values * weight).sum(dims) / weight.sum(dims)
