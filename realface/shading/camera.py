"""What a camera adds to a lit texture: blur, noise and JPEG, on the texture's device."""

import torch
from torch import Tensor

BLUR = (0.3, 1.5)
"""Range of the Gaussian's standard deviation [px]; ours."""

NOISE = 0.015
"""Standard deviation of the noise, of white; ours."""

JPEG_QUALITY = (60.0, 95.0)
"""Range of qualities; ours."""


@torch.no_grad()
def camera_flaws(texture: Tensor, probability: float) -> Tensor:
    """A texture as a camera might have stored it: blurred, noisy, compressed, by kornia.

    Captured textures have these flaws and shaded ones have not, so a network that trains on
    clean ones takes noise for pores. Random numbers are torch's own, on the CPU for the
    choices and on the texture's device for the noise.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1], sRGB; not changed.
        probability: Of each of the three flaws, drawn for each sample.

    Returns:
        ``(B, 3, H, W)`` in [0, 1]; without gradient, as it is an input.
    """
    if probability == 0:
        return texture
    from kornia import augmentation  # slow to import

    flaws = (
        augmentation.RandomGaussianBlur((7, 7), BLUR, border_type="replicate", p=probability),
        augmentation.RandomGaussianNoise(0.0, NOISE, p=probability),
        augmentation.RandomJPEG(JPEG_QUALITY, p=probability),
    )
    with torch.autocast(texture.device.type, enabled=False):  # half steps would be noise too
        for flaw in flaws:
            texture = flaw(texture).clamp(0, 1)
    return texture
