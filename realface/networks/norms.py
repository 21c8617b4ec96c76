"""Normalisation layers, by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realface.networks.precision import full_precision

Norm = Literal["instance", "none"]


class FrozenStatistics(Protocol):
    """Mean and variance that a norm takes instead of its window's own."""

    def normalise(self, x: Tensor, eps: float) -> Tensor:
        """Normalise ``(B, C, H, W)`` by them; the result has the input's type and shape."""


@dataclass(frozen=True)
class ChannelStatistics:
    """One mean and variance for each channel, of all windows and positions.

    Attributes:
        mean: ``(C,)`` float32 or wider.
        variance: ``(C,)`` likewise, over all values (divided by their number).
    """

    mean: Tensor
    variance: Tensor

    def normalise(self, x: Tensor, eps: float) -> Tensor:
        """Normalise ``(B, C, H, W)``: each texel by itself, so that windows agree bit for bit."""
        kind = x.dtype if x.dtype == torch.float64 else torch.float32
        mean, variance = self.mean.to(x.device, kind), self.variance.to(x.device, kind)
        # One fused pass that reads half precision with float32 statistics.
        return F.batch_norm(x, mean, variance, training=False, eps=eps)


class InstanceNorm(nn.Module):
    r"""Instance normalisation without learned scale or running statistics.

    Each channel of each sample becomes :math:`(x - \mu) / \sqrt{\sigma^2 + \epsilon}` over
    its own height and width (Ulyanov et al., arXiv:1607.08022), as pix2pixHD does it. Half
    precision goes in and comes out; the statistics are taken in float32.

    The output depends on the whole window, not on a neighbourhood: two windows of one map
    disagree where they overlap. With frozen ``statistics`` it depends on the texel alone. They are
    those of one map, no part of the weights: they are not in ``state_dict``.

    Attributes:
        statistics: What to normalise by; None: by the window's own mean and variance.
    """

    eps = 1e-5

    def __init__(self) -> None:
        super().__init__()
        self.statistics: FrozenStatistics | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``; the result has the input's type and shape."""
        if self.statistics is not None:
            return self.statistics.normalise(x, self.eps)
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


def instance_norms(network: nn.Module) -> list[InstanceNorm]:
    """The instance norms of a network, in the order in which they were built."""
    return [module for module in network.modules() if isinstance(module, InstanceNorm)]


def is_local(network: nn.Module) -> bool:
    """Whether no norm of the network couples distant texels: there is none, or all are frozen."""
    return all(norm.statistics is not None for norm in instance_norms(network))


def release(network: nn.Module) -> None:
    """Let every norm take its window's own statistics again."""
    for norm in instance_norms(network):
        norm.statistics = None


@contextmanager
def without_norms(network: nn.Module) -> Iterator[None]:
    """Let every norm pass its input through, to look at the structure alone; undone at the end."""
    before = [(norm, norm.statistics) for norm in instance_norms(network)]
    for norm, _ in before:
        norm.statistics = _Unchanged()
    try:
        yield
    finally:
        for norm, statistics in before:
            norm.statistics = statistics


class _Unchanged:
    def normalise(self, x: Tensor, eps: float) -> Tensor:
        return x
