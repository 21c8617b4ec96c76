"""The texture of a batch: never stored, lit anew each time."""

from typing import Any

import torch
from torch import Tensor

from realface.data.packing.whole_faces import REDUCTION
from realface.networks.channels import DELIT_TEXTURE, WHOLE_TEXTURE
from realface.networks.precision import full_precision
from realface.shading.camera import camera_flaws
from realface.shading.capture import (
    Lighting,
    known_light,
    patch_texture,
    random_capture,
    whole_texture,
)
from realface.shading.occlusion import enlarge_in_mask, reduce_in_mask
from realface.shading.whole_light import delit, true_log_shading


@torch.no_grad()
def lit(
    batch: dict[str, Any],
    lighting: Lighting,
    *,
    whole: bool,
    delit_too: bool,
    flaw_probability: float,
    generator: torch.Generator | None,
) -> dict[str, Any]:
    """Light a batch.

    Args:
        batch: Maps ``(B, C, H, W)`` by kind; ``whole``, likewise, where it is read.
        lighting: Of which mix.
        whole: Make ``whole_texture`` too, in the same light.
        delit_too: Make ``delit_texture`` too.
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
    if delit_too:
        made[DELIT_TEXTURE] = _delit_by_whole_face(made["texture"], batch["diffuse_albedo"], mask)
    return {**batch, **made}


def _delit_by_whole_face(texture: Tensor, albedo: Tensor, mask: Tensor) -> Tensor:
    """What the whole-face stage makes of patches where it does its work: the true shading, coarse.

    So patches need no whole faces beside them to be trained on, and learn to take their tone from
    there, in which their neighbours agree. Where the stage errs, a patch could not tell.
    """
    small, valid = reduce_in_mask(true_log_shading(texture, albedo), mask, REDUCTION)
    size = (mask.shape[-2], mask.shape[-1])
    return delit(texture, enlarge_in_mask(small, valid, REDUCTION, size)) * mask
