"""Colour encodings and unit vectors, on tensors ``(..., C, H, W)``."""

import torch
from torch import Tensor

from realface.maps.kinds import Encoding


def srgb_to_linear(values: Tensor) -> Tensor:
    """Decode sRGB, values in [0, 1] (IEC 61966-2-1).

    Values outside [0, 1] continue the curve, so that a network's overshoot keeps a gradient:
    the linear toe below zero, the power above one.
    """
    toe = values / 12.92
    curve = ((values.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(values <= 0.04045, toe, curve)


def linear_to_srgb(values: Tensor) -> Tensor:
    """Encode linear light as sRGB; the inverse of `srgb_to_linear`, also outside [0, 1]."""
    toe = values * 12.92
    curve = 1.055 * values.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(values <= 0.0031308, toe, curve)


def xyz_to_linear(values: Tensor) -> Tensor:
    """CIE XYZ under D65, ``(..., 3)`` with Y of white 1, to linear sRGB (IEC 61966-2-1)."""
    matrix = values.new_tensor(
        ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))
    )
    return values @ matrix.T


def luminance(values: Tensor) -> Tensor:
    """Luminance ``(..., 1, H, W)`` of linear sRGB ``(..., 3, H, W)`` (IEC 61966-2-1)."""
    weights = values.new_tensor((0.2126, 0.7152, 0.0722))
    return torch.einsum("...chw,c->...hw", values, weights).unsqueeze(-3)


def unit(vectors: Tensor) -> Tensor:
    """Vectors ``(..., 3, H, W)`` at unit length, float32 or wider; a zero vector stays zero.

    Squares are summed by hand: torch's own norm over a leading dimension is some 25 times slower
    on CPU.
    """
    wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    return wide * wide.square().sum(dim=-3, keepdim=True).clamp(min=1e-24).rsqrt()


def convert(values: Tensor, source: Encoding, target: Encoding) -> Tensor:
    """Colour values from one encoding to another; the same encoding passes through.

    Raises:
        ValueError: If either is no colour encoding and they differ.
    """
    if source == target:
        return values
    if (source, target) == ("srgb", "linear"):
        return srgb_to_linear(values)
    if (source, target) == ("linear", "srgb"):
        return linear_to_srgb(values)
    raise ValueError(f"values in {source!r} cannot be read as {target!r}")
