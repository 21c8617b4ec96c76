"""How alike two images are, over the valid texels: PSNR and SSIM."""

import torch
from torch import Tensor

from realface.metrics.masked import mean_of_valid, valid_texels

SSIM_WINDOW = 11
"""Taps of the Gaussian window, sigma 1.5, as in the paper [px]."""

SMALLEST = SSIM_WINDOW // 2 + 1
"""Least height and width that the window's reflected border leaves room for [px]."""


def psnr(predicted: Tensor, truth: Tensor, mask: Tensor, max: float = 1.0) -> Tensor:
    r"""Peak signal-to-noise ratio :math:`10 \log_{10}(max^2 / mse)` in dB.

    Args:
        predicted: ``(B, C, H, W)``.
        truth: Same shape and range.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.
        max: Largest value that the encoding allows: 1 for albedos in [0, 1].

    Returns:
        A scalar [dB], the mean over the images that have valid texels; infinite for equal
        images, NaN where no texel is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = valid_texels(mask, predicted, truth)
    error = mean_of_valid((predicted - truth).square(), mask, dims=(1, 2, 3))
    seen = (mask > 0.5).flatten(1).any(dim=1)
    return (10 * torch.log10(max**2 / error[seen])).mean()


def ssim(predicted: Tensor, truth: Tensor, mask: Tensor, max: float = 1.0) -> Tensor:
    """Structural similarity, Wang et al., IEEE TIP 2004, averaged over the valid texels.

    Outside the mask both images are given the mean of the true one, so nothing there counts;
    within 5 texels of the mask's edge the value leans towards 1.

    Args:
        predicted: ``(B, C, H, W)``, H and W at least 6.
        truth: Same shape and range.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.
        max: Largest value that the encoding allows.

    Returns:
        A scalar in [-1, 1], 1 for equal images; NaN where no texel is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    from kornia.metrics import ssim as ssim_map  # 1.4 s to import

    predicted, truth = valid_texels(mask, predicted, truth)
    fill = mean_of_valid(truth, mask, dims=(2, 3)).nan_to_num()[..., None, None]
    predicted, truth = (torch.where(mask > 0.5, m, fill) for m in (predicted, truth))
    # eps stays out of the denominator: it would make equal black images differ.
    similarity = ssim_map(predicted, truth, SSIM_WINDOW, max_val=float(max), eps=0.0)
    return mean_of_valid(similarity, mask)
