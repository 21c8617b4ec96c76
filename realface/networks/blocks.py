"""Parts that the generators and the discriminator are made of."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from realface.networks.norms import Norm, normalisation, removes_bias
from realface.networks.precision import full_precision

Upsampling = Literal["transposed", "resize"]
PaddingMode = Literal["zeros", "reflect", "replicate"]
ResidualChannels = Sequence[int | None]

INITIAL_STD = 0.02
"""Standard deviation of a fresh convolution's weights before a norm, as in pix2pixHD."""

NEAR_ZERO_STD = 1e-4
"""The same for the last convolution of a residual generator, or of one without norms: its first
correction is about 0.005 of a range of 2, and its gradient still reaches the layers below."""


FIRST_SCALE = 0.1
"""Of a fresh :class:`GatedBlock`'s sums: nearly the identity, and its weights still learn."""


class ResidualBlock(nn.Module):
    """Adds to its input what two reflect-padded 3x3 convolutions make of it; any (B, C, H, W)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels, norm, kernel=3, padding_mode="reflect"),
            *convolution(channels, channels, norm, kernel=3, padding_mode="reflect")[:-1],
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)`` in and out; H and W at least 2."""
        return x + self.body(x)


class SimpleGate(nn.Module):
    """The product of the two halves of the channels: ``(B, 2 C, H, W)`` to ``(B, C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the first half by the second."""
        first, second = x.chunk(2, dim=1)
        return first * second


class GatedBlock(nn.Module):
    """NAFNet's block without its channel attention: Chen et al., ECCV 2022, arXiv:2204.04676.

    Adds to its input twice what a norm, a 1x1 convolution to twice the channels and a
    :class:`SimpleGate`, and a 1x1 convolution make of it; the first time with a depthwise 3x3
    before the gate. Both sums are weighed by a learned scale for each channel. With the norms that
    look at each texel alone, a texel's result depends on its eight neighbours and on nothing else.

    Fastest where memory is channels-last.

    Args:
        channels: Of input and output.
        norm: See :data:`realface.networks.norms.Norm`.
        padding_mode: Of the 3x3 convolution at the border; ``reflect`` needs sides of 2 or more.
    """

    def __init__(self, channels: int, norm: Norm, padding_mode: PaddingMode = "replicate") -> None:
        super().__init__()
        wide = 2 * channels
        self.spatial = nn.Sequential(
            normalisation(norm, channels),
            nn.Conv2d(channels, wide, 1),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, padding_mode=padding_mode),
            SimpleGate(),
            nn.Conv2d(channels, channels, 1),
        )
        self.pointwise = nn.Sequential(
            normalisation(norm, channels),
            nn.Conv2d(channels, wide, 1),
            SimpleGate(),
            nn.Conv2d(channels, channels, 1),
        )
        self.spatial_scale = nn.Parameter(torch.full((channels, 1, 1), FIRST_SCALE))
        self.pointwise_scale = nn.Parameter(torch.full((channels, 1, 1), FIRST_SCALE))
        keep_spread(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)`` in and out."""
        x = torch.addcmul(x, self.spatial(x), self.spatial_scale)
        return torch.addcmul(x, self.pointwise(x), self.pointwise_scale)


class GatedConvolution(nn.Module):
    """Adds to its input what a norm, a dense 3x3 convolution and a :class:`SimpleGate` make of it.

    For full resolution: there a :class:`GatedBlock` waits for memory, not for arithmetic, and takes
    three times as long for 40 % of the multiply-adds.

    Args:
        channels: Of input and output.
        norm: See :data:`realface.networks.norms.Norm`.
    """

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            normalisation(norm, channels),
            nn.Conv2d(channels, 2 * channels, 3, padding=1, padding_mode="reflect"),
            SimpleGate(),
        )
        self.scale = nn.Parameter(torch.full((channels, 1, 1), FIRST_SCALE))
        keep_spread(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)`` in and out; H and W at least 2."""
        return torch.addcmul(x, self.body(x), self.scale)


