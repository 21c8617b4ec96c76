"""Blend weights of overlapping windows, one axis at a time."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def axis_weights(windows: Sequence[tuple[int, int]]) -> Tensor:
    r"""Weight of each pixel of each window along one axis; they sum to one over the windows.

    Between neighbours weight passes from one to the other along a Hann ramp over the pixels they
    share, :math:`r(i) = \sin^2(\frac{\pi}{2}\,\frac{i + 1/2}{overlap})`; window :math:`k` weighs
    :math:`r_k - r_{k+1}`, its own rise less the next window's. The sum over windows telescopes to
    one by construction, for unequal overlaps and for overlaps beyond half a window too, so no
    map of summed weights is kept and nothing is divided. A window at the map's edge has no ramp
    there. The weight of a window in two dimensions is the outer product of its two axes'.

    Source: the ramp is a Hann window (raised cosine). AvatarMe (CVPR 2020) instead fades
    windows of 1536 px, 768 px apart, linearly over 384 px.

    Args:
        windows: ``(start, stop)`` [px] of each window, of one length, starts and stops rising,
            neighbours touching or overlapping, as from ``axis_windows``.

    Returns:
        ``(n, length)`` float32 weights in ``[0, 1]``; over the windows that cover a pixel they
        sum to one within float32 rounding.
    """
    position = torch.arange(windows[0][1] - windows[0][0], dtype=torch.float64) + 0.5
    weights = []
    for index, (start, stop) in enumerate(windows):
        rise, fall = torch.ones_like(position), torch.zeros_like(position)
        if index:
            rise = _ramp(position, windows[index - 1][1] - start)
        if index + 1 < len(windows):
            following = windows[index + 1][0]
            fall = _ramp(position - (following - start), stop - following)
        weights.append(rise - fall)
    # Rounding may leave -1e-17 where two ramps end together.
    return torch.stack(weights).clamp_(0, 1).float()


def _ramp(position: Tensor, overlap: int) -> Tensor:
    """Hann ramp: 0 where ``position <= 0`` and 1 from ``position >= overlap`` [px] on."""
    if overlap == 0:
        return (position > 0).to(position.dtype)
    return torch.sin(math.pi / 2 * (position / overlap).clamp(0, 1)) ** 2
