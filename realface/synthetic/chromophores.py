r"""Colour of skin from what absorbs and scatters in it, over the visible spectrum.

Three layers seen from outside: the boundary to air, the epidermis with its melanin, and a dermis
of endless depth with its blood. Each layer is Kubelka and Munk's (Kubelka, "New contributions to
the optics of intensely light-scattering materials", 1948, doi:10.1364/JOSA.38.000448) with
:math:`K = 2\mu_a` and :math:`S = \tfrac34\mu_s'`; the boundary is Saunderson's correction (1942,
doi:10.1364/JOSA.32.000727). What varies from face to face and place to place is what Donner and
Jensen ("A spectral BSSRDF for shading human skin", EGSR 2006) and Jimenez et al. ("A practical
appearance model for dynamic facial color", 2010, doi:10.1145/1866158.1866167) vary: melanin and
its kind, the depth of the blood, its amount and its oxygen.

The spectrum is reduced to linear sRGB under D65 in a table over melanin, blood and oxygenation,
one table a subject, which is read at every texel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from realface.maps.encoding import xyz_to_linear

MELANIN = (0.004, 0.60)
"""Range of the share of the epidermis that is melanosomes: 1.3 % in the fairest skin, 43 % in the
darkest (Jacques, "Skin optics", Oregon Medical Laser Center News, 1998), and room for moles."""

BLOOD = (0.0005, 0.15)
"""Range of the share of the dermis that is blood: about 0.2 % to 7 %; lips and moles have more."""

OXYGENATION = (0.2, 1.0)
"""Range of the share of haemoglobin that carries oxygen: 0.98 in arteries, about 0.5 in veins."""

_SIDES = (24, 20, 6)  # of the table; trilinear reading is then within half an 8-bit level

_WAVELENGTHS = tuple(float(nanometres) for nanometres in range(400, 701, 10))

# Molar extinction [1/(cm M)] of haemoglobin with and without oxygen, every 10 nm from 400: Prahl's
# compilation of Gratzer's and Kollias's data (omlc.org/spectra/hemoglobin, 1998).
_WITH_OXYGEN = (
    *(266232, 466840, 480360, 246072, 102580, 62816, 44480, 33209, 26629, 23684),
    *(20933, 20035, 24202, 39957, 53236, 43016, 32613, 44496, 50104, 14401),
    *(3200, 1506, 942, 610, 442, 368, 320, 294, 277, 276, 290),
)
_WITHOUT_OXYGEN = (
    *(223296, 303956, 407560, 528600, 413280, 103292, 23389, 16156, 14550, 16684),
    *(20862, 25774, 31590, 39036, 46592, 53412, 53788, 45072, 37020, 28324),
    *(14677, 9444, 6510, 5149, 4345, 3750, 3227, 2795, 2408, 2052, 1794),
)
_BLOOD_PER_EXTINCTION = 2.303 * 150 / 64500
"""[M]: whole blood holds 150 g/l of haemoglobin of 64500 g/mol; 2.303 is ln 10."""

_D65 = (
    *(82.75, 91.49, 93.43, 86.68, 104.87, 117.01, 117.81, 114.86, 115.92, 108.81),
    *(109.35, 107.80, 104.79, 107.69, 104.41, 104.05, 100.00, 96.33, 95.79, 88.69),
    *(90.01, 89.60, 87.70, 83.29, 83.70, 80.03, 80.21, 82.28, 78.28, 69.72, 71.61),
)
"""Relative power of daylight every 10 nm from 400 (CIE 15)."""

_REFRACTION = 1.4
"""Index of skin; sets what its boundary sends back."""


def skin_table(depth: Tensor, pheomelanin: Tensor, carotene: Tensor) -> Tensor:
    """Linear reflectance of skin over melanin, blood and oxygenation: one table a subject.

    Args:
        depth: Thickness of the epidermis, which lies above the blood [mm], ``(B,)``; about 0.06
            to 0.1 on a face.
        pheomelanin: Share of the red kind among the melanin, ``(B,)`` in [0, 1].
        carotene: Absorption of carotene and bilirubin at its peak [1/mm], ``(B,)``; 0 to about 1.

    Returns:
        Linear sRGB under D65, ``(B, 3, oxygenation, blood, melanin)``; the axes are the module's
        ranges, the two amounts in equal ratios.
    """
    melanin, blood, oxygenation = (
        _axis(*limits, side, depth)
        for limits, side in zip((MELANIN, BLOOD, OXYGENATION), _SIDES, strict=True)
    )
    nanometres = depth.new_tensor(_WAVELENGTHS)
    pigment = _epidermis(nanometres, melanin, pheomelanin, carotene)  # (B, melanin, 1, 1, w)
    flesh = _dermis(nanometres, blood[:, None], oxygenation)  # (blood, oxygenation, w)
    scatter = 0.75 * _scattering(nanometres)
    above, through = _layer(2 * pigment, scatter, depth.view(-1, 1, 1, 1, 1))
    ratio = 2 * flesh / scatter
    below = 1 + ratio - torch.sqrt(ratio * (ratio + 2))
    reflected = above + through**2 * below / (1 - above * below)
    return _linear_srgb(_through_boundary(reflected)).permute(0, 4, 3, 2, 1)


def read_table(table: Tensor, melanin: Tensor, blood: Tensor, oxygenation: Tensor) -> Tensor:
    """Linear reflectance ``(B, 3, h, w)`` of skin; amounts beyond the table take its edge.

    Args:
        table: Of `skin_table`.
        melanin: Share of the epidermis, ``(B, h, w)``.
        blood: Share of the dermis, ``(B, h, w)``.
        oxygenation: Share of the haemoglobin, ``(B, h, w)``.
    """
    low, high = OXYGENATION
    place = (
        _ratio_place(melanin, *MELANIN),
        _ratio_place(blood, *BLOOD),
        (oxygenation - low) / (high - low),
    )
    grid = 2 * torch.stack(place, dim=-1)[:, None] - 1
    read = torch.nn.functional.grid_sample(
        table, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return read[:, :, 0]


def _axis(low: float, high: float, side: int, like: Tensor) -> Tensor:
    """Values along one axis of the table: equal steps up to one, else equal ratios."""
    steps = torch.linspace(0, 1, side, dtype=like.dtype, device=like.device)
    return low + (high - low) * steps if high == 1 else low * (high / low) ** steps


def _ratio_place(amount: Tensor, low: float, high: float) -> Tensor:
    return torch.log(amount.clamp(min=low) / low) / math.log(high / low)


def _epidermis(
    nanometres: Tensor, melanin: Tensor, pheomelanin: Tensor, carotene: Tensor
) -> Tensor:
    """Absorption [1/mm], ``(B, melanin, 1, 1, wavelengths)``.

    Melanosomes as Donner and Jensen give them (section 5), after Jacques; carotene as one band
    around 465 nm (Alaluf et al., "The impact of epidermal melanin on objective measurements of
    human skin colour", 2002, doi:10.1034/j.1600-0749.2002.1o072.x).
    """
    red = pheomelanin.view(-1, 1, 1, 1, 1)
    pigment = (1 - red) * 6.6e10 * nanometres**-3.33 + red * 2.9e14 * nanometres**-4.75
    band = torch.exp(-(((nanometres - 465) / 35) ** 2))
    share = melanin.view(1, -1, 1, 1, 1)
    yellow = carotene.view(-1, 1, 1, 1, 1) * band
    return share * pigment + (1 - share) * _tissue(nanometres) + yellow


def _dermis(nanometres: Tensor, blood: Tensor, oxygenation: Tensor) -> Tensor:
    """Absorption [1/mm], ``(blood, oxygenation, wavelengths)``."""
    red = oxygenation[:, None] * nanometres.new_tensor(_WITH_OXYGEN)
    blue = (1 - oxygenation[:, None]) * nanometres.new_tensor(_WITHOUT_OXYGEN)
    whole = 0.1 * _BLOOD_PER_EXTINCTION * (red + blue)
    return blood[..., None] * whole + (1 - blood[..., None]) * _tissue(nanometres)


def _tissue(nanometres: Tensor) -> Tensor:
    """Absorption of skin without pigment [1/mm] (Saidi 1992, as Jacques 1998 gives it)."""
    return 0.0244 + 8.53 * torch.exp(-(nanometres - 154) / 66.2)


def _scattering(nanometres: Tensor) -> Tensor:
    """Reduced scattering [1/mm]: Mie's and Rayleigh's shares (Jacques 1998)."""
    return 2e4 * nanometres**-1.5 + 2e11 * nanometres**-4


def _layer(absorb: Tensor, scatter: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Reflectance and transmittance of a layer, Kubelka 1948, equations 20 and 21."""
    a = 1 + absorb / scatter
    b = torch.sqrt(a * a - 1)
    reach = b * scatter * depth
    sinh, cosh = torch.sinh(reach), torch.cosh(reach)
    whole = a * sinh + b * cosh
    return sinh / whole, b / whole


def _through_boundary(inside: Tensor) -> Tensor:
    """Reflectance seen from air, without the surface's own: Saunderson's correction.

    The share that the boundary sends back inside is Egan and Hilgeman's fit (1973), as Jensen et
    al. use it ("A practical model for subsurface light transport", 2001).
    """
    n = _REFRACTION
    back = -1.440 / n**2 + 0.710 / n + 0.668 + 0.0636 * n
    enters = 1 - ((n - 1) / (n + 1)) ** 2
    return enters * (1 - back) * inside / (1 - back * inside)


def _linear_srgb(spectrum: Tensor) -> Tensor:
    """Linear sRGB ``(..., 3)`` of reflectance ``(..., wavelengths)`` under D65; white is 1.

    Colour matching functions as sums of Gaussians (Wyman, Sloan and Shirley, "Simple analytic
    approximations to the CIE XYZ color matching functions", JCGT 2(2), 2013).
    """
    nanometres = spectrum.new_tensor(_WAVELENGTHS)

    def lobe(height: float, peak: float, below: float, above: float) -> Tensor:
        away = nanometres - peak
        return height * torch.exp(-0.5 * (away / torch.where(away < 0, below, above)) ** 2)

    x = lobe(1.056, 599.8, 37.9, 31.0) + lobe(0.362, 442.0, 16.0, 26.7)
    x = x + lobe(-0.065, 501.1, 20.4, 26.2)
    y = lobe(0.821, 568.8, 46.9, 40.5) + lobe(0.286, 530.9, 16.3, 31.1)
    z = lobe(1.217, 437.0, 11.8, 36.0) + lobe(0.681, 459.0, 26.0, 13.8)
    seen = torch.stack((x, y, z)) * nanometres.new_tensor(_D65)
    weights = xyz_to_linear(seen.T).T
    return (spectrum @ (weights / weights.sum(dim=1, keepdim=True)).T).clamp(min=0)
