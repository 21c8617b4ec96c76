r"""GGX highlights with Schlick's Fresnel term.

Functions of cosines, in the units of `lights`: times a light's colour (irradiance / pi) they give
what the surface returns.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

_CELLS, _SAMPLES = 32, 64  # of the table of directional albedo


def exponent_from_roughness(roughness: Tensor) -> Tensor:
    r"""Blinn-Phong exponent of like width: :math:`s = 2 / \alpha^2 - 2`, alpha = roughness^2.

    Walter et al. 2007, section 5.2 (for the Beckmann distribution, whose peak GGX shares);
    alpha as the square is Burley's, SIGGRAPH 2012 course.
    """
    return 2 / roughness**4 - 2


def roughness_from_exponent(exponent: Tensor) -> Tensor:
    """The inverse of `exponent_from_roughness`, in (0, 1] for exponents of 0 and more."""
    return (2 / (exponent + 2)) ** 0.25


def fresnel(f0: Tensor, cos_view_half: Tensor) -> Tensor:
    r""":math:`F_0 + (1 - F_0)(1 - v \cdot h)^5`; Schlick 1994, doi:10.1111/1467-8659.1330233."""
    return f0 + (1 - f0) * (1 - cos_view_half).clamp(min=0) ** 5


def distribution(cos_half: Tensor, alpha: Tensor) -> Tensor:
    """GGX's density of microfacets [1/sr]; Walter et al., EGSR 2007, equation 33."""
    squared = alpha.square()
    return squared / (math.pi * (cos_half.square() * (squared - 1) + 1).square())


def visibility(cos_light: Tensor, cos_view: Tensor, alpha: Tensor) -> Tensor:
    r"""Height-correlated Smith masking and shadowing over :math:`4 (n \cdot l)(n \cdot v)`.

    Heitz, "Understanding the Masking-Shadowing Function", JCGT 3(2), 2014, equation 99, in the
    form of Lagarde and de Rousiers, SIGGRAPH 2014 course.
    """
    squared = alpha.square()
    view = cos_light * (cos_view.square() * (1 - squared) + squared).sqrt()
    light = cos_view * (cos_light.square() * (1 - squared) + squared).sqrt()
    return 0.5 / (view + light).clamp(min=1e-6)


def specular_lobe(
    cos_light: Tensor,
    cos_view: Tensor,
    cos_half: Tensor,
    cos_view_half: Tensor,
    f0: Tensor,
    roughness: Tensor,
    *,
    with_fresnel: bool = True,
) -> Tensor:
    r"""What GGX returns of a light of colour 1: :math:`\pi D V F \max(0, n \cdot l)`.

    Args:
        cos_light: :math:`n \cdot l` with specular normals, ``(B, 1, H, W)``.
        cos_view: :math:`n \cdot v`, likewise.
        cos_half: :math:`n \cdot h`, likewise.
        cos_view_half: :math:`v \cdot h`, likewise, at least 0.
        f0: Reflectance at normal incidence, linear; skin's is near 0.03.
        roughness: In (0, 1], alpha is its square; broadcastable to ``(B, 1, H, W)``.
        with_fresnel: False leaves ``f0`` at all angles, to compare with lobes that have none.

    Returns:
        ``(B, 1, H, W)``; zero where light or view is below the horizon.
    """
    alpha = roughness.square()
    seen = cos_view > 0
    cos_light = cos_light.clamp(min=0)
    lobe = distribution(cos_half, alpha) * visibility(cos_light, cos_view.clamp(min=0), alpha)
    share = fresnel(f0, cos_view_half) if with_fresnel else f0
    return seen * math.pi * lobe * share * cos_light


def directional_albedo(cos_view: Tensor, f0: Tensor, roughness: Tensor) -> Tensor:
    r"""What GGX reflects of constant radiance 1 around, ``(B, 1, H, W)``: :math:`F_0 A + B`.

    The split sum of Karis, "Real Shading in Unreal Engine 4", SIGGRAPH 2013 course; read
    bilinearly from a table of 32 x 32, within 0.01 of the integral for roughness from 0.2.
    Zero where the view is below the horizon.
    """
    cos_view, roughness = torch.broadcast_tensors(cos_view, roughness)
    table = _albedo_table().to(cos_view)
    # Cells are centred: their first centre lies half a cell within.
    grid = torch.cat((2 * roughness - 1, 2 * cos_view.clamp(0, 1) - 1), dim=1).permute(0, 2, 3, 1)
    table = table.expand(len(grid), -1, -1, -1)
    scale, offset = F.grid_sample(
        table, grid, padding_mode="border", align_corners=False
    ).split(1, dim=1)  # fmt: skip
    return (cos_view > 0) * (f0 * scale + offset)


@functools.cache
@torch.inference_mode(False)  # kept, and so fit for gradients whoever asks first
def _albedo_table() -> Tensor:
    """A and B ``(1, 2, cos_view, roughness)``, by half vectors drawn from the distribution."""
    grid = (torch.arange(_CELLS, dtype=torch.float64) + 0.5) / _CELLS
    samples = (torch.arange(_SAMPLES, dtype=torch.float64) + 0.5) / _SAMPLES
    cos_view = grid[:, None, None, None]
    alpha = grid[None, :, None, None].square()
    share, azimuth = samples[:, None], 2 * math.pi * samples
    cos_half = ((1 - share) / (1 + (alpha.square() - 1) * share)).sqrt()
    across = ((1 - cos_half.square()) * (1 - cos_view.square())).sqrt()
    cos_view_half = across * azimuth.cos() + cos_half * cos_view
    cos_light = 2 * cos_view_half * cos_half - cos_view
    lit = (cos_light > 0) & (cos_view_half > 0)
    shadowed = visibility(cos_light.clamp(min=0), cos_view, alpha)
    weight = lit * 4 * shadowed * cos_light * cos_view_half / cos_half
    grazing = (1 - cos_view_half.clamp(0, 1)) ** 5
    parts = weight * (1 - grazing), weight * grazing
    return torch.stack([part.mean(dim=(-2, -1)) for part in parts])[None]
