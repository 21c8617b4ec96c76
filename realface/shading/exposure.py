"""How bright a set of lights is, as a photographer's meter has it."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.shading import harmonics
from realface.shading.lights import Lights

_CARDS = ((0, 0, 1), (0.7, 0, 0.7), (-0.7, 0, 0.7), (0, 0.6, 0.8), (0, -0.6, 0.8))
"""Where white cards face: what a meter averages over a face."""


def white_card(lights: Lights) -> Tensor:
    """What white cards return that face the camera, and somewhat aside, up and down.

    Returns:
        Mean over the cards of linear RGB, ``(B, 3)``; nothing is in the lamps' way.
    """
    facing = F.normalize(lights.harmonics.new_tensor(_CARDS), dim=1)
    normals = facing.T[None, :, None].expand(len(lights.harmonics), -1, -1, -1)
    surround = harmonics.irradiance(lights.harmonics, normals).clamp(min=0).mean(dim=(2, 3))
    directions = F.normalize(lights.positions[..., :3], dim=2)
    cosine = (directions @ facing.T).clamp(min=0).mean(dim=2, keepdim=True)
    return surround + (cosine * lights.colours).sum(dim=1)


def scaled(lights: Lights, gain: Tensor) -> Lights:
    """The lights with their colours multiplied by ``gain``, ``(B, 3)`` or ``(B, 1)``."""
    factor = gain[:, None]
    mirrored = lights.reflections
    if mirrored is not None:
        mirrored = replace(mirrored, radiance=mirrored.radiance * gain[:, None, :, None, None])
    return replace(
        lights,
        colours=lights.colours * factor,
        harmonics=lights.harmonics * factor,
        reflections=mirrored,
    )


def exposed(lights: Lights, stops: float = 0.0) -> Lights:
    """The lights at the brightness at which white cards return 1, and ``stops`` over.

    A panorama's own scale is arbitrary. Colours stay: only the mean of the channels is brought
    to one. Lights that give nothing stay dark.
    """
    level = white_card(lights).mean(dim=1, keepdim=True)
    return scaled(lights, torch.where(level > 0, 2.0**stops / level.clamp(min=1e-12), 0.0))
