"""Whether fine relief lies where it should: slopes within a band of wavelengths, correlated.

An angle hardly sees pores: a face without any is off by a few degrees. Here the shape is taken out,
and what is left of two maps is correlated, so that relief of the right kind in the wrong place
scores nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.geometry.normals import blur_in_mask
from realface.maps.encoding import luminance
from realface.metrics.spectra import halving_sigma, micro_slopes

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def band_passed(values: Tensor, mask: Tensor, longest: float, shortest: float) -> Tensor:
    """Waves between two lengths: the difference of two Gaussian means over the valid texels.

    Args:
        values: ``(1, C, H, W)``.
        mask: ``(1, 1, H, W)`` bool, the valid texels.
        longest: Wave of which half is left [texels].
        shortest: Likewise at the fine end [texels]; at 2 or less nothing fine is taken out.

    Returns:
        ``(1, C, H, W)``; 0 outside the mask.
    """
    fine = values if shortest <= 2 else _mean_nearby(values, mask, halving_sigma(shortest))
    return torch.where(mask, fine - _mean_nearby(values, mask, halving_sigma(longest)), 0)


def detail_slopes(
    normals: Tensor, base: Tensor, mask: Tensor, longest: float, shortest: float
) -> Tensor:
    """Slopes of a surface against its smooth shape, waves between two lengths only.

    Args:
        normals: Unit normals, object space, ``(1, 3, H, W)``.
        base: Those of the smooth shape, likewise.
        mask: ``(1, 1, H, W)`` bool.
        longest: [texels].
        shortest: [texels].

    Returns:
        ``(1, 2, H, W)``: along x and along y, mm per mm.
    """
    return band_passed(micro_slopes(normals, base), mask, longest, shortest)


def sobel_slopes(texture: Tensor) -> Tensor:
    """What relief a filter reads from a picture that takes dark for deep: Sobel's of its grey.

    Args:
        texture: sRGB, ``(1, 3, H, W)``.

    Returns:
        ``(1, 2, H, W)``: change of grey along x and along y (up), per texel.
    """
    grey = luminance(texture)  # of encoded values: what a picture editor calls grey
    across = texture.new_tensor(_SOBEL)
    kernels = torch.stack((across, -across.T))[:, None] / 8
    return F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)


def with_neighbours(mask: Tensor) -> Tensor:
    """Texels of a mask ``(1, 1, H, W)`` bool whose eight neighbours are in it too."""
    outside = (~mask).float()
    return F.max_pool2d(outside, 3, 1, 1) == 0


def correlation(a: Tensor, b: Tensor, region: Tensor) -> float:
    """Pearson's correlation over a region.

    Args:
        a: ``(1, 1, H, W)``.
        b: Likewise.
        region: ``(1, 1, H, W)`` bool.

    Returns:
        In [-1, 1]; NaN where one of them does not vary.
    """
    a, b = a[region].double(), b[region].double()
    if a.numel() < 2:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    spread = float((a.square().sum() * b.square().sum()).sqrt())
    return float((a * b).sum()) / spread if spread > 0 else math.nan


def _mean_nearby(values: Tensor, mask: Tensor, sigma: float) -> Tensor:
    counted = torch.cat((values, torch.ones_like(values[:, :1])), dim=1)
    sums = blur_in_mask(counted, mask, sigma)
    return sums[:, :-1] / sums[:, -1:].clamp(min=1e-12)
