"""Cross-fades between neighbouring windows, one axis at a time."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Fade = Literal["linear", "hann", "gaussian"]

_SHARPNESS = 8.0
"""Of the Gaussian ramp: two Gaussians of sigma 1/8 window, half a window apart, MONAI's default
at half overlap, have the ratio exp(-32 t) at distance t windows from their middle; over a ramp of a
quarter of the window that is exp(-8 u), u from -1/2 to 1/2."""


def ramp_up(length: int, fade: Fade) -> Tensor:
    r"""Weight of the later of two windows over the pixels that they share, rising from 0 to 1.

    The earlier one weighs 1 minus this: they sum to one by construction, so no map of summed
    weights is kept and nothing is divided. Pixel :math:`i` lies at :math:`u = (i + 1/2) / length`.

    - ``linear``: :math:`u`, as AvatarMe (CVPR 2020) fades its windows.
    - ``hann``: :math:`\sin^2(\frac{\pi}{2} u)`, without a kink at the ends.
    - ``gaussian``: what two Gaussians normalised by their sum give, the logistic function,
      stretched to reach 0 and 1 at the ends; a floor, as elsewhere, would leave a step there.

    Args:
        length: Shared pixels.
        fade: Form.

    Returns:
        ``(length,)`` float32 in (0, 1), with ``ramp + ramp.flip(0) == 1`` within rounding.
    """
    u = (torch.arange(length, dtype=torch.float64) + 0.5) / max(length, 1)
    return _FORMS[fade](u).float()


def _gaussian(u: Tensor) -> Tensor:
    low = 1 / (1 + math.exp(_SHARPNESS / 2))
    return (torch.sigmoid(_SHARPNESS * (u - 0.5)) - low) / (1 - 2 * low)


_FORMS: dict[Fade, Callable[[Tensor], Tensor]] = {
    "linear": lambda u: u,
    "hann": lambda u: torch.sin(math.pi / 2 * u) ** 2,
    "gaussian": _gaussian,
}
