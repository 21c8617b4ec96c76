"""Small generators whose every layer matters to the result."""

from pathlib import Path

import torch

from realface.networks.generator import GENERATORS, Generator
from realface.weights import Descriptor, TrainedTranslator

SMALL = {"base_channels": 3, "downsamples": 2, "blocks": 1}


def generator(
    name: str = "global", in_channels: int = 3, out_channels: int = 1, **more
) -> Generator:
    """With a signal that neither dies out nor grows; results of about 1."""
    made = GENERATORS[name](in_channels, out_channels, **SMALL, **more)
    # A gated block's own weights do so; its gates would multiply larger ones.
    fresh = made.head.parameters() if name == "unet" else made.parameters()
    for parameter in fresh:
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return made.eval().requires_grad_(False)


def specular_albedo(**about) -> TrainedTranslator:
    """The translator with the fewest channels."""
    made = generator(norm="none")
    descriptor = Descriptor(
        translator="specular_albedo",
        inputs=("diffuse_albedo",),
        outputs=("specular_albedo",),
        generator="global",
        arguments=made.arguments,
        multiple_of=made.multiple_of,
        receptive_margin=made.receptive_margin,
        spatial_statistics=made.spatial_statistics,
        **about,
    )
    return TrainedTranslator(descriptor, made, Path("last.ckpt"))
