"""What a translator and its discriminator learn from each other."""

import torch
from torch import Tensor

from realface.losses.adversarial import least_squares_discriminator, least_squares_generator
from realface.losses.feature_matching import feature_matching
from realface.losses.gradient_penalty import gradient_penalty
from realface.networks.discriminator import MultiScaleDiscriminator
from realface.networks.precision import full_precision

Losses = dict[str, Tensor]


def pair(inputs: Tensor, made: Tensor, mask: Tensor, memory_format: torch.memory_format) -> Tensor:
    """What a conditional discriminator looks at: input and output, blank outside the mask.

    Args:
        inputs: Of the generator ``(B, C, H, W)``.
        made: Its output, or what that should have been, as channels in about [-1, 1].
        mask: ``(B, 1, H, W)``.
        memory_format: Of the result.
    """
    both = torch.cat((inputs, made), dim=1) * mask
    return both.contiguous(memory_format=memory_format)


def adversarial_losses(
    discriminator: MultiScaleDiscriminator, real: Tensor, fake: Tensor
) -> tuple[Losses, Losses]:
    """The generator's losses, and the discriminator's own, of one look at each.

    Args:
        discriminator: Of both.
        real: A `pair` with the truth.
        fake: One with what the generator made.
    """
    on_real, on_fake = discriminator(real), discriminator(fake)
    generators = {
        "adversarial": least_squares_generator(on_fake),
        "feature_matching": feature_matching(on_real, on_fake),
    }
    return generators, {"discriminator": least_squares_discriminator(on_real, on_fake)}


def r1_penalty(
    discriminator: MultiScaleDiscriminator,
    inputs: Tensor,
    truth: Tensor,
    mask: Tensor,
    memory_format: torch.memory_format,
) -> Tensor:
    """`gradient_penalty` at the truth, in float32; the arguments are those of `pair`.

    By a look of its own, past torch.compile, whose graphs have no second derivatives.
    """
    with full_precision(mask.device):
        return gradient_penalty(
            lambda maps: discriminator.forward(pair(inputs, maps, mask, memory_format)), truth, mask
        )
