"""Normalisation layers, by name."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["instance", "position", "none"]


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


class PositionNorm(nn.Module):
    r"""Layer normalisation over the channels of each texel, with learned scale and shift.

    :math:`\gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta`, moments over the channels (Ba et
    al., arXiv:1607.06450, as ConvNeXt has it). No texel's result depends on another's, so
    windows of one map agree wherever they see the same neighbourhood. Moments are taken in
    float32 whatever the input's type.

    Args:
        channels: Of the input.
    """

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``; the result has the input's type and shape."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32)).movedim(1, -1)
        weight, bias = self.weight.to(wide.dtype), self.bias.to(wide.dtype)
        made = F.layer_norm(wide, weight.shape, weight, bias, self.eps)
        return made.movedim(-1, 1).to(x.dtype)


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """The layer that a norm's name stands for, for features of so many channels.

    Raises:
        ValueError: If the name is unknown.
    """
    if norm == "instance":
        return InstanceNorm()
    if norm == "position":
        return PositionNorm(channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm={norm!r} is unknown: choose one of {', '.join(get_args(Norm))}")
