"""Scores of a map of normals: angles, detail in its place, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from realface.evaluation.pairs import Pair
from realface.evaluation.scores import PREDICTED, Scores, keyed
from realface.evaluation.spectra import spectrum, spectrum_differences
from realface.evaluation.surface import Surface
from realface.geometry.normals import blur_normals
from realface.metrics.angle_shares import angle_shares
from realface.metrics.angular import angular_error_map
from realface.metrics.detail import (
    band_passed,
    correlation,
    detail_slopes,
    sobel_slopes,
    with_neighbours,
)
from realface.metrics.spectra import halving_sigma, micro_slopes

LONGEST, FINEST = 4.0, 0.5
"""Wavelengths of what counts as detail [mm]."""

CREASE = 10.0
"""Where the shape's normals turn this far from their own mean nearby [degrees], as at lids, lips
and nostrils, relief is not skin's, and a few such texels would rule every correlation."""

_TOO_COARSE = 1.0
"""Larger texels [mm] leave less than an octave of it."""


def normals_scores(pair: Pair, surface: Surface, kind: str) -> Iterator[Scores]:
    """Scores of one map of normals, method by method, the predicted one first."""
    true = pair.truth.open(kind)
    truth = true.whole()[None]
    shape = pair.shared("shape_normals")
    if true.record.space != "object" or (shape and shape.record.space != "object"):
        shape = None
    texel = surface.texel
    facing = shape.whole()[None] if shape else None
    base = None
    if facing is not None and texel is not None:
        sigma = halving_sigma(LONGEST) / texel
        base = blur_normals(facing[0], surface.mask[0], sigma)[None]
    relief = None
    if facing is not None and base is not None and texel is not None:
        skin = surface.mask & (angular_error_map(facing, base) < CREASE)
        relief = Relief(truth, base, skin, surface, texel)

    def scored(name: str, normals: Tensor) -> Scores:
        scores = keyed(kind, name, angle_shares(normals, truth, surface.regions))
        return scores | (relief.scores(kind, name, normals) if relief else {})

    yield scored(PREDICTED, pair.predicted.open(kind).whole()[None])
    if facing is not None:
        yield scored("shape normals", facing)
    if base is not None:
        yield scored(f"shape normals without waves below {LONGEST:g} mm", base)
    texture = pair.shared("texture")
    if relief is not None and texture is not None:
        yield relief.sobel_scores(kind, texture.whole()[None])


class Relief:
    """The true relief against the smooth shape, to compare others with.

    Args:
        truth: True normals, object space, ``(1, 3, H, W)``.
        base: Normals of the smooth shape.
        skin: Texels that are correlated, ``(1, 1, H, W)`` bool: those off its creases.
        surface: Of the subject.
        texel: Its side [mm].
    """

    def __init__(
        self, truth: Tensor, base: Tensor, skin: Tensor, surface: Surface, texel: float
    ) -> None:
        self.base, self.skin, self.surface = base, skin, surface
        self.waves = LONGEST / texel, max(FINEST / texel, 2.0)  # in texels
        self.finest = self.waves[1] * texel
        self.detailed = texel <= _TOO_COARSE
        self.spectrum = spectrum(micro_slopes(truth, base), surface)
        if self.detailed:
            self.slopes = detail_slopes(truth, base, surface.mask, *self.waves)

    def scores(self, kind: str, name: str, normals: Tensor) -> Scores:
        """Spectra's differences, and correlations where texels are fine enough."""
        found = spectrum(micro_slopes(normals, self.base), self.surface)
        scores = keyed(kind, name, spectrum_differences(found, self.spectrum))
        if self.detailed:
            slopes = detail_slopes(normals, self.base, self.surface.mask, *self.waves)
            scores |= self._correlated(kind, name, slopes, self.skin)
        return scores

    def sobel_scores(self, kind: str, texture: Tensor) -> Scores:
        """What the grey of a texture tells of the relief, without learning; sRGB."""
        if not self.detailed:
            return {}
        inner = with_neighbours(self.surface.mask)
        slopes = band_passed(sobel_slopes(texture), inner, *self.waves)
        return self._correlated(kind, "Sobel of the texture's grey", slopes, self.skin & inner)

    def _correlated(self, kind: str, name: str, slopes: Tensor, skin: Tensor) -> Scores:
        found = {}
        for region, texels in self.surface.regions.items():
            x, y = (
                correlation(slopes[:, axis, None], self.slopes[:, axis, None], texels & skin)
                for axis in (0, 1)
            )
            if x == x or y == y:
                found[region] = {"detail_x": x, "detail_y": y, "detail_finest_mm": self.finest}
        return keyed(kind, name, found)
