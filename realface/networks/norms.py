"""Normalisation layers, by name."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from realface.networks.precision import full_precision

Norm = Literal["instance", "none"]


class InstanceNorm(nn.Module):
    r"""Instance normalisation without learned scale or running statistics.

    Each channel of each sample becomes :math:`(x - \mu) / \sqrt{\sigma^2 + \epsilon}` over
    its own height and width (Ulyanov et al., arXiv:1607.08022), as pix2pixHD does it. Half
    precision goes in and comes out; the statistics are taken in float32.

    The output depends on the whole window, not on a neighbourhood: two windows of one map
    disagree where they overlap.
    """

    eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``; the result has the input's type and shape."""
        # As groups of one channel. torch's own instance norm returns a view of a batch norm; a ReLU
        # in place behind it then copies in the backward pass, which together takes three times as
        # long on CPU. Autocast would widen the whole map, not its statistics.
        with full_precision(x.device):
            return F.group_norm(x, x.shape[1], eps=self.eps)


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
