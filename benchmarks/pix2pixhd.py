"""pix2pixHD's networks and training step, stated anew in its own style: the peer of `training.py`.

Wang et al., CVPR 2018 (arXiv:1711.11585), as its authors released it: eager modules in float32,
contiguous tensors, a module for each padding, a bias before each norm, the order of its passes and
Adam as torch gives it. Written from its description; no line of it is copied. Without the VGG
loss, as AvatarMe, and without the options that its recipe leaves off (instance maps, image pool).

The discriminator runs three times a step: on the detached fake and on the truth for its own loss,
and again on the fake for the generator's. The generator's backward pass also computes gradients of
the discriminator's weights, which `zero_grad` then throws away.
"""

from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

INITIAL_STD = 0.02
BETAS = (0.5, 0.999)
FEATURE_MATCHING = 10.0
"""Its lambda."""

WIDEST = 512
"""Channels at which the discriminator stops doubling them."""


class Sizes(NamedTuple):
    """Of both networks; the defaults are the release's recipe for large images."""

    in_channels: int
    out_channels: int
    base_channels: int = 32
    downsamples: int = 4
    blocks: int = 9
    local_blocks: int = 3
    discriminator_channels: int = 64
    discriminator_layers: int = 3
    discriminator_scales: int = 3


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(channels, channels, 3)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)`` in and out."""
        return x + self.layers(x)


class LocalEnhancer(nn.Module):
    """The global generator on the halved image, inside a branch at full size."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        fine, half = sizes.base_channels, 2 * sizes.base_channels
        widths = [half * 2**level for level in range(sizes.downsamples + 1)]
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        inner = _first(sizes.in_channels, half)
        for narrow, wide in pairwise(widths):
            inner += _normed(nn.Conv2d(narrow, wide, 3, stride=2, padding=1))
        inner += [Block(widths[-1]) for _ in range(sizes.blocks)]
        for wide, narrow in pairwise(reversed(widths)):
            inner += _doubling(wide, narrow)
        self.inner = nn.Sequential(*inner)
        self.before = nn.Sequential(
            *_first(sizes.in_channels, fine),
            *_normed(nn.Conv2d(fine, half, 3, stride=2, padding=1)),
        )
        self.after = nn.Sequential(
            *(Block(half) for _ in range(sizes.local_blocks)),
            *_doubling(half, fine),
            *(nn.ReflectionPad2d(3), nn.Conv2d(fine, sizes.out_channels, 7), nn.Tanh()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)`` in (-1, 1)."""
        inner = self.inner(self.halve(x))
        return self.after(self.before(x) + inner)


class Scale(nn.Module):
    """One discriminator of the pyramid."""

    def __init__(self, in_channels: int, sizes: Sizes) -> None:
        super().__init__()
        narrow = sizes.discriminator_channels
        leaky = nn.LeakyReLU(0.2, inplace=True)
        first = nn.Conv2d(in_channels, narrow, 4, stride=2, padding=2)
        layers = [nn.Sequential(first, leaky)]
        for layer in range(1, sizes.discriminator_layers + 1):
            wide = min(2 * narrow, WIDEST)
            stride = 2 if layer < sizes.discriminator_layers else 1
            convolution = nn.Conv2d(narrow, wide, 4, stride=stride, padding=2)
            layers.append(nn.Sequential(convolution, nn.InstanceNorm2d(wide), leaky))
            narrow = wide
        layers.append(nn.Sequential(nn.Conv2d(narrow, 1, 4, padding=2)))
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """What every layer says, the verdicts last."""
        said = [x]
        for layer in self.layers:
            said.append(layer(said[-1]))
        return said[1:]


class Discriminator(nn.Module):
    """The same on an image pyramid."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels = sizes.in_channels + sizes.out_channels
        self.scales = nn.ModuleList(
            Scale(channels, sizes) for _ in range(sizes.discriminator_scales)
        )
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """By scale and layer."""
        said = []
        for level, scale in enumerate(self.scales):
            if level:
                x = self.halve(x)
            said.append(scale(x))
        return said


class Pix2PixHD(nn.Module):
    """Both networks, their losses and their Adams.

    Args:
        sizes: Of the networks.
        learning_rate: Of both Adams.
        dtype: That convolutions are cast to; None: float32 throughout, as released.
    """

    def __init__(
        self, sizes: Sizes, learning_rate: float = 1e-4, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.generator, self.discriminator = LocalEnhancer(sizes), Discriminator(sizes)
        self.apply(_draw)
        self.rate, self.dtype = learning_rate, dtype
        layers, scales = sizes.discriminator_layers + 1, sizes.discriminator_scales
        self.matching_weight = FEATURE_MATCHING * 4 / layers / scales
        self.distance, self.difference = nn.MSELoss(), nn.L1Loss()
        self.optimizers: list[torch.optim.Adam] = []

    def losses(self, inputs: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Adversarial, feature matching (weighted), discriminator; in its order of passes.

        Args:
            inputs: ``(B, in_channels, H, W)`` in about [-1, 1].
            truth: ``(B, out_channels, H, W)`` in [-1, 1].
        """
        fake = self.generator(inputs)
        on_detached = self.discriminator(torch.cat((inputs, fake.detach()), dim=1))
        loss_fake = self._verdict(on_detached, is_real=False)
        on_real = self.discriminator(torch.cat((inputs, truth), dim=1))
        loss_real = self._verdict(on_real, is_real=True)
        on_fake = self.discriminator(torch.cat((inputs, fake), dim=1))
        matching = torch.zeros((), device=inputs.device)
        for made, true in zip(on_fake, on_real, strict=True):
            for one, other in zip(made[:-1], true[:-1], strict=True):
                matching = matching + self.matching_weight * self.difference(one, other.detach())
        return {
            "adversarial": self._verdict(on_fake, is_real=True),
            "feature_matching": matching,
            "discriminator": 0.5 * (loss_fake + loss_real),
        }

    def step(self, inputs: Tensor, truth: Tensor) -> None:
        """One step of the generator and one of the discriminator; see `losses`."""
        if not self.optimizers:  # now that the networks are on their device
            self.optimizers = [
                torch.optim.Adam(network.parameters(), lr=self.rate, betas=BETAS)
                for network in (self.generator, self.discriminator)
            ]
        with self._autocast(inputs.device):
            losses = self.losses(inputs, truth)
        totals = (losses["adversarial"] + losses["feature_matching"], losses["discriminator"])
        for optimizer, total in zip(self.optimizers, totals, strict=True):
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

    def _verdict(self, said: list[list[Tensor]], is_real: bool) -> Tensor:
        loss = torch.zeros((), device=said[0][-1].device)
        for scale in said:
            target = torch.full_like(scale[-1], float(is_real))
            loss = loss + self.distance(scale[-1], target)
        return loss

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)


def _first(in_channels: int, channels: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), *_normed(nn.Conv2d(in_channels, channels, 7))]


def _doubling(wide: int, narrow: int) -> list[nn.Module]:
    return _normed(nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1))


def _normed(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def _draw(module: nn.Module) -> None:
    """Its weights; biases as torch draws them."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=INITIAL_STD)
