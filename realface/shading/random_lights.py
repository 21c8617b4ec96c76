"""Random lights to train under: AvatarMe++'s studio, and a wide mix of rooms, skies and lamps."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.maps.encoding import xyz_to_linear
from realface.shading import harmonics
from realface.shading.exposure import scaled, white_card
from realface.shading.lights import Lights, point_lights

# Around the head, relative to the median of its surface; a studio's key, fill and rim-from-top.
_KEY_FILL_TOP = ((-500.0, 300.0, 700.0), (600.0, 0.0, 600.0), (0.0, 800.0, 400.0))
_INTENSITY = (0.60, 0.30, 0.25)

_LOBES = 4
"""Broad sources of an environment: windows, walls, sky, ground."""

_LAMPS = 3
"""Small sources: the sun, bulbs, softboxes; each is off in some draws."""


def studio_lights(
    batch: int,
    *,
    spread: float = 0.35,
    tint: float = 0.15,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Lights:
    r"""Three point lights and ambient light, scattered around a studio set-up.

    AvatarMe lights its training textures with three perturbed point lights and an environment
    (CVPR 2020), AvatarMe++ draws :math:`L_i \sim \mathcal N(L_d, \sigma)` (TPAMI 2021). The
    set-up :math:`L_d` and the numbers are ours.

    Args:
        batch: Number of light sets.
        spread: Standard deviation of directions, as a share of their length, and of the logarithm
            of distance and intensity: no lamp ends up inside the head.
        tint: Standard deviation of the logarithm of each colour channel.
        device: Where the tensors live.
        generator: Of random numbers, on ``device``; None for torch's own.
    """
    centre = torch.tensor(_KEY_FILL_TOP, device=device)
    count = len(_KEY_FILL_TOP)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, device=device, generator=generator)

    distance = centre.norm(dim=1, keepdim=True)
    directions = F.normalize(centre / distance + spread * normal(count, 3), dim=2)
    positions = directions * distance * torch.exp(spread * normal(count, 1))
    intensity = torch.tensor(_INTENSITY, device=device).view(1, count, 1)
    colours = intensity * torch.exp(spread * normal(count, 1) + tint * normal(count, 3))
    ambient = 0.25 * torch.exp(spread * normal(1) + tint * normal(3))
    return point_lights(positions, colours, ambient)


def varied_lights(
    batch: int,
    *,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Lights:
    """Rooms, skies and lamps: the default for training; the mix and its numbers are ours.

    An environment of constant radiance and four broad coloured lobes, as spherical harmonics, so
    that the channels' first- and second-order terms differ as they do between a lamp and a
    window; three lamps from the sun's half degree to a softbox, near or far, some of them off;
    white balance that follows the mean colour only in part; exposure that clips some draws.

    Args:
        batch: Number of light sets.
        device: Where the tensors live.
        generator: Of random numbers, on ``device``; None for torch's own.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, device=device, generator=generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, device=device, generator=generator)

    usual = 110 + 270 * uniform(1)  # in mireds, in which steps look even: blue sky to bulb

    def colour(count: int) -> Tensor:  # sources of one place are alike, but for some
        mired = (usual + 80 * normal(count)).clamp(80, 480)
        return planckian(1e6 / mired) * torch.exp(0.12 * normal(count, 3))

    up = torch.tensor((0.0, 0.35, 0.25), device=device)  # rooms and skies are lit from above
    lobes = F.normalize(normal(_LOBES, 3) + up, dim=2)
    strength = torch.exp(0.8 * normal(_LOBES, 1)) * (uniform(_LOBES, 1) < 0.75)
    radiance = strength * colour(_LOBES)
    concentration = 1.2 * torch.exp(math.log(15.0) * uniform(_LOBES, 1))
    around = 0.05 + 0.6 * uniform(1)
    sh = harmonics.constant(around * colour(1)[:, 0])
    sh = sh + (lobe_harmonics(lobes, concentration)[..., None] * radiance[:, :, None]).sum(1)

    lamps = F.normalize(normal(_LAMPS, 3) + torch.tensor((0.0, 0.4, 0.9), device=device), dim=2)
    far = uniform(_LAMPS, 1) < 0.5
    distance = 350.0 * torch.exp(math.log(6.0) * uniform(_LAMPS, 1))  # mm
    positions = torch.cat((torch.where(far, lamps, lamps * distance), (~far).float()), dim=2)
    on = uniform(_LAMPS, 1) < 0.55
    colours = on * torch.exp(0.7 * normal(_LAMPS, 1)) * colour(_LAMPS)
    radii = 0.005 * torch.exp(math.log(60.0) * uniform(_LAMPS))  # rad; the sun's is 0.0047

    share = 0.06 + 0.94 * uniform(1) ** 1.5  # of the environment, against the lamps
    lights = Lights(positions, colours, radii, share[..., None] * sh)
    card = white_card(lights) + 1e-3
    grey = card.mean(dim=1, keepdim=True)
    balance = (grey / card) ** (0.55 + 0.45 * uniform(1))
    level = torch.exp2(0.55 * normal(1).clamp(-2, 2) - 0.15)
    return scaled(lights, balance * level / grey)


def lobe_harmonics(directions: Tensor, concentration: Tensor) -> Tensor:
    r"""Harmonics of a von Mises-Fisher lobe whose mean radiance over the sphere is one.

    Its band-1 factor is :math:`\coth\kappa - 1/\kappa` and its band-2 factor
    :math:`1 - 3 A_1 / \kappa` (Mardia and Jupp, "Directional Statistics", 2000, section 9.3.2).

    Args:
        directions: Unit vectors, ``(B, K, 3)``.
        concentration: :math:`\kappa > 0`, ``(B, K, 1)``.

    Returns:
        ``(B, K, 9)``.
    """
    first = 1 / torch.tanh(concentration) - 1 / concentration
    second = 1 - 3 * first / concentration
    factors = torch.cat(
        (torch.ones_like(first), first.expand(-1, -1, 3), second.expand(-1, -1, 5)), dim=2
    )
    basis = harmonics.basis(directions.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
    return 4 * math.pi * factors * basis


def planckian(kelvin: Tensor) -> Tensor:
    """Linear sRGB colour of a black body, of luminance one; negative channels are raised to 0.01.

    Kim et al., US patent 7024034 (2006): cubic splines of the Planckian locus, 1667 to 25000 K.

    Args:
        kelvin: Any shape.

    Returns:
        One dimension more: ``(..., 3)``.
    """
    t = 1000 / kelvin
    warm = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
    cold = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
    x = torch.where(kelvin < 4000, warm, cold)
    candle = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    bulb = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    daylight = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    y = torch.where(kelvin < 2222, candle, torch.where(kelvin < 4000, bulb, daylight))
    xyz = torch.stack((x / y, torch.ones_like(x), (1 - x - y) / y), dim=-1)
    return xyz_to_linear(xyz).clamp(min=0.01)
