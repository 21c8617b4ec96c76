r"""Distant light as real spherical harmonics to order 2.

Nine coefficients a colour channel, ``(B, 9, 3)``, on the orthonormal basis
:math:`Y_{00}, Y_{1-1}, Y_{10}, Y_{11}, Y_{2-2}, \dots, Y_{22}` in its polynomial form over object
axes, without the Condon-Shortley sign: 0.282095; 0.488603 (y, z, x); 1.092548 (xy, yz), 0.315392
(3 z z - 1), 1.092548 xz, 0.546274 (xx - yy), as in Ramamoorthi and Hanrahan, "An Efficient
Representation for Irradiance Environment Maps", SIGGRAPH 2001, doi:10.1145/383259.383317.
"""

import math

import torch
from torch import Tensor

from realface.shading import latlong

Y0 = math.sqrt(1 / (4 * math.pi))
_Y1 = math.sqrt(3 / (4 * math.pi))
_XY = math.sqrt(15 / (4 * math.pi))  # also yz and xz
_ZZ = math.sqrt(5 / (16 * math.pi))
_XX = math.sqrt(15 / (16 * math.pi))
_Y2 = (_XY, _XY, _ZZ, _XY, _XX)

KEPT = (1.0, *3 * (2 / 3,), *5 * (1 / 4,))
"""Shares of the bands that a Lambertian surface returns, of irradiance / pi; of the higher bands
next to nothing (Ramamoorthi and Hanrahan 2001, equation 8)."""


def basis(directions: Tensor) -> Tensor:
    """The nine functions ``(..., 9, H, W)`` at unit vectors ``(..., 3, H, W)``."""
    x, y, z = directions.unbind(dim=-3)
    first = torch.stack((torch.full_like(x, Y0), _Y1 * y, _Y1 * z, _Y1 * x), dim=-3)
    second = directions.new_tensor(_Y2).view(5, 1, 1) * _second_band(directions)
    return torch.cat((first, second), dim=-3)


def _second_band(directions: Tensor) -> Tensor:
    """The polynomials of the second band without their factors, ``(..., 5, H, W)``."""
    x, y, z = directions.unbind(dim=-3)
    return torch.stack((x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y), dim=-3)


def _bands(harmonics: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each band's radiance at directions: ``(B, 3, 1, 1)``, twice ``(B, 3, H, W)``.

    Faster than a sum over `basis` by a third, which is what shading the surroundings costs most.
    """
    vectors = _Y1 * harmonics[:, [3, 1, 2]]  # x, y, z
    forms = harmonics.new_tensor(_Y2)[:, None] * harmonics[:, 4:]
    return (
        Y0 * harmonics[:, 0, :, None, None],
        torch.einsum("bkc,bkhw->bchw", vectors, directions),
        torch.einsum("bkc,bkhw->bchw", forms, _second_band(directions)),
    )


def constant(colour: Tensor) -> Tensor:
    """The harmonics ``(B, 9, 3)`` of the same radiance ``(B, 3)`` from everywhere."""
    return torch.cat(
        (colour[:, None] / Y0, colour.new_zeros(len(colour), 8, colour.shape[1])), dim=1
    )


def project(radiance: Tensor) -> Tensor:
    """The harmonics ``(B, 9, C)`` of latitude-longitude maps ``(B, C, h, w)``.

    Each texel weighs its solid angle; `latlong` gives the convention.
    """
    height, width = radiance.shape[-2:]
    weights = basis(latlong.directions(height, width, radiance))
    weights = weights * latlong.solid_angles(height, width, radiance)
    return torch.einsum("bchw,khw->bkc", radiance, weights)


def irradiance(harmonics: Tensor, normals: Tensor) -> Tensor:
    """What a white Lambertian surface returns: irradiance / pi.

    The cosine lobe keeps 1, 2/3 and 1/4 of the bands 0, 1 and 2, and nearly nothing of the
    rest (Ramamoorthi and Hanrahan 2001, equation 8; about 1 % off on average, 9 % at worst).

    Args:
        harmonics: Of the radiance, ``(B, 9, 3)``.
        normals: Unit vectors ``(B, 3, H, W)``.

    Returns:
        ``(B, 3, H, W)``; constant radiance returns itself. May be slightly negative opposite a
        strong light, where nine numbers ring.
    """
    kept = harmonics.new_tensor(KEPT)
    zeroth, first, second = _bands(harmonics * kept[:, None], normals)
    return zeroth + first + second


def lobe(harmonics: Tensor, directions: Tensor, exponent: Tensor) -> Tensor:
    r"""Mean radiance under a Blinn-Phong lobe seen head-on.

    At a view along the normal the lobe is :math:`(n \cdot h)^s = \cos^s(\theta / 2)`, with
    :math:`\theta` the angle to the mirrored view. Its Legendre moments are the share that it keeps
    of each band, exact over the whole sphere: 1, :math:`s / (s + 4)` and
    :math:`s (s - 2) / ((s + 4) (s + 6))`.

    Args:
        harmonics: Of the radiance, ``(B, 9, 3)``.
        directions: Mirrored views, unit vectors ``(B, 3, H, W)``.
        exponent: :math:`s`, broadcastable to ``(B, 1, H, W)``.

    Returns:
        ``(B, 3, H, W)``; constant radiance returns itself.
    """
    zeroth, first, second = _bands(harmonics, directions)
    share = exponent / (exponent + 4)
    return zeroth + share * (first + (exponent - 2) / (exponent + 6) * second)


def rotate(harmonics: Tensor, matrix: Tensor) -> Tensor:
    """The harmonics of the turned light: what came from ``d`` comes from ``matrix @ d``; exact.

    Band 1 is a vector and band 2 a symmetric matrix without trace; both turn as such.

    Args:
        harmonics: ``(B, 9, 3)``.
        matrix: Orthogonal, ``(3, 3)`` or ``(B, 3, 3)``.
    """
    y, z, x = harmonics[:, 1:4].unbind(1)
    vectors = matrix @ torch.stack((x, y, z), dim=1)  # (B, 3, 3): axis, colour
    xy, yz, zz, xz, xx = harmonics[:, 4:].unbind(1)
    xy, yz, xz, zz, xx = _XY / 2 * xy, _XY / 2 * yz, _XY / 2 * xz, _ZZ * zz, _XX * xx
    rows = (xx - zz, xy, xz, xy, -xx - zz, yz, xz, yz, 2 * zz)
    forms = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))  # (B, colour, 3, 3)
    turn = matrix if matrix.ndim == 2 else matrix[:, None]
    forms = turn @ forms @ turn.mT
    return torch.stack(
        (
            harmonics[:, 0],
            vectors[:, 1],
            vectors[:, 2],
            vectors[:, 0],
            2 / _XY * forms[..., 0, 1],
            2 / _XY * forms[..., 1, 2],
            forms[..., 2, 2] / (2 * _ZZ),
            2 / _XY * forms[..., 0, 2],
            (forms[..., 0, 0] - forms[..., 1, 1]) / (2 * _XX),
        ),
        dim=1,
    )


def mirror(harmonics: Tensor) -> Tensor:
    """The harmonics ``(B, 9, 3)`` of the light with x negated."""
    signs = harmonics.new_tensor((1, 1, 1, -1, -1, 1, 1, -1, 1))
    return harmonics * signs[:, None]
