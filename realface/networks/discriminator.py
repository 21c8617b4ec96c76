"""pix2pixHD's multi-scale PatchGAN discriminator (arXiv:1711.11585), from its description."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from realface.networks.blocks import initialise
from realface.networks.norms import Norm, normalisation, removes_bias

DiscriminatorNorm = Literal["instance", "spectral", "none"]

MAXIMUM_CHANNELS = 512
"""Where the doubling of the channels stops."""


class MultiScaleDiscriminator(nn.Module):
    """PatchGANs of one form on an image pyramid: one sees grain, the next ones the tone.

    With the defaults each judges windows of 70 x 70 texels of its own level. For a
    conditional GAN, concatenate the generator's input and the map before.

    Args:
        in_channels: Channels of what it looks at.
        base_channels: Channels of the first layer, doubled by each later one up to 512.
        layers: Stride-2 convolutions.
        scales: Levels of the pyramid; each halves height and width.
        norm: ``instance`` (the paper; not on the first and last layer); ``spectral``: every weight
            divided by its largest singular value, which bounds how steep the verdict can be
            (Miyato et al., ICLR 2018, arXiv:1802.05957); or ``none``.

    Raises:
        ValueError: If an argument is out of range or unknown, with its name.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        base_channels: int = 64,
        layers: int = 3,
        scales: int = 2,
        norm: DiscriminatorNorm = "instance",
    ) -> None:
        super().__init__()
        if norm not in get_args(DiscriminatorNorm):
            known = ", ".join(get_args(DiscriminatorNorm))
            raise ValueError(f"norm={norm!r} is unknown: choose one of {known}")
        numbers = {"in_channels": in_channels, "base_channels": base_channels}
        for name, value in (numbers | {"layers": layers, "scales": scales}).items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        between: Norm = "none" if norm == "spectral" else norm
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, base_channels, layers, between) for _ in range(scales)
        )
        initialise(self, between)
        if norm == "spectral":  # of the drawn weights
            _bound(self)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Features and verdicts on every scale, full resolution first.

        Args:
            x: ``(B, in_channels, H, W)``, values in about [-1, 1].

        Returns:
            For each scale the feature maps of all layers in order; the last one is the
            logits ``(B, 1, h, w)``, no sigmoid, for a least-squares loss.
        """
        verdicts = []
        for level, discriminator in enumerate(self.scales):
            if level:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            verdicts.append(discriminator(x))
        return verdicts


class PatchDiscriminator(nn.Module):
    """4x4 convolutions: ``layers`` of stride 2, one of stride 1, and the logits (pix2pix)."""

    def __init__(self, in_channels: int, base_channels: int, layers: int, norm: Norm) -> None:
        super().__init__()
        limit = max(base_channels, MAXIMUM_CHANNELS)
        widths = [min(base_channels * 2**layer, limit) for layer in range(layers + 1)]
        stages = [_stage(in_channels, widths[0], 2, "none")]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            stages.append(_stage(widths[layer - 1], widths[layer], stride, norm))
        stages.append(nn.Conv2d(widths[-1], 1, 4, padding=2))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The outputs of all stages, ``layers + 1`` features and the logits."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _bound(network: nn.Module) -> None:
    """Power iterations of one step go on with each training pass; their vectors are buffers."""
    for layer in [one for one in network.modules() if isinstance(one, nn.Conv2d)]:
        spectral_norm(layer)


def _stage(in_channels: int, out_channels: int, stride: int, norm: Norm) -> nn.Module:
    """Convolution, norm, LeakyReLU; padding 2 as in pix2pixHD, so a stage never empties."""
    layer = nn.Conv2d(
        in_channels, out_channels, 4, stride=stride, padding=2, bias=not removes_bias(norm)
    )
    return nn.Sequential(layer, normalisation(norm, out_channels), nn.LeakyReLU(0.2, inplace=True))
