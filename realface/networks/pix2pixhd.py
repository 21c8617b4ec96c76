"""pix2pixHD's two generators (Wang et al., CVPR 2018, arXiv:1711.11585), from its description."""

from itertools import pairwise

from torch import Tensor, nn

from realface.networks.base import Generator
from realface.networks.blocks import (
    OutputHead,
    ResidualBlock,
    ResidualChannels,
    Upsampling,
    convolution,
    initialise,
    upsampling_convolution,
)
from realface.networks.norms import Norm


class GlobalGenerator(Generator):
    """Encoder, residual blocks, decoder: pix2pixHD's global generator G1.

    Reflect-padded 7x7 convolution, ``downsamples`` stride-2 convolutions that double the
    channels, ``blocks`` residual blocks, as many upsamplings back, 7x7 convolution, Tanh.

    Args:
        in_channels: Channels of the input, see :mod:`realface.networks.channels`.
        out_channels: Channels of the result.
        base_channels: Channels at full resolution; doubled by each downsampling.
        downsamples: Halvings of height and width.
        blocks: Residual blocks at the coarsest level.
        norm: ``instance`` (the paper) or another of :data:`realface.networks.norms.Norm`.
        upsampling: ``transposed`` (the paper) or ``resize`` (no checkerboard).
        residual_channels: Input channels, one for each output channel, that the network
            corrects instead of making its result anew, None for an output that no input is
            close to; no Tanh then, and a fresh network returns nearly those channels. None
            alone: the paper's form.

    Raises:
        ValueError: If an argument is out of range, with its name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 64,
        downsamples: int = 4,
        blocks: int = 9,
        norm: Norm = "instance",
        upsampling: Upsampling = "transposed",
        residual_channels: ResidualChannels | None = None,
    ) -> None:
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "downsamples": downsamples,
            "blocks": blocks,
            "norm": norm,
            "upsampling": upsampling,
            "residual_channels": None if residual_channels is None else list(residual_channels),
        }
        super().__init__(
            arguments,
            multiple_of=2**downsamples,
            minimum_size=_minimum_size(downsamples),
            receptive_margin=_global_margin(downsamples, blocks, upsampling) + 3,
        )
        self.features = _global_features(
            in_channels, base_channels, downsamples, blocks, norm, upsampling
        )
        self.head = OutputHead(base_channels, out_channels, residual_channels)
        initialise(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Translate network channels, see :mod:`realface.networks.channels`.

        Args:
            x: ``(B, in_channels, H, W)``, values in about [-1, 1].

        Returns:
            ``(B, out_channels, H, W)`` in [-1, 1]; unbounded with ``residual_channels``.

        Raises:
            ValueError: If channels, height or width do not fit, with what would.
        """
        self.check_input(x)
        return self.head(self.run(self.features, x), x)


