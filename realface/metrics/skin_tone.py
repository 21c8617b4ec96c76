"""Colour of skin as dermatology reports it: CIELAB and the individual typology angle."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.maps.encoding import srgb_to_linear

_TO_XYZ = (
    (0.4123908, 0.3575843, 0.1804808),
    (0.2126390, 0.7151687, 0.0721923),
    (0.0193308, 0.1191948, 0.9505322),
)
"""Linear sRGB to CIE XYZ under D65 (IEC 61966-2-1, from its primaries and white point)."""

TONES = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -90.0),
)
"""Classes of skin and the least typology angle of each [degrees]: Chardon et al. 1991,
doi:10.1111/j.1467-2494.1991.tb00561.x; brown and dark after Del Bino and Bernerd 2013,
doi:10.1111/bjd.12529."""


def lab(srgb: Tensor) -> Tensor:
    """CIE 1976 L*a*b* of sRGB colours, D65 and 2 degree observer.

    Args:
        srgb: ``(..., 3)`` in [0, 1], sRGB-encoded; channels are last.

    Returns:
        ``(..., 3)``: L* in [0, 100], a* (red positive), b* (yellow positive).
    """
    matrix = torch.tensor(_TO_XYZ, dtype=srgb.dtype, device=srgb.device)
    ratio = srgb_to_linear(srgb) @ matrix.T / matrix.sum(dim=1)
    root = ratio.clamp(min=1e-12) ** (1 / 3)
    f = torch.where(ratio > (6 / 29) ** 3, root, ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.unbind(-1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-1)


def typology_angle(lab: Tensor) -> Tensor:
    r"""Individual typology angle :math:`\arctan((L^* - 50) / b^*)` [degrees].

    Chardon, Cretois and Hourseau, "Skin colour typology and suntanning pathways", 1991,
    doi:10.1111/j.1467-2494.1991.tb00561.x. The lighter the skin, the larger.

    Args:
        lab: ``(..., 3)`` CIELAB, D65; b* positive, as every skin's is.

    Returns:
        ``(...)`` in (-90, 90).
    """
    return torch.rad2deg(torch.atan((lab[..., 0] - 50) / lab[..., 2].clamp(min=1e-6)))


def tone_of(angle: float) -> str:
    """Which of `TONES` a typology angle [degrees] falls into."""
    return next(name for name, least in TONES if angle > least)


def tone_counts(angles: Tensor) -> dict[str, int]:
    """How many typology angles ``(N,)`` [degrees] fall into each of `TONES`."""
    counts, below = {}, 91.0
    for name, least in TONES:
        counts[name] = int(((angles > least) & (angles <= below)).sum())
        below = least
    return counts
