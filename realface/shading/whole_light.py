r"""The light on a whole face as one small map: what it multiplies the albedo by, at any size.

The logarithm of the shading, per colour channel, is the sum of the nine harmonics of the normal
(`realface.shading.harmonics.basis`), each with a coefficient that changes slowly over the face:

.. math:: \log s_c(x) = \sum_k \ell_{ck}(x) \, Y_k(n(x))

Coefficients are smooth, so a small map of them can be enlarged; normals are those of the full-size
map, so shading keeps its creases. In the logarithm shading stays positive, and a gain, such as a
camera's exposure or white balance, is an offset of one coefficient.
"""

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.shading import harmonics

LIGHT_CHANNELS = 27
"""Nine coefficients of red, then of green, then of blue."""

DARKEST = 0.004
"""Linear light below which nothing is told from noise: a level of eight bits in sRGB."""

_FITS = 4
_HUBER = 0.2
"""Of the logarithm's residual; a change of albedo within skin is of this size."""

_RIDGE = 1e-4
"""Against squares of about 0.1."""


def log_shading(light: Tensor, normals: Tensor) -> Tensor:
    """Natural logarithm of the shading, ``(B, 3, H, W)``.

    Args:
        light: Coefficients ``(B, 27, H, W)``.
        normals: Unit, object space, ``(B, 3, H, W)``.
    """
    coefficients = light.unflatten(1, (3, 9))
    return torch.einsum("bckhw,bkhw->bchw", coefficients, harmonics.basis(normals))


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


def fitted_light(texture: Tensor, normals: Tensor, mask: Tensor) -> Tensor:
    """The light that would have made the texture of a face of one albedo, ``(B, 27)``.

    As the texture's mean is the light's, so the albedo's is 1. Clipped and black texels are left
    out; hair, shadows and highlights count for less.

    Args:
        texture: SRGB in [0, 1], ``(B, 3, H, W)``.
        normals: Unit, object space, ``(B, 3, H, W)``.
        mask: Valid texels, ``(B, 1, H, W)``.
    """
    usable = (texture > 0.05) & (texture < 0.99) & (mask > 0.5)
    logarithm = srgb_to_linear(texture).clamp(min=DARKEST).log()
    return least_squares_light(logarithm, normals, usable)


def least_squares_light(log_shading: Tensor, normals: Tensor, usable: Tensor) -> Tensor:
    """The light ``(B, 27)`` whose logarithm of the shading is nearest to a given one.

    Least squares, then again with Huber's weights; with a small ridge, for a map may hold normals
    of one side alone.

    Args:
        log_shading: ``(B, 3, H, W)``.
        normals: Unit, object space, ``(B, 3, H, W)``.
        usable: Of each channel, ``(B, 3, H, W)`` bool.
    """
    functions = harmonics.basis(normals).flatten(2)  # (B, 9, N)
    wanted, usable = log_shading.flatten(2), usable.flatten(2)
    ridge = _RIDGE * torch.eye(9, device=wanted.device, dtype=wanted.dtype)
    weights = usable.to(wanted.dtype)
    for _ in range(_FITS):
        share = weights / weights.sum(-1, keepdim=True).clamp(min=1)
        squares = torch.einsum("bcn,bin,bjn->bcij", share, functions, functions)
        right = torch.einsum("bcn,bin->bci", share * wanted, functions)
        light = torch.linalg.solve(squares + ridge, right)
        off = (wanted - torch.einsum("bci,bin->bcn", light, functions)).abs()
        weights = usable / (off / _HUBER).clamp(min=1)
    return light.flatten(1)
