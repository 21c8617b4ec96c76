"""Normalisation layers, by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from realface.networks.precision import full_precision

Norm = Literal["instance", "batch_renorm", "position", "none"]
"""``instance``: the paper's. The others let windows of a map agree at inference: ``batch_renorm``
and ``position`` normalise each texel by itself there, ``none`` does not."""


R_LIMIT, D_LIMIT = 3.0, 5.0
"""Of batch renorm's corrections, in the end."""

RAMP = 1000
"""Steps until then. The paper's 5000 and more are of a run of 160 thousand."""

MOMENTUM = 0.01
"""Share of a batch in batch renorm's running statistics."""


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


class BatchRenorm(nn.Module):
    r"""Batch normalisation that trains as it will run: Ioffe, arXiv:1702.03275 (NeurIPS 2017).

    In training each channel becomes :math:`\frac{x - \mu_B}{\sigma_B} r + d` with
    :math:`r = \sigma_B / \sigma` and :math:`d = (\mu_B - \mu) / \sigma` held constant in the
    backward pass, so within their limits the result is that of the running :math:`\mu, \sigma`.
    The limits grow linearly over the first `RAMP` steps: from r = 1, d = 0 (batch norm) to r in
    [1/3, 3], d in [-5, 5], the paper's. At inference it is one scale and shift for each
    channel, whatever the window.

    Running statistics are the plain mean over the first 100 steps and a moving one, by 1 %,
    from then on. They and the count of steps are buffers: a resumed run goes on exactly. They are
    of each process alone; under DDP those of the first one count.

    Args:
        channels: Of its input.

    Attributes:
        recomputing: Set while activations are computed again for the backward pass: corrections
            are then those of the first time, and nothing is counted twice.
    """

    eps = 1e-5
    running_mean: Tensor
    running_variance: Tensor
    steps: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.recomputing = False
        self._correction: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, channels, H, W)``; the result has the input's type and shape."""
        with full_precision(x.device):
            if not self.training:
                mean, variance = self.running_mean, self.running_variance
                return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
            if not self.recomputing or self._correction is None:
                self._correction = self._corrections(x)
            r, d = self._correction
            scale, shift = self.weight * r, self.bias + self.weight * d
            return F.batch_norm(x, None, None, scale, shift, training=True, eps=self.eps)

    @torch.no_grad()
    def _corrections(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The paper's r and d against the running statistics, which then take this batch in."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        # Two passes: half the time of torch.var_mean on a CPU.
        mean = wide.mean((0, 2, 3))
        variance = (wide - mean[:, None, None]).square_().mean((0, 2, 3))
        share = (self.steps / RAMP).clamp(max=1)
        r_limit, d_limit = 1 + (R_LIMIT - 1) * share, D_LIMIT * share
        running = self.running_variance + self.eps
        r = ((variance + self.eps) / running).sqrt().clamp(1 / r_limit, r_limit)
        d = ((mean - self.running_mean) * running.rsqrt()).clamp(-d_limit, d_limit)
        self.steps += 1
        momentum = (1 / self.steps).clamp(min=MOMENTUM)
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_variance.lerp_(variance.to(self.running_variance), momentum)
        return r, d


class PositionNorm(nn.Module):
    """Layer normalisation over the channels of each texel, with learned scale and bias.

    Ba et al., arXiv:1607.06450, as ConvNeXt has it (Liu et al., CVPR 2022, arXiv:2201.03545). A
    texel's result depends on that texel alone, so windows of one map agree. Fastest where memory
    is channels-last: on a CPU by two to five times.

    Args:
        channels: Of its input.
    """

    eps = 1e-6

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, channels, H, W)``; the result has the input's type and shape."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        # Half precision's statistics are taken in float32; autocast would widen the whole map.
        with full_precision(x.device):
            texels = x.permute(0, 2, 3, 1)
            return F.layer_norm(texels, weight.shape, weight, bias, self.eps).permute(0, 3, 1, 2)


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """The layer that a norm's name stands for.

    Raises:
        ValueError: If the name is unknown.
    """
    if norm == "instance":
        return InstanceNorm()
    if norm == "batch_renorm":
        return BatchRenorm(channels)
    if norm == "position":
        return PositionNorm(channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm={norm!r} is unknown: choose one of {', '.join(get_args(Norm))}")


def removes_bias(norm: Norm) -> bool:
    """Whether a bias before this norm has no effect: it takes the mean off each channel.

    `PositionNorm` takes one mean off all channels together.
    """
    return norm in ("instance", "batch_renorm")


@contextmanager
def recomputing(network: nn.Module) -> Iterator[None]:
    """Let batch renorms do again what they did last, and count nothing; undone at the end."""
    norms = [module for module in network.modules() if isinstance(module, BatchRenorm)]
    for norm in norms:
        norm.recomputing = True
    try:
        yield
    finally:
        for norm in norms:
            norm.recomputing = False


def instance_norms(network: nn.Module) -> list[InstanceNorm]:
    """The instance norms of a network, in the order in which they were built."""
    return [module for module in network.modules() if isinstance(module, InstanceNorm)]


def is_local(network: nn.Module) -> bool:
    """Whether no norm couples distant texels at inference: no instance norm, or all are frozen."""
    return all(norm.statistics is not None for norm in instance_norms(network))


def release(network: nn.Module) -> None:
    """Let every instance norm take its window's own statistics again."""
    for norm in instance_norms(network):
        norm.statistics = None


@contextmanager
def without_norms(network: nn.Module) -> Iterator[None]:
    """Let instance norms pass their input through, to look at the structure; undone at the end.

    The other norms are part of it: they look at no other texel.
    """
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
