"""Shading of reflectance maps in UV space, on linear values."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb, srgb_to_linear, unit
from realface.shading import blinn_phong, ggx, harmonics
from realface.shading.environment import reflected_radiance
from realface.shading.lights import Lights
from realface.shading.reference import reference_texture
from realface.shading.subsurface import scatter, texel_size

CAMERA_DISTANCE = 1000.0  # mm; a frontal portrait camera

_SMOOTHEST = 0.05  # roughness; GGX's peak head-on is then 4e4 F0, and 0 / 0 at roughness 0

_TURNING_AWAY = 0.15
"""Cosine of view below which mirrored surroundings fade: a lobe's end would show as an edge."""

Specular = Literal["blinn_phong", "normalised_blinn_phong", "ggx"]


def shade(
    diffuse_albedo: Tensor,
    specular_albedo: Tensor,
    diffuse_normals: Tensor,
    specular_normals: Tensor,
    positions: Tensor,
    lights: Lights,
    *,
    view: Tensor | float | None = None,
    occlusion: Tensor | None = None,
    visibility: Tensor | None = None,
    scattering: tuple[float, float, float] | None = None,
    translucency: Tensor | None = None,
    mask: Tensor | None = None,
    specular: Specular = "blinn_phong",
    exponent: Tensor | float = blinn_phong.DEFAULT_EXPONENT,
    roughness: Tensor | float | None = None,
) -> Tensor:
    r"""Light leaving the surface towards the camera, linear RGB.

    :math:`a_d\,S\big[o E(n_d) + \sum_j V_j c_j \max(0, n_d \cdot l_j)\big] +
    \sum_j V_j c_j R_j + \hat o R_{env}`: irradiance E of the harmonics, occlusion o, visibility V,
    scattering S, and R what the specular model returns, of lamps and of the surroundings.
    Occlusion describes light from all around, so it dims the surroundings and not the lamps.

    All in float32 or float64, outside autocast: squares of millimetres overflow half precision.

    Args:
        diffuse_albedo: Linear, ``(B, 3, H, W)``.
        specular_albedo: Linear, ``(B, 1, H, W)``: the peak of ``blinn_phong``, the reflectance at
            normal incidence of the other two (`blinn_phong.f0_from_specular_albedo` converts).
        diffuse_normals: Unit length, object space, ``(B, 3, H, W)``.
        specular_normals: Likewise.
        positions: ``(B, 3, H, W)`` [mm], relative to the subject's median position.
        lights: Of the batch, or of a batch of one for all.
        view: Distance of a camera on the +z axis [mm], or unit vectors from the surface to the
            camera, ``(B, 3, H, W)``; None: the camera at `CAMERA_DISTANCE`.
        occlusion: Share of light from all around that arrives, ``(B, 1, H, W)``; None: all.
        visibility: Share of each lamp that is seen, ``(B, L, H, W)``; None: all.
        scattering: Radii for red, green and blue [mm] of `subsurface.scatter`, which spreads the
            diffuse light before it meets the albedo; None: no scattering.
        translucency: Share of the diffuse light that scatters, ``(B, 1, H, W)``; None: all.
        mask: 1 where a texel is valid, ``(B, 1, H, W)``: no light scatters in from elsewhere.
        specular: ``blinn_phong`` as AvatarMe++ has it, un-normalised, without Fresnel or cosine;
            ``normalised_blinn_phong``, which conserves energy; ``ggx`` with Fresnel.
        exponent: Blinn-Phong exponent, 0 and more, broadcastable to ``(B, 1, H, W)``.
        roughness: GGX's, in [0, 1], likewise; what is below 0.05 is taken for that. None: that
            of ``exponent``.

    Returns:
        ``(B, 3, H, W)``, not clamped.

    Raises:
        ValueError: If there is no such specular model.
    """
    if specular not in get_args(Specular):
        raise ValueError(f"specular={specular!r} must be one of {', '.join(get_args(Specular))}")
    exponent = torch.as_tensor(exponent, dtype=positions.dtype, device=positions.device)
    if roughness is None:
        roughness = ggx.roughness_from_exponent(exponent)
    roughness = torch.as_tensor(roughness, dtype=positions.dtype, device=positions.device)
    roughness = roughness.clamp(min=_SMOOTHEST)
    gloss = _Gloss(specular, specular_albedo, exponent, roughness)
    towards = _towards_camera(view, positions)
    cos_view = _dot(specular_normals, towards)

    irradiance = harmonics.irradiance(lights.harmonics, diffuse_normals)
    mirrored = 2 * cos_view * specular_normals - towards
    highlights = _mirrored_surroundings(lights, mirrored, gloss.exponent_of_mirror(cos_view))
    turned = (cos_view / _TURNING_AWAY).clamp(0, 1)
    highlights = highlights * gloss.of_surroundings(cos_view) * turned
    if occlusion is not None:
        irradiance = irradiance * occlusion
        highlights = highlights * specular_occlusion(cos_view, occlusion, roughness)
    for number in range(lights.positions.shape[1]):
        place, finite = lights.positions[:, number, :, None, None].split((3, 1), dim=1)
        colour = lights.colours[:, number, :, None, None]
        to_light = torch.addcmul(place, finite, positions, value=-1)
        inverse = _dot(to_light, to_light).clamp(min=1e-12).rsqrt()  # of its length
        cosine = (_dot(diffuse_normals, to_light) * inverse).clamp(min=0)
        returned = gloss.of_lamp(
            _dot(specular_normals, to_light) * inverse, cos_view, _dot(towards, to_light) * inverse
        )
        if visibility is not None:
            seen = visibility[:, number, None]
            cosine, returned = cosine * seen, returned * seen
        irradiance = torch.addcmul(irradiance, colour, cosine)
        highlights = torch.addcmul(highlights, colour, returned)
    if scattering is not None:
        scattered = scatter(irradiance, mask, texel_size(positions, mask), scattering)
        irradiance = scattered if translucency is None else irradiance.lerp(scattered, translucency)
    return torch.addcmul(highlights, diffuse_albedo, irradiance)


