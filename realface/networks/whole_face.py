"""The whole-face stage of de-lighting: a small network that sees a face at once."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from realface.maps.encoding import srgb_to_linear
from realface.networks.base import Generator
from realface.networks.blocks import GatedBlock, OutputHead, initialise_unet
from realface.networks.channels import FITTED_LIGHT
from realface.networks.precision import full_precision
from realface.shading.whole_light import DARKEST, LIGHT_CHANNELS, log_shading

INPUTS = ("texture", "shape_normals", "position", FITTED_LIGHT, "mask")
"""Words of `realface.networks.channels.INPUTS`: what it reads, in this order."""

_VARYING = 4
"""The first of the nine, which it corrects place by place; the others alike all over the face.

A gain alone could not darken one side of a fold: in a shadow what is left comes from elsewhere than
the lamp."""

_IN_CHANNELS = 3 + 3 + 3 + LIGHT_CHANNELS + 1

_SEEN = 16
"""Channels of texture, normals, position, shading, what is left without it, and mask."""

_MOST = 5.0
"""Largest logarithm of a gain."""


class WholeFaceNetwork(Generator):
    """What the light on a face multiplies its albedo by, as `realface.shading.whole_light` has it.

    It starts from the light of a face of one albedo (`realface.shading.light_fit`), which a fresh
    network returns as it is, and corrects it: by a gain and the direction of each colour at every
    texel, and by nine numbers a colour for all of the face. It sees the shading of that light and
    what dividing by it leaves.

    A U-Net of gated blocks (`realface.networks.unet`); at its coarsest level the mean of the
    features over the face is added to each of them, since the light is one for all of the face.
    It sees a face whole, so it has no margin; and no windows are made of it.

    Args:
        in_channels: 37: `INPUTS` are all that it reads.
        out_channels: 27.
        base_channels: At full resolution; doubled by each downsampling, up to eight times.
        downsamples: Halvings of height and width.
        blocks: At each level of the encoder below full resolution.

    Raises:
        ValueError: If an argument is out of range, with its name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 27,
        *,
        base_channels: int = 16,
        downsamples: int = 5,
        blocks: int = 2,
    ) -> None:
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "base_channels": base_channels,
            "downsamples": downsamples,
            "blocks": blocks,
        }
        if (in_channels, out_channels) != (_IN_CHANNELS, LIGHT_CHANNELS):
            raise ValueError(
                f"in_channels={in_channels}, out_channels={out_channels} must be "
                f"{_IN_CHANNELS} and {LIGHT_CHANNELS}: {', '.join(INPUTS)} in, the light out"
            )
        super().__init__(
            {**arguments, "norm": "position", "residual_channels": None},
            multiple_of=2**downsamples,
            minimum_size=2**downsamples,
            receptive_margin=0,
        )
        self._arguments = arguments
        self.spatial_statistics = True
        widths = [base_channels * min(2**level, 8) for level in range(downsamples + 1)]
        deepest = widths[-1]
        self.stem = nn.Conv2d(_SEEN, base_channels, 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(fine, coarse, 2, stride=2),
                *(GatedBlock(coarse, "position") for _ in range(blocks)),
            )
            for fine, coarse in pairwise(widths)
        )
        self.whole = nn.Sequential(nn.Linear(deepest, deepest), nn.GELU())
        self.spread = nn.Linear(deepest, deepest)
        self.together = nn.Sequential(*(GatedBlock(deepest, "position") for _ in range(blocks)))
        self.upsamplings = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, fine, 1), nn.Upsample(scale_factor=2, mode="bilinear"))
            for coarse, fine in pairwise(reversed(widths))
        )
        self.decoder = nn.ModuleList(GatedBlock(fine, "position") for fine in reversed(widths[:-1]))
        self.head = OutputHead(base_channels, 3 * _VARYING, [None] * (3 * _VARYING), kernel=3)
        self.everywhere = nn.Linear(deepest, LIGHT_CHANNELS)
        initialise_unet(self)
        nn.init.zeros_(self.everywhere.weight)
        nn.init.zeros_(self.everywhere.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients ``(B, 27, H, W)`` from channels ``(B, 37, H, W)``.

        Raises:
            ValueError: If channels, height or width do not fit, with what would.
        """
        self.check_input(x)
        texture, normals, position, fitted, face = x.split((3, 3, 3, LIGHT_CHANNELS, 1), dim=1)
        with torch.no_grad(), full_precision(x.device):
            shading = log_shading(fitted, normals)
            left = srgb_to_linear((texture + 1) / 2).clamp(min=DARKEST).log() - shading
            left = left.clamp(-6, 2) + 1  # about 0 on skin
        seen = torch.cat((texture, normals, position, shading * face, left * face, face), dim=1)
        features = self.run(self.stem, seen.contiguous(memory_format=torch.channels_last))
        skips = []
        for down in self.encoder:
            skips.append(features)
            features = self.run(down, features)
        mean = self.whole(_mean_inside(features, face))
        features = self.run(self.together, features + self.spread(mean)[..., None, None])
        mean = mean + _mean_inside(features, face)
        for up, refine in zip(self.upsamplings, self.decoder, strict=True):
            features = self.run(refine, self.run(up, features) + skips.pop())
        return _corrected(fitted, self.everywhere(mean), self.head(features, x))


def _corrected(fitted: Tensor, everywhere: Tensor, here: Tensor) -> Tensor:
    """A light with gains and turns of its colours: logarithms, and shares of its constants."""
    light = fitted.unflatten(1, (3, 9))
    of_face = everywhere.float().unflatten(1, (3, 9))[..., None, None]
    of_texel = here.float().unflatten(1, (3, _VARYING))
    gain = (of_face[:, :, :1] + of_texel[:, :, :1]).clamp(-_MOST, _MOST).exp()
    near = of_face[:, :, 1:_VARYING] + of_texel[:, :, 1:]
    far = of_face[:, :, _VARYING:].expand(-1, -1, -1, *near.shape[-2:])
    constant = light[:, :, :1]
    rest = light[:, :, 1:] + constant * torch.cat((near, far), dim=2)
    return (gain * torch.cat((constant, rest), dim=2)).flatten(1, 2)


def _mean_inside(features: Tensor, face: Tensor) -> Tensor:
    """Means ``(B, C)`` of coarse features over the face, which is positive in a finer map."""
    height, width = features.shape[-2:]
    weights = nn.functional.adaptive_avg_pool2d((face > 0).to(features.dtype), (height, width))
    total = weights.sum(dim=(2, 3)).clamp(min=1e-6)
    return (features * weights).sum(dim=(2, 3)) / total
