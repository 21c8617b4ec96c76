r"""The light on a whole face as one small map: what it multiplies the albedo by, at any size.

For each place on the face, the harmonics (`realface.shading.harmonics.basis`) of the irradiance
that it would have at every normal, per colour channel:

.. math:: s_c(x) = \sum_k \ell_{ck}(x) \, Y_k(n(x))

Light that reaches a place changes slowly over a face, so a small map of it can be enlarged; normals
are those of the full-size map, so shading keeps its creases. A gain, such as a camera's exposure or
white balance, multiplies all nine of a channel.
"""

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.shading import harmonics

LIGHT_CHANNELS = 27
"""Nine coefficients of red, then of green, then of blue."""

DARKEST = 0.004
"""Linear light below which nothing is told from noise: a level of eight bits in sRGB."""

_KNEE = 0.05
"""Of the irradiance over its mean over all normals: below, it is bent to stay positive, since nine
harmonics ring opposite a lamp."""


def even_light(like: Tensor) -> Tensor:
    """Light whose shading is 1 for every normal, of the shape of a light ``(B, 27, H, W)``."""
    light = torch.zeros_like(like).unflatten(1, (3, 9))
    light[:, :, 0] = 1 / harmonics.Y0
    return light.flatten(1, 2)


def log_shading(light: Tensor, normals: Tensor) -> Tensor:
    """Natural logarithm of the shading, ``(B, 3, H, W)``.

    Args:
        light: Coefficients ``(B, 27, H, W)``, those of the constants positive.
        normals: Unit, object space, ``(B, 3, H, W)``.
    """
    coefficients = light.unflatten(1, (3, 9))
    mean = (coefficients[:, :, 0] * harmonics.Y0).clamp(min=1e-6)
    irradiance = torch.einsum("bckhw,bkhw->bchw", coefficients, harmonics.basis(normals))
    share = irradiance / mean
    bent = (share + (share.square() + 4 * _KNEE**2).sqrt()) / 2
    return (mean * bent).log()


def delit(texture: Tensor, log_shading: Tensor) -> Tensor:
    """The texture with the shading divided out, sRGB in [0, 1], ``(B, 3, H, W)``.

    A division knows no highlights, which are added light, and brings nothing back that was
    clipped; it also leaves one gain for each channel open.

    Args:
        texture: SRGB, in [0, 1], ``(B, 3, H, W)``.
        log_shading: Of it, likewise.
    """
    return linear_to_srgb((srgb_to_linear(texture) * (-log_shading).exp()).clamp(0, 1))


def true_log_shading(texture: Tensor, albedo: Tensor) -> Tensor:
    """What ``log_shading`` should have been, ``(B, 3, H, W)``; both maps in sRGB."""
    lit, unlit = (srgb_to_linear(one).clamp(min=DARKEST) for one in (texture, albedo))
    return (lit / unlit).log()