def lit_texture(
    maps: dict[str, Tensor],
    lights: Lights,
    *,
    view: Tensor | float | None = None,
    visibility: Tensor | None = None,
    scattering: tuple[float, float, float] | None = None,
    specular: Specular = "blinn_phong",
    exponent: float = blinn_phong.DEFAULT_EXPONENT,
    reference: bool = False,
    clipped: bool = True,
) -> Tensor:
    """The texture that a camera would capture: shaded, clipped and sRGB-encoded.

    Args:
        maps: ``diffuse_albedo`` (sRGB), ``specular_albedo`` (linear, the peak of the
            un-normalised lobe), ``diffuse_normals`` and ``specular_normals`` (object space),
            ``shape`` [mm, relative to the median], each ``(B, C, H, W)``; ``occlusion``,
            ``exponent`` (AvatarMe++'s shininess), ``translucency`` and ``mask`` if there.
        lights: Of the batch.
        view: As `shade`.
        visibility: As `shade`.
        scattering: As `shade`.
        specular: As `shade`; the albedo is converted for the normalised models, so that
            highlights seen head-on keep their peak (GGX: nearly).
        exponent: Where no map gives it.
        reference: pytorch3d-me's numbers instead of ours, see `reference_texture`; visibility,
            scattering, specular and exponent have no part in them.
        clipped: Clip what is brighter than white, as in a photo. Else the curve goes on, and so
            do the gradients, for losses; not for ``reference``.

    Returns:
        ``(B, 3, H, W)`` sRGB, in [0, 1] where it is clipped.
    """
    if reference:
        return reference_texture(maps, lights, _towards_camera(view, maps["shape"]))
    albedo, shininess = maps["specular_albedo"], maps.get("exponent")
    power = albedo.new_tensor(exponent)
    if shininess is not None:
        power = blinn_phong.exponent_from_shininess(shininess)
    if specular != "blinn_phong":
        albedo = blinn_phong.f0_from_specular_albedo(albedo, power)
    radiance = shade(
        srgb_to_linear(maps["diffuse_albedo"]),
        albedo,
        maps["diffuse_normals"],
        maps["specular_normals"],
        maps["shape"],
        lights,
        view=view,
        occlusion=maps.get("occlusion"),
        visibility=visibility,
        scattering=scattering,
        translucency=maps.get("translucency"),
        mask=maps.get("mask"),
        specular=specular,
        exponent=power,
    )
    return linear_to_srgb(radiance.clamp(0, 1) if clipped else radiance)


