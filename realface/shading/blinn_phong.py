"""Blinn-Phong shading of reflectance maps, in UV space, on linear values."""

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb, srgb_to_linear, unit
from realface.shading.lights import Lights

CAMERA_DISTANCE = 1000.0  # mm; a frontal portrait camera
DEFAULT_EXPONENT = 27.0  # median over the central face of AvatarMe++'s shininess map


def exponent_from_shininess(shininess: Tensor) -> Tensor:
    """AvatarMe++'s shininess in [0, 1] to the exponent used: ``140 ** shininess``."""
    return 140.0**shininess


def specular_lobe(normals: Tensor, light: Tensor, view: Tensor, exponent: Tensor) -> Tensor:
    r"""Specular lobe :math:`(n \cdot h)^s`, before albedo and light colour.

    :math:`h = (l + v) / \|l + v\|`. Blinn, "Models of Light Reflection for Computer
    Synthesized Pictures", SIGGRAPH 1977. Not normalised: the peak is 1 for every exponent.

    Args:
        normals: Specular normals, unit length, object space, ``(B, 3, H, W)``.
        light: Unit vectors from the surface to the light, object space, same shape.
        view: Unit vectors from the surface to the camera, object space, same shape.
        exponent: :math:`s \ge 1`, used as given, broadcastable to ``(B, 1, H, W)``.

    Returns:
        ``(B, 1, H, W)`` in ``[0, 1]``; zero where the light is below the horizon.
    """
    half = unit(light + view)
    # The floor keeps the power's gradient finite; at exponent 1 it is below a 16-bit level.
    cos_half = (normals * half).sum(dim=1, keepdim=True).clamp(min=1e-6)
    lit = (normals * light).sum(dim=1, keepdim=True) > 0
    return lit * cos_half**exponent


def shade(
    diffuse_albedo: Tensor,
    specular_albedo: Tensor,
    diffuse_normals: Tensor,
    specular_normals: Tensor,
    positions: Tensor,
    lights: Lights,
    *,
    occlusion: Tensor | None = None,
    exponent: Tensor | float = DEFAULT_EXPONENT,
) -> Tensor:
    r"""Light leaving the surface towards a frontal camera, linear RGB.

    :math:`a_d (o\,b + \sum_j c_j \max(0, n_d \cdot l_j)) + a_s \sum_j c_j (n_s \cdot h_j)^s`
    with AvatarMe++'s un-normalised terms (Lattas et al., TPAMI 2021, and pytorch3d-me), except
    that ``occlusion`` dims the ambient light :math:`b`, which it describes, and not the lamps.

    Args:
        diffuse_albedo: Linear, ``(B, 3, H, W)``.
        specular_albedo: Linear, ``(B, 1, H, W)``.
        diffuse_normals: Unit length, object space, ``(B, 3, H, W)``.
        specular_normals: Likewise.
        positions: ``(B, 3, H, W)`` [mm], relative to the subject's median position.
        lights: Of the batch.
        occlusion: Share of ambient light that arrives, ``(B, 1, H, W)``; None: all of it.
        exponent: Blinn-Phong exponent, broadcastable to ``(B, 1, H, W)``.

    Returns:
        ``(B, 3, H, W)``, not clamped.
    """
    camera = positions.new_tensor((0.0, 0.0, CAMERA_DISTANCE)).view(1, 3, 1, 1)
    view = unit(camera - positions)
    power = torch.as_tensor(exponent, dtype=positions.dtype, device=positions.device)
    irradiance = lights.ambient[:, :, None, None] * (1.0 if occlusion is None else occlusion)
    specular = torch.zeros_like(diffuse_albedo)
    for position, colour in zip(lights.positions.unbind(1), lights.colours.unbind(1), strict=True):
        light = unit(position[:, :, None, None] - positions)
        colour = colour[:, :, None, None]
        cosine = (diffuse_normals * light).sum(dim=1, keepdim=True).clamp(min=0)
        irradiance = irradiance + colour * cosine
        specular = specular + colour * specular_lobe(specular_normals, light, view, power)
    return diffuse_albedo * irradiance + specular_albedo * specular


def lit_texture(
    maps: dict[str, Tensor], lights: Lights, *, exponent: float = DEFAULT_EXPONENT
) -> Tensor:
    """The texture that a camera would capture: shaded, clipped and sRGB-encoded.

    Args:
        maps: ``diffuse_albedo`` (sRGB), ``specular_albedo`` (linear), ``diffuse_normals`` and
            ``specular_normals`` (object space), ``shape`` [mm, relative to the median], each
            ``(B, C, H, W)``; ``occlusion`` and ``exponent`` (AvatarMe++'s shininess) if there.
        lights: Of the batch.
        exponent: Where no map gives it.

    Returns:
        ``(B, 3, H, W)`` in [0, 1], sRGB. What is brighter than white is clipped, as in a photo.
    """
    shininess = maps.get("exponent")
    radiance = shade(
        srgb_to_linear(maps["diffuse_albedo"]),
        maps["specular_albedo"],
        maps["diffuse_normals"],
        maps["specular_normals"],
        maps["shape"],
        lights,
        occlusion=maps.get("occlusion"),
        exponent=exponent if shininess is None else exponent_from_shininess(shininess),
    )
    return linear_to_srgb(radiance.clamp(0, 1))
