"""The whole-face stage of de-lighting: a small network that sees a face at once."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from realface.networks.base import Generator
from realface.networks.blocks import GatedBlock, OutputHead, initialise_unet
from realface.networks.precision import full_precision
from realface.shading import harmonics
from realface.shading.whole_light import LIGHT_CHANNELS, fitted_light, log_shading

INPUTS = ("texture", "shape_normals", "position", "mask")
"""Words of `realface.networks.channels.INPUTS`: what it reads, in this order."""

VARYING = 4
"""The first of them, whose coefficients change over the face; the others are those of all of it.

The constant alone could not darken one side of a fold: in a shadow what is left comes from
elsewhere than the lamp."""

_SKIN = (0.42, 0.26, 0.19)
"""A usual albedo, linear: which of albedo and light is how strong, no texture tells."""


class WholeFaceNetwork(Generator):
    """What the light on a face multiplies its albedo by, as `realface.shading.whole_light` has it.

    A U-Net of gated blocks (`realface.networks.unet`); at its coarsest level the mean of the
    features over the face is added to each of them, since the light is one for all of the face.
    From that mean come nine coefficients a colour, from every texel four more. They are added to
    those of a face of one albedo (`realface.shading.whole_light.fitted_light`), of which the
    network sees the shading too: it corrects what arithmetic gives.

    It sees a face whole, so it has no margin; and no windows are made of it.

    Args:
        in_channels: 10: `INPUTS` are all that it reads.
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
        if (in_channels, out_channels) != (10, LIGHT_CHANNELS):
            raise ValueError(
                f"in_channels={in_channels}, out_channels={out_channels} must be 10 and "
                f"{LIGHT_CHANNELS}: {', '.join(INPUTS)} in, the light out"
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
        self.stem = nn.Conv2d(in_channels + 3, base_channels, 3, padding=1)
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
        self.head = OutputHead(base_channels, 3 * VARYING, [None] * (3 * VARYING), kernel=3)
        self.everywhere = nn.Linear(deepest, LIGHT_CHANNELS)
        initialise_unet(self)
        nn.init.zeros_(self.everywhere.weight)
        nn.init.zeros_(self.everywhere.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients ``(B, 27, H, W)`` from channels ``(B, 10, H, W)``, 0 beside the face.

        Raises:
            ValueError: If channels, height or width do not fit, with what would.
        """
        self.check_input(x)
        normals, face = x[:, 3:6], x[:, -1:]
        with torch.no_grad(), full_precision(x.device):
            fitted = _fit(x)
            guess = log_shading(fitted.expand(-1, -1, *x.shape[-2:]), normals) * face
        seen = torch.cat((x[:, :-1], guess, face), dim=1)
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
        return fitted + self._sum(self.everywhere(mean), self.head(features, x))

    def _sum(self, everywhere: Tensor, here: Tensor) -> Tensor:
        height, width = here.shape[-2:]
        constant = everywhere.unflatten(1, (3, 9))[..., None, None]
        varying = here.unflatten(1, (3, VARYING))
        first = constant[:, :, :VARYING] + varying
        rest = constant[:, :, VARYING:].expand(-1, -1, -1, height, width)
        return torch.cat((first, rest), dim=2).flatten(1, 2)


def _fit(x: Tensor) -> Tensor:
    """The light ``(B, 27, 1, 1)`` that a face of skin's usual colour all over would have had."""
    light = fitted_light((x[:, :3] + 1) / 2, x[:, 3:6], x[:, -1:]).unflatten(1, (3, 9))
    constant = light[..., :1] - (light.new_tensor(_SKIN).log() / harmonics.Y0)[:, None]
    return torch.cat((constant, light[..., 1:]), dim=2).flatten(1)[..., None, None]


def _mean_inside(features: Tensor, face: Tensor) -> Tensor:
    """Means ``(B, C)`` of coarse features over the face, which is positive in a finer map."""
    height, width = features.shape[-2:]
    weights = nn.functional.adaptive_avg_pool2d((face > 0).to(features.dtype), (height, width))
    total = weights.sum(dim=(2, 3)).clamp(min=1e-6)
    return (features * weights).sum(dim=(2, 3)) / total