class LocalGenerator(Generator):
    """The global generator at half resolution inside a full-resolution branch: pix2pixHD's G2.

    The input, average-pooled by 2, runs through a global generator with doubled base
    channels and without its last convolution; its features are added to those of a
    full-resolution 7x7 and stride-2 convolution, then ``local_blocks`` residual blocks, one
    upsampling, 7x7 convolution, Tanh. ``downsamples`` and ``blocks`` are those of the
    global part, so sizes are multiples of ``2 ** (downsamples + 1)``.

    Args:
        in_channels: Channels of the input, see :mod:`realface.networks.channels`.
        out_channels: Channels of the result.
        base_channels: Channels at full resolution; the global part starts with twice as many.
        downsamples: Halvings within the global part.
        blocks: Residual blocks of the global part.
        local_blocks: Residual blocks at half resolution.
        norm: ``instance`` (the paper) or another of :data:`realface.networks.norms.Norm`.
        upsampling: ``transposed`` (the paper) or ``resize`` (no checkerboard).
        residual_channels: See :class:`GlobalGenerator`.

    Raises:
        ValueError: If an argument is out of range, with its name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 32,
        downsamples: int = 4,
        blocks: int = 9,
        local_blocks: int = 3,
        norm: Norm = "instance",
        upsampling: Upsampling = "transposed",
        residual_channels: ResidualChannels | None = None,
    ) -> None:
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "downsamples": downsamples,
            "blocks": blocks,
            "local_blocks": local_blocks,
            "norm": norm,
            "upsampling": upsampling,
            "residual_channels": None if residual_channels is None else list(residual_channels),
        }
        super().__init__(
            arguments,
            multiple_of=2 ** (downsamples + 1),
            minimum_size=2 * _minimum_size(downsamples),
            receptive_margin=_local_margin(downsamples, blocks, local_blocks, upsampling),
        )
        half = 2 * base_channels
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.global_features = _global_features(
            in_channels, half, downsamples, blocks, norm, upsampling
        )
        self.local_features = nn.Sequential(
            *convolution(in_channels, base_channels, norm, kernel=7, padding_mode="reflect"),
            *convolution(base_channels, half, norm, kernel=3, stride=2),
        )
        self.refine = nn.Sequential(
            *(ResidualBlock(half, norm) for _ in range(local_blocks)),
            *upsampling_convolution(half, base_channels, norm, upsampling),
        )
        self.head = OutputHead(base_channels, out_channels, residual_channels)
        initialise(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Translate network channels, see :mod:`realface.networks.channels`.

        Args:
            x: ``(B, in_channels, H, W)``, values in about [-1, 1].

        Returns:
            ``(B, out_channels, H, W)`` in [-1, 1]; unbounded with ``residual_channels``.

        Raises:
            ValueError: If channels, height or width do not fit, with what would.
        """
        self.check_input(x)
        fine = self.run(self.local_features, x)
        features = fine + self.run(self.global_features, self.shrink(x))
        return self.head(self.run(self.refine, features), x)


def _global_features(
    in_channels: int,
    base_channels: int,
    downsamples: int,
    blocks: int,
    norm: Norm,
    upsampling: Upsampling,
) -> nn.Sequential:
    """The global generator without its last convolution; ``base_channels`` in the end."""
    widths = [base_channels * 2**level for level in range(downsamples + 1)]
    layers = convolution(in_channels, base_channels, norm, kernel=7, padding_mode="reflect")
    for fine, coarse in pairwise(widths):
        layers += convolution(fine, coarse, norm, kernel=3, stride=2)
    layers += [ResidualBlock(widths[-1], norm) for _ in range(blocks)]
    for coarse, fine in pairwise(reversed(widths)):
        layers += upsampling_convolution(coarse, fine, norm, upsampling)
    return nn.Sequential(*layers)


def _minimum_size(downsamples: int) -> int:
    """Two texels for the residual blocks' reflection, four for the 7x7 convolution's."""
    return max(2 * 2**downsamples, 4)


def _upsampling_margin(levels: int, upsampling: Upsampling) -> int:
    """Reach of ``levels`` upsamplings in texels of their result, at the worst position.

    With a step s = 2 ** levels, transposed convolutions read from texel p the coarse texels
    floor(p / s) to ceil(p / s): up to s - 1 away. Repeating and convolving reads from
    floor((p - (s - 1)) / s) on: s - 1 more.
    """
    reach = 2**levels - 1
    return 2 * reach if upsampling == "resize" else reach


def _global_margin(downsamples: int, blocks: int, upsampling: Upsampling) -> int:
    """Reach of the global features: up, two 3x3 in each block, down, 7x7."""
    step = 2**downsamples
    return _upsampling_margin(downsamples, upsampling) + 2 * blocks * step + (step - 1) + 3


def _local_margin(downsamples: int, blocks: int, local_blocks: int, upsampling: Upsampling) -> int:
    """Reach of the local generator: 7x7, up, then at half size the blocks and global features.

    The pool reads one texel further. The full-resolution branch reaches less far.
    """
    at_half_size = 2 * local_blocks + _global_margin(downsamples, blocks, upsampling)
    return 3 + _upsampling_margin(1, upsampling) + 2 * at_half_size + 1
