"""Shadows on a patch, which cannot see what throws them: by its openness, and by strangers.

What the whole face throws on itself is for `realface.shading.visibility`; a 512-texel patch shows
two or three centimetres of skin, so the nose that shades it lies outside.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.shading.lights import Lights

_WAVES = (96, 40, 16)
"""Control cells across a patch are its side over these [px]: what scale shadows' edges bend at."""


def aperture_visibility(occlusion: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
    r"""Share of a light that arrives in a place as open as ``occlusion`` says, ``(B, 1, H, W)``.

    The open sky is taken for a cone about the normal. Its half angle :math:`\alpha` follows from
    the cosine-weighted share of the sky within it, :math:`o = \sin^2\alpha` (Oat and Sander,
    "Ambient aperture lighting", I3D 2007, doi:10.1145/1230100.1230111); a light fades out over a
    few degrees at the cone's rim. Where nothing occludes, every light above the horizon arrives.

    Args:
        occlusion: Share of the ambient light that arrives, ``(B, 1, H, W)`` in [0, 1].
        normals: Unit, object space, ``(B, 3, H, W)``.
        directions: Unit vectors to the light, broadcastable to ``(B, 3, H, W)``.

    Returns:
        ``(B, 1, H, W)`` in [0, 1].
    """
    cosine = (normals * directions).sum(dim=1, keepdim=True)
    rim = (1 - occlusion).clamp(0, 1).sqrt()
    return ((cosine - rim) / (0.05 + 0.3 * rim) + 1).clamp(0, 1)


def stray_shadows(
    lights: Lights,
    height: int,
    width: int,
    *,
    probability: float = 0.25,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Shadows of what is not in the map: hair, a hat, a hand, the nose next door.

    Smooth random fields cut at a random level, softer under wider lights (the idea of foreign
    shadows: Zhang et al., "Portrait shadow manipulation", SIGGRAPH 2020,
    doi:10.1145/3386569.3392390; the numbers are ours). Harmonics are not shadowed.

    Args:
        lights: Of the batch.
        height: Of the patches [px].
        width: Of the patches [px].
        probability: That a light is shadowed.
        generator: Of random numbers, on the lights' device; None for torch's own.

    Returns:
        Share of each light that arrives, ``(B, L, H, W)`` in [0, 1].
    """
    batch, count = lights.radii.shape
    device, dtype = lights.radii.device, lights.radii.dtype

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, count, *shape, device=device, dtype=dtype, generator=generator)

    def uniform() -> Tensor:
        shape = (batch, count, 1, 1)
        return torch.rand(shape, device=device, dtype=dtype, generator=generator)

    field = torch.zeros(batch, count, height, width, device=device, dtype=dtype)
    for cell, weight in zip(_WAVES, (1.0, 0.35, 0.12), strict=True):
        cells = (max(2, height // cell) + 1, max(2, width // cell) + 1)
        smooth = F.interpolate(normal(*cells), (height, width), mode="bicubic", align_corners=True)
        field = field + weight * smooth
    level = 1.4 * normal(1, 1)
    softness = 0.02 + 2 * lights.radii[..., None, None] * (0.5 + uniform())
    lit = torch.sigmoid((field - level) / softness)
    depth = (uniform() < probability) * (0.5 + 0.5 * uniform())
    return 1 - depth * (1 - lit)