class OutputHead(nn.Module):
    """The last layer: a convolution, then Tanh, or added to channels of the network's input.

    It runs in float32 under autocast too: a bfloat16 result has about 8 bits, and a 16-bit
    map made from it shows bands.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of the result.
        residual_channels: Channels of the network's input that the result starts from, one
            for each output channel, None for one that starts from nothing; None: the paper's
            form, Tanh, result in (-1, 1).
        kernel: Side of the convolution, odd; 7 is pix2pixHD's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        residual_channels: ResidualChannels | None,
        kernel: int = 7,
    ) -> None:
        super().__init__()
        self.residual_channels = None if residual_channels is None else tuple(residual_channels)
        self.convolution = nn.Conv2d(
            in_channels, out_channels, kernel, padding=kernel // 2, padding_mode="reflect"
        )

    def forward(self, features: Tensor, network_input: Tensor) -> Tensor:
        """Result ``(B, out_channels, H, W)`` from ``(B, in_channels, H, W)`` and the input."""
        with full_precision(features.device):
            raw: Tensor = self.convolution(features.to(self.convolution.weight.dtype))
        if self.residual_channels is None:
            return torch.tanh(raw)
        nothing = torch.zeros_like(network_input[:, 0])
        base = [nothing if c is None else network_input[:, c] for c in self.residual_channels]
        return torch.stack(base, dim=1) + raw

    def start_at(self, values: Sequence[float]) -> None:
        """Makes a fresh residual head return about these values in channels without a base."""
        assert self.residual_channels is not None
        bias = self.convolution.get_parameter("bias")
        for channel, value in enumerate(values):
            if self.residual_channels[channel] is None:
                nn.init.constant_(bias[channel], value)


def convolution(
    in_channels: int,
    out_channels: int,
    norm: Norm,
    *,
    kernel: int,
    stride: int = 1,
    padding_mode: Literal["zeros", "reflect"] = "zeros",
) -> list[nn.Module]:
    """Convolution, norm, ReLU; an odd kernel, padded so that stride 1 keeps the size.

    There is no bias where a norm would remove it again.
    """
    layer = nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        padding_mode=padding_mode,
        bias=not removes_bias(norm),
    )
    return [layer, normalisation(norm, out_channels), nn.ReLU(inplace=True)]


def upsampling_convolution(
    in_channels: int, out_channels: int, norm: Norm, upsampling: Upsampling
) -> list[nn.Module]:
    """Doubles height and width, then norm and ReLU.

    ``transposed`` is pix2pixHD's 3x3 stride-2 transposed convolution; its taps overlap
    unevenly, which can show as a checkerboard. ``resize`` repeats texels and convolves 3x3
    (Odena et al., "Deconvolution and Checkerboard Artifacts", Distill 2016).

    Raises:
        ValueError: If the name of the upsampling is unknown.
    """
    if upsampling == "resize":
        repeat = nn.Upsample(scale_factor=2, mode="nearest")
        return [
            repeat,
            *convolution(in_channels, out_channels, norm, kernel=3, padding_mode="reflect"),
        ]
    if upsampling != "transposed":
        raise ValueError(
            f"upsampling={upsampling!r} is unknown: choose one of {', '.join(get_args(Upsampling))}"
        )
    layer = nn.ConvTranspose2d(
        in_channels,
        out_channels,
        3,
        stride=2,
        padding=1,
        output_padding=1,
        bias=not removes_bias(norm),
    )
    return [layer, normalisation(norm, out_channels), nn.ReLU(inplace=True)]


def initialise(network: nn.Module, norm: Norm) -> None:
    """Draws fresh weights in place; biases are zero, and a residual head near zero.

    With a norm: N(0, 0.02), as pix2pixHD. Without one these weights would let the signal die out
    layer by layer: He et al.'s scale (arXiv:1502.01852) keeps it, and residual blocks start as
    the identity (Zhang et al., "Fixup Initialization", arXiv:1901.09321), or it would grow. Gated
    blocks keep the weights that they were made with, drawn anew.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            _draw(module, INITIAL_STD)
            if norm == "none":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for module in network.modules():
        if isinstance(module, GatedBlock | GatedConvolution):
            keep_spread(module)
        if isinstance(module, ResidualBlock) and norm == "none":
            _draw([part for part in module.body if isinstance(part, nn.Conv2d)][-1], 0.0)
        if isinstance(module, OutputHead) and (module.residual_channels or norm == "none"):
            _draw(module.convolution, NEAR_ZERO_STD)


def initialise_unet(network: nn.Module) -> None:
    """Draws fresh weights in place by :func:`keep_spread`; the head's N(0, 0.02), or near zero."""
    keep_spread(network)
    for module in network.modules():
        if isinstance(module, OutputHead):
            residual = module.residual_channels is not None
            _draw(module.convolution, NEAR_ZERO_STD if residual else INITIAL_STD)


def keep_spread(network: nn.Module) -> None:
    """Draws fresh weights in place, so that a convolution keeps its input's standard deviation.

    N(0, 1 / inputs of one output), LeCun et al., "Efficient BackProp", 1998; biases are zero.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            _draw(module, module.weight[0].numel() ** -0.5)


def _draw(layer: nn.Conv2d | nn.ConvTranspose2d, std: float) -> None:
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
