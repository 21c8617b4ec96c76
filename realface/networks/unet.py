"""A U-Net of gated blocks whose windows agree: NAFNet (arXiv:2204.04676) without its pooling."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from realface.networks.base import Generator
from realface.networks.blocks import (
    GatedBlock,
    GatedConvolution,
    OutputHead,
    ResidualChannels,
    initialise_unet,
)
from realface.networks.norms import Norm

_DETAIL = 8.0
"""How much a fresh stem amplifies detail: pores are a few hundredths of an albedo's range."""


class UNet(Generator):
    """Encoder and decoder of gated blocks, joined at each level: nothing looks at the whole window.

    3x3 convolution at full resolution, half of whose filters begin as what a texel differs from its
    neighbourhood; then ``downsamples`` times a 2x2 convolution of stride 2
    that doubles the channels, and ``blocks`` gated blocks; then back, each time a 1x1 convolution
    that halves the channels, every texel repeated twice down and across, the encoder's features
    added and one gated block, at full resolution a gated convolution; 3x3 convolution.

    After NAFNet (Chen et al., ECCV 2022), which has channel attention over the whole image in each
    block, and pixel shuffles: with the first windows of a map would disagree, the second can show
    as a checkerboard. A coarse texel is exactly a square of fine ones, so the reach is short.

    Features are channels-last inside, whatever comes in: on a CPU that is two to five times as fast
    for these layers.

    Args:
        in_channels: Channels of the input, see :mod:`realface.networks.channels`.
        out_channels: Channels of the result.
        base_channels: Channels at full resolution; doubled by each downsampling.
        downsamples: Halvings of height and width.
        blocks: Gated blocks at each level of the encoder below full resolution.
        norm: See :data:`realface.networks.norms.Norm`.
        residual_channels: See :class:`realface.networks.pix2pixhd.GlobalGenerator`.

    Raises:
        ValueError: If an argument is out of range, with its name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        base_channels: int = 16,
        downsamples: int = 4,
        blocks: int = 2,
        norm: Norm = "position",
        residual_channels: ResidualChannels | None = None,
    ) -> None:
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "downsamples": downsamples,
            "blocks": blocks,
            "norm": norm,
            "residual_channels": None if residual_channels is None else list(residual_channels),
        }
        super().__init__(
            arguments,
            multiple_of=2**downsamples,
            minimum_size=2 * 2**downsamples,  # an instance of one texel has no variance
            receptive_margin=_margin(downsamples, blocks),
        )
        widths = [base_channels * 2**level for level in range(downsamples + 1)]
        self.stem = nn.Conv2d(in_channels, base_channels, 3, padding=1, padding_mode="reflect")
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(fine, coarse, 2, stride=2),
                *(GatedBlock(coarse, norm) for _ in range(blocks)),
            )
            for fine, coarse in pairwise(widths)
        )
        self.upsamplings = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, fine, 1), nn.Upsample(scale_factor=2, mode="nearest"))
            for coarse, fine in pairwise(reversed(widths))
        )
        self.decoder = nn.ModuleList(GatedBlock(fine, norm) for fine in reversed(widths[1:-1]))
        self.decoder.append(GatedConvolution(base_channels, norm))
        self.head = OutputHead(base_channels, out_channels, residual_channels, kernel=3)
        initialise_unet(self)
        _begin_with_detail(self.stem)

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
        features = self.run(self.stem, x.contiguous(memory_format=torch.channels_last))
        skips = []
        for down in self.encoder:
            skips.append(features)
            features = self.run(down, features)
        for up, refine in zip(self.upsamplings, self.decoder, strict=True):
            features = self.run(refine, self.run(up, features) + skips.pop())
        return self.head(features, x)


@torch.no_grad()
def _begin_with_detail(stem: nn.Conv2d) -> None:
    """Makes half of the filters differences from the neighbourhood's mean, of drawn channels."""
    some = stem.weight[stem.out_channels // 2 :]
    difference = torch.full(some.shape[2:], -1 / some[0, 0].numel())
    difference[1, 1] += 1
    of_channels = torch.randn(some.shape[:2]) * some.shape[1] ** -0.5
    some.copy_(_DETAIL * of_channels[..., None, None] * difference)


def _margin(downsamples: int, blocks: int) -> int:
    """Reach: stem, head, one texel of its level for each block, and across the coarsest texel.

    At full resolution there is the gated convolution alone, at the coarsest level no decoder.
    """
    step = 2**downsamples
    between = sum(2**level for level in range(1, downsamples))
    return 1 + 1 + 1 + (blocks + 1) * between + blocks * step + (step - 1)
