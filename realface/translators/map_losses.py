"""Losses of predicted maps themselves, beside what a discriminator says of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from realface.losses.angular import angular
from realface.losses.gradient import gradient
from realface.losses.reconstruction import reconstruction
from realface.losses.rendering import rendering
from realface.maps.kinds import KINDS
from realface.networks.precision import full_precision
from realface.shading.capture import Lighting, random_lights
from realface.shading.shade import lit_texture

Maps = dict[str, Tensor]


def reconstruction_loss(
    made: Mapping[str, Tensor], truth: Mapping[str, Tensor], mask: Tensor, kinds: Sequence[str]
) -> Tensor:
    """L1 of albedos as encoded, 1 - cosine of normals; the mean over the kinds.

    Args:
        made: By kind ``(B, C, H, W)``, normals unit.
        truth: Likewise, in the same space.
        mask: ``(B, 1, H, W)``, where texels count.
        kinds: Of map, at least one.
    """
    each = [
        (angular if KINDS[kind].encoding == "unit_vector" else reconstruction)(
            made[kind], truth[kind], mask
        )
        for kind in kinds
    ]
    return torch.stack(each).mean()


def gradient_loss(
    made: Mapping[str, Tensor], truth: Mapping[str, Tensor], mask: Tensor, kinds: Sequence[str]
) -> Tensor:
    """`realface.losses.gradient.gradient`, the mean over the kinds; as `reconstruction_loss`."""
    return torch.stack([gradient(made[kind], truth[kind], mask) for kind in kinds]).mean()


def rendering_loss(
    made: Mapping[str, Tensor], maps: Maps, mask: Tensor, lighting: Lighting, count: int
) -> Tensor:
    """How a face looks with predicted maps in place of the true ones, under the same lights.

    Direct light with the sample's occlusion, nothing cast or scattered, sRGB and not clipped:
    every texel has a gradient, over-exposed ones as well.

    Args:
        made: Predicted maps by kind ``(B, C, H, W)``, normals unit and in object space. Of the
            maps that light is shaded from, those that are not here are the truth's.
        maps: The batch, with all of `realface.shading.capture.LIT_FROM`.
        mask: ``(B, 1, H, W)``, where texels count.
        lighting: Of which mix.
        count: Fresh sets of lights, drawn from torch's own generator.
    """
    predicted, each = {**maps, **made}, []
    with full_precision(mask.device):
        for _ in range(count):
            lights = random_lights(len(mask), lighting, mask.device)
            with torch.no_grad():
                wanted = lit_texture(maps, lights, clipped=False)
            each.append(rendering(lit_texture(predicted, lights, clipped=False), wanted, mask))
    return torch.stack(each).mean()
