"""Normalisation layers, by name."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["instance", "none"]


class InstanceNorm(nn.Module):
    r"""Instance normalisation without learned scale or running statistics.

    Each channel of each sample becomes :math:`(x - \mu) / \sqrt{\sigma^2 + \epsilon}` over
    its own height and width (Ulyanov et al., arXiv:1607.08022), as pix2pixHD does it. The
    statistics are taken in float32 whatever the input's type and under autocast: in float16
    the variance overflows from deviations of 256 on.

    The output depends on the whole window, not on a neighbourhood: two windows of one map
    disagree where they overlap.
    """

    eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``; the result has the input's type and shape."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return F.instance_norm(wide, eps=self.eps).to(x.dtype)


def normalisation(norm: Norm) -> nn.Module:
    """The layer that a norm's name stands for.

    Raises:
        ValueError: If the name is unknown.
    """
    if norm == "instance":
        return InstanceNorm()
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm={norm!r} is unknown: choose one of {', '.join(get_args(Norm))}")
