"""The texture of a batch: never stored, lit anew each time."""

from typing import Any

import torch
from torch import Tensor

from realface.networks.channels import WHOLE_TEXTURE
from realface.networks.precision import full_precision
from realface.shading.camera import camera_flaws
from realface.shading.capture import (
    Lighting,
    known_light,
    patch_texture,
    random_capture,
    whole_texture,
)


@torch.no_grad()
def lit(
    batch: dict[str, Any],
    lighting: Lighting,
    *,
    whole: bool,
    flaw_probability: float,
    generator: torch.Generator | None,
) -> dict[str, Any]:
    """Light a batch.

    Args:
        batch: Maps ``(B, C, H, W)`` by kind; ``whole``, likewise, where it is read.
        lighting: Of which mix.
        whole: Make ``whole_texture`` too, in the same light.
        flaw_probability: Of each camera flaw.
        generator: Of random numbers; None: torch's own.

    Returns:
        The batch with ``texture``, and ``known`` ``(B, 1, H, W)`` where losses and metrics leave
        out more than the mask does: scattered light near a patch's edge comes from beyond it.
    """
    mask: Tensor = batch["mask"]
    made: dict[str, Tensor] = {}
    with full_precision(mask.device):  # shading's powers and roots need it
        capture = random_capture(len(mask), lighting, mask.device, generator)
        made["texture"] = patch_texture(batch, capture, generator)
        made["known"] = known_light(mask, batch["shape"]) if lighting == "varied" else mask
        if whole:
            made[WHOLE_TEXTURE] = whole_texture(
                batch["whole"], capture, (mask.shape[-2], mask.shape[-1])
            )
    made["texture"] = camera_flaws(made["texture"], flaw_probability)
    return {**batch, **made}
