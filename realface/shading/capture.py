"""A texture as a capture gives it, from a sample's maps: random light, shadows and scattering."""

from dataclasses import dataclass
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
from realface.shading.visibility import visibility

Lighting = Literal["varied", "studio"]

LIT_FROM = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")
"""Kinds of map that a texture is shaded from."""

SCATTERING_MARGIN = 2.8
"""Distance from a patch's edge within which scattered light is not known [mm].

Farther in, less than a tenth of the red light and 3 % of the green comes from beyond the edge, for
`SKIN_RADII`; all of it would be a wider rim than a patch has room for.
"""


@dataclass(frozen=True)
class Capture:
    """What the capture of each face of a batch has of its own, besides the face.

    Attributes:
        lights: One set each.
        scattering: Radii as `lit_texture` has them; None: none, and no shadows either.
        translucency: ``(B, 1, 1, 1)``, where no map says it.
        exponent: AvatarMe++'s shininess, likewise.
        matte: Whether its gloss was taken out, as crossed polarisers do it, likewise; None: no.
        even: Whether its shadows were filled, likewise.
    """

    lights: Lights
    scattering: tuple[float, float, float] | None = None
    translucency: Tensor | None = None
    exponent: Tensor | None = None
    matte: Tensor | None = None
    even: Tensor | None = None


def random_capture(
    batch: int,
    lighting: Lighting,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    cleaned: float = 0.0,
) -> Capture:
    """Draw the captures of a batch.

    ``varied``: rooms, skies and lamps with cast shadows, more or less scattering, smooth and
    dull skin. ``studio``: AvatarMe++'s lights around a studio's, without any of these.

    Args:
        batch: How many.
        lighting: Of which mix.
        device: Where.
        generator: Of random numbers, on the device; None for torch's own.
        cleaned: Share of ``varied`` captures without gloss, as artists make them; three in five of
            these are without shadows too.
    """
    lights = random_lights(batch, lighting, device, generator)
    if lighting == "studio":
        return Capture(lights)
    shares = torch.rand(3, batch, 1, 1, 1, device=device, generator=generator)
    exponent = shininess_from_exponent(10 * 6 ** shares[1])
    if not cleaned:
        return Capture(lights, SKIN_RADII, shares[0], exponent)
    matte, even = shares[2] < cleaned, shares[2] < 0.6 * cleaned
    return Capture(lights, SKIN_RADII, shares[0], exponent, matte, even)


def patch_texture(
    maps: dict[str, Tensor], capture: Capture, generator: torch.Generator | None = None
) -> Tensor:
    """A batch of patches as they were captured: shadows are guessed, for what throws them is far.

    Args:
        maps: As `lit_texture`, ``(B, C, H, W)`` each.
        capture: Of the batch.
        generator: Of strangers' shadows, on the maps' device; None for torch's own.

    Returns:
        ``(B, 3, H, W)`` in [0, 1], sRGB.
    """
    if capture.scattering is None:
        return lit_texture(maps, capture.lights)
    seen = stray_shadows(capture.lights, *maps["mask"].shape[-2:], generator=generator)
    return _textured(maps, capture, seen * _openings(maps, capture.lights))


def captured_face(maps: dict[str, Tensor], capture: Capture, samples: int = 16) -> Tensor:
    """A batch of whole faces as they were captured, with the shadows that their shapes throw.

    Args:
        maps: As `lit_texture`, of whole faces, ``(B, C, H, W)`` each; ``shape_normals`` too.
        capture: Of the batch.
        samples: Places on a lamp's disc that shadows are cast from, at most.

    Returns:
        ``(B, 3, H, W)`` in [0, 1], sRGB.
    """
    if capture.scattering is None:
        return lit_texture(maps, capture.lights)
    seen = visibility(maps["shape"], maps["shape_normals"], maps["mask"], capture.lights, samples)
    return _textured(maps, capture, seen)


def whole_texture(maps: dict[str, Tensor], capture: Capture, size: tuple[int, int]) -> Tensor:
    """The whole faces of a batch of patches under the same lights, squeezed to the patches' size.

    AvatarMe++'s context :math:`T^{(w)}`: Lattas et al., TPAMI 2021. Strangers' shadows, which lie
    on the patch alone, are not on it.

    Args:
        maps: Of the whole faces, small, ``(B, C, h, w)``, as `lit_texture`.
        capture: Of the batch.
        size: ``(height, width)`` of the patches.

    Returns:
        ``(B, 3, *size)`` in [0, 1], sRGB; black outside the masks.
    """
    if capture.scattering is None:
        texture = lit_texture(maps, capture.lights)
    else:
        texture = _textured(maps, capture, _openings(maps, capture.lights))
    return squeezed(texture * maps["mask"], size)


def squeezed(texture: Tensor, size: tuple[int, int]) -> Tensor:
    """Textures ``(B, 3, h, w)`` brought to another size, whatever their proportions."""
    return F.interpolate(texture, size, mode="bilinear", antialias=True, align_corners=False)


def _textured(maps: dict[str, Tensor], capture: Capture, visibility: Tensor) -> Tensor:
    assert capture.translucency is not None
    assert capture.exponent is not None
    varied = {
        "translucency": capture.translucency.expand_as(maps["mask"]),
        "exponent": capture.exponent.expand_as(maps["mask"]),
    }
    if capture.matte is not None:
        maps = {**maps, "specular_albedo": maps["specular_albedo"] * ~capture.matte}
    if capture.even is not None:
        visibility = torch.where(capture.even, 1, visibility)
        if "occlusion" in maps:
            maps = {**maps, "occlusion": torch.where(capture.even, 1, maps["occlusion"])}
    return lit_texture(
        {**varied, **maps}, capture.lights, visibility=visibility, scattering=capture.scattering
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


def _openings(maps: dict[str, Tensor], lights: Lights) -> Tensor:
    """Share of each lamp that arrives through the openings that occlusion tells of."""
    mask = maps["mask"]
    if "occlusion" not in maps:
        return torch.ones_like(mask).expand(-1, lights.positions.shape[1], -1, -1)
    # From the patch's middle: a cone's rim is softer than lamps' directions differ over it.
    middle = (maps["shape"] * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp(min=1)
    middle = middle[:, None]
    towards = F.normalize(lights.positions[..., :3] - lights.positions[..., 3:] * middle, dim=2)
    open_share = [
        aperture_visibility(maps["occlusion"], maps["diffuse_normals"], direction[..., None, None])
        for direction in towards.unbind(1)
    ]
    return torch.cat(open_share, dim=1)


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