def specular_occlusion(cos_view: Tensor, occlusion: Tensor, roughness: Tensor) -> Tensor:
    r"""Share of the mirrored surroundings that arrives where ``occlusion`` of all light does.

    :math:`(n \cdot v + o)^{2^{-16 \alpha - 1}} - 1 + o` in [0, 1], alpha = roughness^2: an
    empirical rule of Lagarde and de Rousiers, "Moving Frostbite to Physically Based Rendering",
    SIGGRAPH 2014 course, section 4.10.2. 1 where nothing is occluded.

    Args:
        cos_view: Cosine of specular normal and view, ``(B, 1, H, W)``.
        occlusion: In [0, 1], likewise.
        roughness: GGX's, broadcastable to it.
    """
    power = 2.0 ** (-16 * roughness.square() - 1)
    opened = (cos_view.clamp(min=0) + occlusion).clamp(min=1e-6) ** power
    return (opened - 1 + occlusion).clamp(0, 1)


@dataclass(frozen=True)
class _Gloss:
    """A specular model with its maps. What it returns includes the albedo, ``(B, 1, H, W)``."""

    model: Specular
    albedo: Tensor
    exponent: Tensor
    roughness: Tensor

    def of_lamp(self, cos_light: Tensor, cos_view: Tensor, cos_between: Tensor) -> Tensor:
        """What is returned of a lamp of colour 1 at an angle between it and the view."""
        length = (2 + 2 * cos_between).clamp(min=1e-6).sqrt()  # |l + v|: h is never formed
        # Above 1 where normals are a little too long, or light meets view: powers would explode.
        cos_half = ((cos_light + cos_view) / length).clamp(max=1)
        if self.model == "ggx":
            return ggx.specular_lobe(
                cos_light, cos_view, cos_half, 0.5 * length, self.albedo, self.roughness
            )
        if self.model == "blinn_phong":
            return self.albedo * blinn_phong.specular_lobe(cos_light, cos_half, self.exponent)
        return self.albedo * blinn_phong.normalised_lobe(cos_light, cos_half, self.exponent)

    def of_surroundings(self, cos_view: Tensor) -> Tensor:
        """What is returned of radiance 1 from everywhere."""
        if self.model == "ggx":
            return ggx.directional_albedo(cos_view, self.albedo, self.roughness)
        if self.model == "blinn_phong":
            return self.albedo * blinn_phong.directional_albedo(cos_view, self.exponent)
        return self.albedo * blinn_phong.normalised_directional_albedo(cos_view, self.exponent)

    def exponent_of_mirror(self, cos_view: Tensor) -> Tensor:
        """The lobe seen head-on that covers as much of the surroundings as this one."""
        if self.model == "ggx":
            return ggx.exponent_from_roughness(self.roughness)
        # Oblique lobes are narrower across the plane of incidence; the normalised one's cosine
        # is near that of four powers more.
        powers = self.exponent if self.model == "blinn_phong" else self.exponent + 4
        return powers / cos_view.clamp(min=0.1)


def _mirrored_surroundings(lights: Lights, towards: Tensor, exponent: Tensor) -> Tensor:
    if lights.reflections is None:
        return harmonics.lobe(lights.harmonics, towards, exponent)
    return reflected_radiance(lights.reflections, towards, exponent)


def _towards_camera(view: Tensor | float | None, positions: Tensor) -> Tensor:
    if isinstance(view, Tensor):
        return view
    camera = positions.new_tensor((0, 0, CAMERA_DISTANCE if view is None else view))
    return unit(camera.view(1, 3, 1, 1) - positions)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """``(B, 1, H, W)``; a fourth of the time of a sum over the channels of the product."""
    (ax, ay, az), (bx, by, bz) = a.split(1, dim=1), b.split(1, dim=1)
    return torch.addcmul(torch.addcmul(ax * bx, ay, by), az, bz)
