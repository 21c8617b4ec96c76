"""How much detail a map holds at each scale: variance per octave of wavelength, in millimetres.

Skin's detail is compared by its power spectrum rather than texel by texel: two faces never agree in
a pore, but they should agree in how rough and how spotted they are between 16 and 0.5 mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from realface.maps.encoding import unit

Band = tuple[float, float]
"""Longest and shortest wavelength [mm]; the longest belongs to the band, the shortest does not."""

_FEWEST = 8
"""Frequencies that a band must hold for its variance to mean something."""

_RIM = 1 / 40
"""Deviation of the blur that softens a mask's edge, of the region's height and width."""


def octave_bands(longest: float, count: int) -> list[Band]:
    """``count`` adjoining octaves of wavelength, from ``longest`` [mm] down."""
    return [(longest / 2**i, longest / 2 ** (i + 1)) for i in range(count)]


def band_variance(
    values: Tensor, mask: Tensor, millimetres: tuple[float, float], bands: Sequence[Band]
) -> Tensor:
    r"""Variance of a map within bands of wavelength, averaged over directions.

    With the map v, its weighted plane of best fit p and a taper w (Hann over the region times a
    softened mask), the variance at a frequency f is the periodogram
    :math:`|\mathcal F(w (v - p))|^2 / (N \sum w^2)`, N the number of texels, and a band sums
    the frequencies with :math:`1/long \le \|f\| < 1/short`. By Parseval the bands add up to the
    tapered variance; white noise gives each band its area in the plane of frequencies. The taper
    spreads a line over two frequencies each way: a band's edge is as sharp as the region is large
    (Welch 1967, doi:10.1109/TAU.1967.1161901).

    Args:
        values: A region of a map, ``(B, C, H, W)``, in units of the caller's choice.
        mask: ``(B, 1, H, W)``, 1 where a texel counts; what lies elsewhere is not read.
        millimetres: Distance of rows and of columns on the surface [mm].
        bands: (longest, shortest) wavelengths [mm].

    Returns:
        ``(B, C, len(bands))``: variance in the units of ``values``, squared; NaN for a region
        without a valid texel.

    Raises:
        ValueError: If shapes do not fit, or a band is finer than two texels or too coarse for the
            region.
    """
    batch, _, *size = values.shape
    if tuple(mask.shape) != (batch, 1, *size):
        raise ValueError(f"values {tuple(values.shape)} with a mask {tuple(mask.shape)}")
    frequency = _frequencies(size, millimetres, values.device)
    members = [_members(frequency, band, millimetres) for band in bands]
    wide = torch.promote_types(values.dtype, torch.float32)
    valid = mask > 0.5
    values = torch.where(valid, values.to(wide), 0.0)
    taper = _taper(valid.to(wide))
    flat = (values - _plane(values, taper)) * taper
    power = torch.fft.fft2(flat).abs().square()
    power = power / (size[0] * size[1] * taper.square().sum((2, 3), keepdim=True))
    return torch.stack([(power * inside).sum((2, 3)) for inside in members], dim=-1)


def decibels(measured: Tensor, reference: Tensor) -> Tensor:
    """Ratio of two variances [dB]: 3 dB is twice the variance, 1.41 times the amplitude."""
    return 10 * torch.log10(measured / reference)


def micro_slopes(normals: Tensor, base: Tensor) -> Tensor:
    r"""Slopes of a surface against a smoother one, from the normals of both.

    In the frame (t, b, n) with n the base normal, t the image's x axis laid onto the base and
    :math:`b = n \times t`, a surface of normal m rises by :math:`-(m \cdot t) / (m \cdot n)`
    along t: for a height h over a plane these are its derivatives.

    Args:
        normals: Unit normals, object or tangent space, ``(B, 3, H, W)``.
        base: Unit normals of the smoother surface, same space and shape; never along x.

    Returns:
        ``(B, 2, H, W)``: rise along x and along y, mm per mm; steeper than about 84 degrees is cut.
    """
    across = torch.zeros_like(base)
    across[:, 0] = 1
    across = unit(across - base * base[:, :1])
    upward = torch.linalg.cross(base, across, dim=1)
    height = (normals * base).sum(1, keepdim=True).clamp(min=0.1)
    rises = [(normals * axis).sum(1, keepdim=True) for axis in (across, upward)]
    return -torch.cat(rises, dim=1) / height


def halving_sigma(wavelength: float) -> float:
    r"""Deviation :math:`\lambda \sqrt{2 \ln 2} / 2 \pi` of a Gaussian that halves a wave."""
    return wavelength * math.sqrt(2 * math.log(2)) / (2 * math.pi)


def low_passed_normals(
    normals: Tensor, mask: Tensor, millimetres: tuple[float, float], wavelength: float
) -> Tensor:
    r"""Normals of the surface without detail finer than about ``wavelength``.

    The mean of the valid normals under the Gaussian of `halving_sigma`, at unit length.

    Args:
        normals: Unit normals, ``(B, 3, H, W)``.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.
        millimetres: Distance of rows and of columns on the surface [mm].
        wavelength: Wave whose amplitude is halved [mm].

    Returns:
        Unit normals, same shape; zero where no valid texel is within three deviations.
    """
    deviation = halving_sigma(wavelength)
    valid = (mask > 0.5).to(normals.dtype)
    deviations = (deviation / millimetres[0], deviation / millimetres[1])
    blurred = _blur(torch.where(valid > 0, normals, 0.0), deviations)
    return unit(blurred)


def tilt_degrees(slopes: Tensor, mask: Tensor, shares: Sequence[float]) -> Tensor:
    """Percentiles of the angle between a surface and its base.

    Args:
        slopes: ``(B, 2, H, W)``, as `micro_slopes` gives.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.
        shares: Which quantiles, in [0, 1].

    Returns:
        ``(len(shares),)`` angles [degrees] over the valid texels of the whole batch.

    Raises:
        ValueError: If no texel is valid.
    """
    valid = (mask > 0.5)[:, 0]
    if not valid.any():
        raise ValueError("a mask without a valid texel has no tilts")
    angles = torch.rad2deg(torch.atan(slopes.norm(dim=1)[valid])).sort().values
    picks = [round(share * (len(angles) - 1)) for share in shares]
    return angles[picks]


def _frequencies(
    size: Sequence[int], millimetres: tuple[float, float], device: torch.device
) -> Tensor:
    rows = torch.fft.fftfreq(size[0], millimetres[0], device=device)
    columns = torch.fft.fftfreq(size[1], millimetres[1], device=device)
    return torch.hypot(rows[:, None], columns[None])


def _members(frequency: Tensor, band: Band, millimetres: tuple[float, float]) -> Tensor:
    longest, shortest = band
    if shortest < 2 * max(millimetres):
        raise ValueError(
            f"a band down to {shortest} mm on texels of {millimetres[0]:.3g} x "
            f"{millimetres[1]:.3g} mm (rows x columns): at least two texels a wave are needed"
        )
    inside = (frequency >= 1 / longest) & (frequency < 1 / shortest)
    if int(inside.sum()) < _FEWEST:
        raise ValueError(
            f"a band of {longest} to {shortest} mm on a region of "
            f"{frequency.shape[0] * millimetres[0]:.3g} x {frequency.shape[1] * millimetres[1]:.3g}"
            " mm: enlarge the region to two of the longest waves"
        )
    return inside


def _taper(valid: Tensor) -> Tensor:
    """Hann over the region, times the mask softened inwards so that its edge adds little."""
    height, width = valid.shape[2:]
    down, along = (torch.hann_window(n).to(valid) for n in (height, width))
    hann = torch.outer(down, along)
    deviations = (_RIM * height, _RIM * width)
    cover = torch.ones_like(valid)
    soft = 2 * _blur(valid, deviations) / _blur(cover, deviations) - 1
    return hann * valid * soft.clamp(min=0)


def _plane(values: Tensor, weight: Tensor) -> Tensor:
    """Plane of weighted least squares through each channel, ``(B, C, H, W)``."""
    height, width = values.shape[2:]
    y = torch.linspace(-1, 1, height, device=values.device, dtype=values.dtype)
    x = torch.linspace(-1, 1, width, device=values.device, dtype=values.dtype)
    terms = torch.stack(
        (torch.ones(height, width).to(values), *torch.meshgrid(y, x, indexing="ij"))
    )
    weighted = terms * weight
    gram = torch.einsum("bihw,jhw->bij", weighted, terms)
    moments = torch.einsum("bihw,bchw->bic", weighted, values)
    ridge = 1e-9 * torch.eye(3).to(values)
    return torch.einsum("bic,ihw->bchw", torch.linalg.solve(gram + ridge, moments), terms)


def _blur(values: Tensor, deviations: tuple[float, float]) -> Tensor:
    """Gaussian blur with zeros beyond the border."""
    channels = values.shape[1]
    for axis, deviation in ((2, deviations[0]), (3, deviations[1])):
        reach = max(1, math.ceil(3 * deviation))
        taps = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
        kernel = torch.exp(-0.5 * (taps / max(deviation, 1e-3)) ** 2)
        kernel = (kernel / kernel.sum()).reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        padding = (reach, 0) if axis == 2 else (0, reach)
        values = torch.nn.functional.conv2d(
            values, kernel.expand(channels, 1, *kernel.shape[2:]), padding=padding, groups=channels
        )
    return values
