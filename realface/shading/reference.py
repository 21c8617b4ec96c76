r"""pytorch3d-me's numbers, for people who compare with AvatarMe++.

What its released shader computes (Lattas et al., "AvatarMe++", TPAMI 2021,
doi:10.1109/TPAMI.2021.3125598; github.com/lattas/pytorch3d-me), with its defects left out: its
occlusion maps were never sampled, and its tangent mode changed the diffuse normals too.

How it differs from `shade`:

- Stored values are shaded as they are: sRGB albedo is taken for linear, and the result is shown as
  it is. No light is converted either.
- Occlusion dims the lamps, diffuse and specular, and not the ambient light.
- Only the mean of the surroundings counts, as ambient light, and it has no highlight.
- Scattering blurs the lit albedo, pores included, by one 43 x 43 kernel whatever the size of a
  texel (1.4 mm at 6144 x 4096), for 40, 10 and 3.5 % of red, green and blue times the
  translucency, brightened by 1.3. It crosses the mask.
- The shininess without a map is 64 / 255, an exponent of 3.5.
- The result is clamped to [0, 1], where gradients end.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.maps.encoding import unit
from realface.shading.blinn_phong import exponent_from_shininess, specular_lobe
from realface.shading.lights import Lights

_SHININESS_WITHOUT_MAP = 64 / 255
_RADIUS, _SIGMA = 21, 20.0  # texels; the exponent is (x / (2 sigma))^2, without a half
_WEIGHTS = (0.4, 0.1, 0.035)  # share of red, green and blue that is blurred
_GAIN = 1.3


def reference_texture(maps: dict[str, Tensor], lights: Lights, view: Tensor) -> Tensor:
    r"""A lit texture by pytorch3d-me's formulas.

    :math:`E = \sum_j c_j \max(0, n_d \cdot l_j)`, :math:`S = \sum_j c_j [n_s \cdot l_j > 0] \max(0,
    n_s \cdot h_j)^{140^g}`, :math:`D = (b + o E) a_d`, :math:`D' = 1.3\,t w\,(G * D) + (1 - t w) D`
    and the result :math:`\mathrm{clamp}(D' + o S a_s, 0, 1)`.

    Args:
        maps: As `lit_texture`'s. Without ``occlusion`` o = 1, without ``translucency`` t = 0.
        lights: Of the batch; the band 0 of their harmonics is the ambient light b.
        view: Unit vectors from the surface to the camera, ``(B, 3, H, W)``.

    Returns:
        ``(B, 3, H, W)`` in [0, 1], encoded as the albedo is.
    """
    albedo, shape = maps["diffuse_albedo"], maps["shape"]
    occlusion = maps.get("occlusion", torch.ones_like(shape[:, :1]))
    shininess = maps.get("exponent", torch.full_like(shape[:, :1], _SHININESS_WITHOUT_MAP))
    irradiance, highlights = torch.zeros_like(albedo), torch.zeros_like(albedo)
    for place, colour in zip(lights.positions.unbind(1), lights.colours.unbind(1), strict=True):
        place, colour = place[..., None, None], colour[..., None, None]
        light = unit(place[:, :3] - place[:, 3:] * shape)
        lobe = specular_lobe(
            (maps["specular_normals"] * light).sum(dim=1, keepdim=True),
            (maps["specular_normals"] * unit(light + view)).sum(dim=1, keepdim=True),
            exponent_from_shininess(shininess),
        )
        cosine = (maps["diffuse_normals"] * light).sum(dim=1, keepdim=True).clamp(min=0)
        irradiance = irradiance + colour * cosine
        highlights = highlights + colour * lobe
    ambient = lights.harmonics[:, 0, :, None, None] / math.sqrt(4 * math.pi)
    diffuse = (ambient + occlusion * irradiance) * albedo
    if "translucency" in maps:
        share = maps["translucency"] * diffuse.new_tensor(_WEIGHTS).view(1, 3, 1, 1)
        diffuse = _GAIN * share * _blurred(diffuse) + (1 - share) * diffuse
    return (diffuse + occlusion * maps["specular_albedo"] * highlights).clamp(0, 1)


def _blurred(values: Tensor) -> Tensor:
    """A Gaussian of 28 texels cut off at 21, along rows and columns; edges are replicated."""
    taps = torch.arange(-_RADIUS, _RADIUS + 1, dtype=values.dtype, device=values.device)
    kernel = torch.exp(-((taps / (2 * _SIGMA)) ** 2))
    kernel = (kernel / kernel.sum()).expand(values.shape[1], 1, 1, -1)
    padded = F.pad(values, (_RADIUS, _RADIUS, _RADIUS, _RADIUS), mode="replicate")
    rows = F.conv2d(padded, kernel, groups=values.shape[1])
    return F.conv2d(rows, kernel.transpose(-1, -2), groups=values.shape[1])
