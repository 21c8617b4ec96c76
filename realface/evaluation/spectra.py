"""How much detail a predicted map holds at each scale, against the true one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from realface.evaluation.scores import spectrum_metric
from realface.evaluation.surface import Surface
from realface.maps.encoding import luminance
from realface.metrics.spectra import Band, band_variance, decibels, octave_bands

SQUARE = "middle"
"""The region of spectra: a rectangle in the middle of the headline region's bounding box."""

_BANDS = octave_bands(16.0, 5)  # 16 to 0.5 mm
_LARGEST = 2048  # texels a side

_DARKEST = 1e-3  # linear light

Spectrum = dict[Band, float]
"""Variance by band; bands that texels or region do not resolve are not in it."""


def log_luminance(albedo: Tensor) -> Tensor:
    """Natural logarithm of an albedo's luminance, linear ``(1, 1 or 3, H, W)``: no gain counts."""
    if albedo.shape[1] == 3:
        albedo = luminance(albedo)
    return albedo.clamp(min=_DARKEST).log()


def spectrum(values: Tensor, surface: Surface) -> Spectrum:
    """Variance of a map ``(1, C, H, W)``, summed over its channels, by octave of wavelength."""
    rows, columns = middle(surface.regions[surface.headline])
    bands = resolved(surface.sides, (rows.stop - rows.start, columns.stop - columns.start))
    if not bands:
        return {}
    region = values[:, :, rows, columns]
    mask = surface.mask[:, :, rows, columns]
    variance = band_variance(region, mask, surface.sides, bands)[0].sum(0).tolist()
    return dict(zip(bands, variance, strict=True))


def spectrum_differences(found: Spectrum, true: Spectrum) -> dict[str, dict[str, float]]:
    """Found over true variance [dB], under the region's and the metrics' names; 0 is right."""
    numbers = {}
    for band, variance in true.items():
        if variance > 0:
            ratio = decibels(torch.tensor(found[band]), torch.tensor(variance))
            numbers[spectrum_metric(*band)] = float(ratio.clamp(min=-99))  # none at all
    return {SQUARE: numbers} if numbers else {}


def resolved(sides: tuple[float, float], size: tuple[int, int]) -> list[Band]:
    """Octaves with two texels to the shortest wave and two of the longest in the region."""
    if not all(math.isfinite(side) and side > 0 for side in sides):
        return []
    room = min(side * count for side, count in zip(sides, size, strict=True))
    return [
        (longest, shortest)
        for longest, shortest in _BANDS
        if shortest >= 2 * max(sides) and room >= 2 * longest
    ]


def middle(region: Tensor) -> tuple[slice, slice]:
    """Rows and columns of a rectangle of at most 2048 texels a side within a bounding box."""
    rows, columns = (_centred(region[0, 0].any(dim=dim).nonzero().flatten()) for dim in (1, 0))
    return rows, columns


def _centred(places: Tensor) -> slice:
    first, last = int(places[0]), int(places[-1]) + 1
    cut = max(0, last - first - _LARGEST) // 2
    return slice(first + cut, min(last - cut, first + cut + _LARGEST))
