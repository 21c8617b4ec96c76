"""A texture as a capture gives it, from a sample's maps: random light, shadows and scattering."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.shading.blinn_phong import shininess_from_exponent
from realface.shading.lights import Lights
from realface.shading.patch_shadows import aperture_visibility, stray_shadows
from realface.shading.random_lights import studio_lights, varied_lights
from realface.shading.shade import lit_texture
from realface.shading.subsurface import SKIN_RADII, texel_size

Lighting = Literal["varied", "studio"]

LIT_FROM = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")
"""Kinds of map that a texture is shaded from."""

SCATTERING_MARGIN = 2.8
"""Distance from a patch's edge within which scattered light is not known [mm].

Farther in, less than a tenth of the red light and 3 % of the green comes from beyond the edge, for
`SKIN_RADII`; all of it would be a wider rim than a patch has room for.
"""


def random_texture(
    maps: dict[str, Tensor], lighting: Lighting = "varied", generator: torch.Generator | None = None
) -> Tensor:
    """A batch of patches under fresh random lights, one set each.

    ``varied``: rooms, skies and lamps with cast shadows, more or less scattering, smooth and
    dull skin. ``studio``: AvatarMe++'s lights around a studio's, without any of these.

    Args:
        maps: As `lit_texture`, ``(B, C, H, W)`` each.
        lighting: Which lights.
        generator: Of random numbers, on the maps' device; None for torch's own.

    Returns:
        ``(B, 3, H, W)`` in [0, 1], sRGB.
    """
    mask = maps["mask"]
    batch, device = len(mask), mask.device
    lights = random_lights(batch, lighting, device, generator)
    if lighting == "studio":
        return lit_texture(maps, lights)
    shares = torch.rand(2, batch, 1, 1, 1, device=device, generator=generator)
    varied = {
        "translucency": shares[0].expand_as(mask),
        "exponent": shininess_from_exponent(10 * 6 ** shares[1]).expand_as(mask),
    }
    return lit_texture(
        {**varied, **maps},
        lights,
        visibility=_patch_visibility(maps, lights, generator),
        scattering=SKIN_RADII,
    )


def random_lights(
    batch: int,
    lighting: Lighting,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Lights:
    """Fresh lights for a batch, of the mix that ``lighting`` names."""
    draw = studio_lights if lighting == "studio" else varied_lights
    return draw(batch, device=device, generator=generator)


def _patch_visibility(
    maps: dict[str, Tensor], lights: Lights, generator: torch.Generator | None
) -> Tensor:
    """Share of each lamp that arrives ``(B, L, H, W)``: through openings, past strangers."""
    seen = stray_shadows(lights, *maps["mask"].shape[-2:], generator=generator)
    if "occlusion" not in maps:
        return seen
    # From the patch's middle: a cone's rim is softer than lamps' directions differ over it.
    mask = maps["mask"]
    middle = (maps["shape"] * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp(min=1)
    middle = middle[:, None]
    towards = F.normalize(lights.positions[..., :3] - lights.positions[..., 3:] * middle, dim=2)
    open_share = [
        aperture_visibility(maps["occlusion"], maps["diffuse_normals"], direction[..., None, None])
        for direction in towards.unbind(1)
    ]
    return seen * torch.cat(open_share, dim=1)


def known_light(mask: Tensor, positions: Tensor) -> Tensor:
    """The mask without the texels whose scattered light comes from outside the patch.

    Args:
        mask: ``(B, 1, H, W)``.
        positions: ``(B, 3, H, W)`` [mm].

    Returns:
        ``(B, 1, H, W)``: 0 within `SCATTERING_MARGIN` of the patch's edge.
    """
    height, width = mask.shape[-2:]
    row = torch.arange(height, device=mask.device, dtype=mask.dtype)[:, None]
    column = torch.arange(width, device=mask.device, dtype=mask.dtype)
    texels = torch.minimum(
        torch.minimum(row, height - 1 - row), torch.minimum(column, width - 1 - column)
    )
    return mask * (texels * texel_size(positions, mask) >= SCATTERING_MARGIN)
