"""PSNR and SSIM of one pair of images in several regions at once, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from realface.metrics.image import SSIM_WINDOW
from realface.metrics.masked import mean_of_valid

ROWS = 128
"""Rows that are compared at a time; each band sees the rows that its SSIM windows reach into."""


def region_scores(
    predicted: Tensor,
    truth: Tensor,
    mask: Tensor,
    regions: Mapping[str, Tensor],
    convert: Callable[[Tensor], Tensor] = lambda values: values,
    rows: int = ROWS,
    every: int = 1,
) -> dict[str, tuple[float, float]]:
    """PSNR [dB] and SSIM of values in [0, 1], by region.

    As `realface.metrics.image` has them, band by band of rows: the same numbers. Texels outside
    the mask hold the true mean within it; a region's border inside the mask is no border.

    Args:
        predicted: ``(1, C, H, W)``, finite in the mask, H and W at least 6.
        truth: Same shape.
        mask: ``(1, 1, H, W)`` bool, the valid texels.
        regions: ``(1, 1, H, W)`` bool each, within the mask.
        convert: Of both images' values before they are compared, such as an encoding.
        rows: Of a band.
        every: SSIM is taken from every n-th band only, the first among them.

    Returns:
        (PSNR, SSIM) of each region: infinite PSNR for equal images, NaN for an empty region and,
        for SSIM, for one that no band taken touches.
    """
    fill = convert(mean_of_valid(torch.where(mask, truth, 0), mask, dims=(2, 3))[..., None, None])
    sums = {name: torch.zeros(4, dtype=torch.float64) for name in regions}
    height, halo = truth.shape[2], SSIM_WINDOW // 2
    for number, top in enumerate(range(0, height, rows)):
        bottom = min(top + rows, height)
        if not any(region[:, :, top:bottom].any() for region in regions.values()):
            continue
        seen = slice(max(0, top - halo), min(height, bottom + halo))
        inner = slice(top - seen.start, bottom - seen.start)
        a, b = (
            torch.where(mask[:, :, seen], convert(image[:, :, seen]), fill)
            for image in (predicted, truth)
        )
        error = (a - b)[:, :, inner].square()
        alike = _similarity(a, b)[:, :, inner] if number % every == 0 else None
        for name, region in regions.items():
            sums[name] += _sums(error, alike, region[:, :, top:bottom])
    return {name: _from_sums(each) for name, each in sums.items()}


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    from kornia.metrics import ssim  # 1.4 s to import

    return ssim(a, b, SSIM_WINDOW, max_val=1.0, eps=0.0)


def _sums(error: Tensor, alike: Tensor | None, region: Tensor) -> Tensor:
    """Sum of errors, their number, sum of similarities, their number."""
    inside = region.expand_as(error)
    count = inside.sum().double()
    total = torch.where(inside, error, 0).sum(dtype=torch.float64)
    if alike is None:
        return torch.stack((total, count, total.new_zeros(()), total.new_zeros(())))
    shared = torch.where(inside, alike, 0).sum(dtype=torch.float64)
    return torch.stack((total, count, shared, count))


def _from_sums(sums: Tensor) -> tuple[float, float]:
    error, count, alike, compared = sums.tolist()
    if not count:
        return math.nan, math.nan
    psnr = -10 * math.log10(error / count) if error else math.inf
    return psnr, alike / compared if compared else math.nan
