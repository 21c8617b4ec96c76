"""What any method of de-lighting must beat: albedo from a texture by a line of arithmetic.

All take a texture ``(B, 3, H, W)``, sRGB in [0, 1], and a mask ``(B, 1, H, W)``, and return an
albedo of the texture's shape, sRGB-encoded, not negative, above 1 where division made it so. Those
that divide take the light for white and of mean 1 in each channel, since its strength is not known.
Outside the mask they are 0.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from realface.geometry.normals import blur_in_mask
from realface.maps.encoding import linear_to_srgb, luminance, srgb_to_linear
from realface.metrics.masked import mean_of_valid
from realface.shading import harmonics
from realface.shading.harmonics_fit import fit_harmonics, fit_harmonics_robustly
from realface.shading.occlusion import enlarge_in_mask, reduce_in_mask

Fit = Literal["least_squares", "robust", "log"]

WHITE = 254.5 / 255
"""From here on a channel is taken as clipped, sRGB."""

_DARKEST = 0.1
"""Least shading that is divided by, of its mean: nine harmonics go below zero."""

_BLACKEST = 1e-3
"""Least linear light of which a logarithm is taken."""

_FITTED = 1 << 16
"""Texels that light is fitted on, about, evenly spaced: nine numbers need no more."""


def flat_colour(texture: Tensor, mask: Tensor) -> Tensor:
    """The texture's mean colour in linear light everywhere."""
    mean = mean_of_valid(srgb_to_linear(texture), mask, dims=(2, 3))[..., None, None]
    return linear_to_srgb(mean * (mask > 0.5))


def divided_by_blur(
    texture: Tensor, mask: Tensor, deviation: float, *, coloured: bool = False
) -> Tensor:
    """The texture over its own blur within the mask: homomorphic filtering at its simplest.

    Args:
        texture: sRGB.
        mask: Valid texels.
        deviation: Of the Gaussian, in widths of the map.
        coloured: Blur and divide each channel; else all by the blurred luminance.
    """
    linear, valid = srgb_to_linear(texture), mask > 0.5
    light = linear
    if not coloured:
        light = luminance(linear)
    sums = blur_in_mask(
        torch.cat((light, torch.ones_like(light[:, :1])), 1), valid, deviation * texture.shape[-1]
    )
    return _divided(linear, sums[:, :-1] / sums[:, -1:].clamp(min=1e-12), mask, least=1e-6)


def divided_by_harmonics(
    texture: Tensor, normals: Tensor, mask: Tensor, fit: Fit = "least_squares"
) -> Tensor:
    """The texture over the nine harmonics of light that would make it of a constant albedo.

    Fitted where no channel is clipped. ``least_squares`` and ``robust`` fit irradiance in linear
    light; ``log`` fits the logarithm of the texture by nine functions of the normals, so that the
    shading is positive and dark texels count as much as bright ones.

    Args:
        texture: sRGB.
        normals: Unit vectors, object space, ``(B, 3, H, W)``.
        mask: Valid texels.
        fit: How.
    """
    linear = srgb_to_linear(texture)
    known = ((mask > 0.5) & (texture < WHITE).all(1, keepdim=True)).to(linear)
    step = max(1, round(math.sqrt(mask[0].numel() / _FITTED)))
    some, facing, weights = (each[..., ::step, ::step] for each in (linear, normals, known))
    if fit == "log":
        light = fit_harmonics(some.clamp(min=_BLACKEST).log(), facing, weights)
        return _divided(linear, harmonics.irradiance(light, normals).exp(), mask)
    solve = fit_harmonics if fit == "least_squares" else fit_harmonics_robustly
    light = solve(some, facing, weights)
    return _divided(linear, harmonics.irradiance(light, normals), mask)


def divided_by_true_shading(
    texture: Tensor, albedo: Tensor, mask: Tensor, factor: int = 8
) -> Tensor:
    """The texture over its true shading at a lower size: what a low-resolution stage can reach.

    Args:
        texture: sRGB.
        albedo: The true one, sRGB.
        mask: Valid texels.
        factor: By how much lower; the log of texture / albedo is averaged over such blocks.
    """
    linear, true = (srgb_to_linear(values).clamp(min=_BLACKEST) for values in (texture, albedo))
    low, covered = reduce_in_mask((linear / true).log(), mask, factor)
    size = texture.shape[-2], texture.shape[-1]
    shading = enlarge_in_mask(low, covered, factor, size).exp()
    return linear_to_srgb(srgb_to_linear(texture) / shading * (mask > 0.5))


def _divided(linear: Tensor, shading: Tensor, mask: Tensor, least: float = _DARKEST) -> Tensor:
    """Linear light over shading, whose mean is made 1 in each channel, as sRGB."""
    valid = mask > 0.5
    mean = mean_of_valid(torch.where(valid, shading, 0), mask, dims=(2, 3))[..., None, None]
    relative = (shading / mean.clamp(min=1e-12)).clamp(min=least)
    return linear_to_srgb(linear / relative * valid)
