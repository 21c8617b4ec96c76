"""The distant light that a surface of known normals was seen under, by least squares."""

import torch
from torch import Tensor

from realface.shading.harmonics import KEPT, basis, irradiance

_RIDGE = 1e-9
"""Of the mean diagonal: normals that do not tell functions apart leave the smallest light."""

_TEXELS_AT_ONCE = 1 << 18  # nine functions of each in float64

_ROUNDS = 10
"""Of reweighting; the weights have settled by then."""

_CAUCHY = 2.385
"""Deviations at which an error counts a half: 95 % as sure as least squares on Gaussian errors."""


def fit_harmonics(returned: Tensor, normals: Tensor, weights: Tensor) -> Tensor:
    r"""Light that explains best what a white Lambertian surface returned.

    :math:`\arg\min_L \sum_x w_x (r_x - irradiance(L, n_x))^2` by channel: the inverse of
    `harmonics.irradiance`, exact where the light has no more than nine harmonics. Of a surface
    of constant albedo it is the light times that albedo.

    Args:
        returned: Irradiance / pi, linear, ``(B, C, H, W)``; read only where it has weight.
        normals: Unit vectors, object space, ``(B, 3, H, W)``.
        weights: Not negative, ``(B, 1, H, W)``; a mask will do.

    Returns:
        Harmonics of the radiance ``(B, 9, C)``, the type of ``returned``; 0 where no texel has
        weight.

    Raises:
        ValueError: If the shapes do not fit.
    """
    batch, channels, height, width = returned.shape
    if normals.shape != (batch, 3, height, width) or weights.shape != (batch, 1, height, width):
        raise ValueError(
            f"returned {tuple(returned.shape)}, normals {tuple(normals.shape)} and weights "
            f"{tuple(weights.shape)} must be (B, C, H, W), (B, 3, H, W) and (B, 1, H, W)"
        )
    gram = returned.new_zeros(batch, 9, 9, dtype=torch.float64)
    moments = returned.new_zeros(batch, 9, channels, dtype=torch.float64)
    rows = max(1, _TEXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        share = weights[:, :, strip].double()
        values = torch.where(share > 0, returned[:, :, strip].double(), 0)
        functions = basis(torch.where(share > 0, normals[:, :, strip].double(), 0))
        weighted = functions * share
        gram += torch.einsum("bihw,bjhw->bij", weighted, functions)
        moments += torch.einsum("bihw,bchw->bic", weighted, values)
    ridge = _RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-30)
    eye = torch.eye(9, dtype=torch.float64, device=returned.device)
    reflected = torch.linalg.solve(gram + ridge[:, None, None] * eye, moments)
    return (reflected / reflected.new_tensor(KEPT)[:, None]).to(returned.dtype)


def fit_harmonics_robustly(returned: Tensor, normals: Tensor, weights: Tensor) -> Tensor:
    r"""`fit_harmonics` with little heed to texels that it cannot explain: shadows, brows, glints.

    Least squares reweighted ten times by Cauchy's :math:`1 / (1 + (e / 2.385 s)^2)` (Holland and
    Welsch, "Robust regression using iteratively reweighted least-squares", 1977,
    doi:10.1080/03610927708827533), e the distance of colours and s their median deviation.

    Args:
        returned: As `fit_harmonics`.
        normals: Likewise.
        weights: Likewise.

    Returns:
        As `fit_harmonics`.
    """
    trust = weights
    for _ in range(_ROUNDS):
        light = fit_harmonics(returned, normals, trust)
        gap = (returned - irradiance(light, normals)).square().sum(1, keepdim=True).sqrt()
        trust, _ = reweighted(gap, weights)
    return fit_harmonics(returned, normals, trust)


def reweighted(gap: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Cauchy's weights of a round of `fit_harmonics_robustly`.

    Args:
        gap: Distances from what was fitted, ``(B, 1, ...)``; read only where they have weight.
        weights: Not negative, likewise.

    Returns:
        The weights over what distance takes of them, likewise, and the distances' median deviation
        ``(B, 1, ...)``, one for each of the batch.
    """
    gap = torch.where(weights > 0, gap, torch.nan)
    spread = 1.4826 * gap.flatten(1).nanmedian(1).values.nan_to_num()
    spread = spread.view(-1, *(1 for _ in gap.shape[1:]))
    relative = gap.nan_to_num() / (_CAUCHY * spread).clamp(min=1e-12)
    return weights / (1 + relative.square()), spread
