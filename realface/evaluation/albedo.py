"""Scores of an albedo, with what a line of arithmetic reaches beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from realface.evaluation.pairs import Pair
from realface.evaluation.scores import PREDICTED, Scores, keyed
from realface.evaluation.spectra import log_luminance, spectrum, spectrum_differences
from realface.evaluation.surface import Surface
from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.maps.kinds import KINDS
from realface.metrics.delighting_baselines import (
    divided_by_blur,
    divided_by_harmonics,
    flat_colour,
)
from realface.metrics.gain import best_gain
from realface.metrics.masked import mean_of_valid
from realface.metrics.region_scores import ROWS, region_scores

BLUR = 1 / 32
"""Deviation of the blur that a texture is divided by, in widths of the map."""

_FITTED = 1 << 22
"""Texels that a gain is fitted on, evenly spaced in larger maps."""

_COMPARED = 1 << 23
"""Texels that SSIM is taken from: in larger maps, every n-th band of rows."""

Made = tuple[str, Callable[[], Tensor]]
"""A method's name, and what makes its albedo, linear and unclipped, ``(1, C, H, W)``."""


def albedo_scores(pair: Pair, surface: Surface, kind: str) -> Iterator[Scores]:
    """Scores of one albedo, method by method, the predicted one first.

    PSNR and SSIM on sRGB and on linear values, as they are and after the gain of each channel
    that is best in linear light over the headline region; spectra of the log of luminance, which
    no gain changes. All albedos are clipped to [0, 1], as files hold them.
    """
    truth = _linear(pair.truth.open(kind).whole()[None], kind)
    true_spectrum = spectrum(log_luminance(truth), surface)
    for name, make in _methods(pair, surface, kind, truth):
        made = make().clamp(0, 1)
        scores = keyed(kind, name, _compared(made, truth, surface))
        found = spectrum(log_luminance(made), surface)
        scores |= keyed(kind, name, spectrum_differences(found, true_spectrum))
        yield scores


def ssim_step(size: tuple[int, int]) -> int:
    """Of how many bands of rows SSIM takes one."""
    return max(1, math.ceil(size[0] * size[1] / _COMPARED))


def _linear(values: Tensor, kind: str) -> Tensor:
    values = values.clamp(0, 1)
    return srgb_to_linear(values) if KINDS[kind].encoding == "srgb" else values


def _methods(pair: Pair, surface: Surface, kind: str, truth: Tensor) -> Iterator[Made]:
    yield PREDICTED, lambda: _linear(pair.predicted.open(kind).whole()[None], kind)
    if kind == "specular_albedo":
        mean = mean_of_valid(truth, surface.regions[surface.headline])
        yield "flat, the true mean", lambda: mean.expand_as(truth)
        return
    texture, normals = pair.shared("texture"), pair.shared("shape_normals")
    if texture is None:
        return
    lit, mask = texture.whole()[None], surface.mask
    yield "texture as it is", lambda: srgb_to_linear(lit)
    yield "flat, the texture's mean", lambda: srgb_to_linear(flat_colour(lit, mask))
    blurred = f"texture over its blur (1/{1 / BLUR:.0f} of the width)"
    yield blurred, lambda: srgb_to_linear(divided_by_blur(lit, mask, BLUR))
    if normals is not None and normals.record.space == "object":
        facing = normals.whole()[None]
        yield (
            "texture over fitted harmonics",
            lambda: srgb_to_linear(divided_by_harmonics(lit, facing, mask)),
        )


def _compared(made: Tensor, truth: Tensor, surface: Surface) -> dict[str, dict[str, float]]:
    step = max(1, round(math.sqrt(truth[0, 0].numel() / _FITTED)))
    fitted = (
        each[..., ::step, ::step] for each in (made, truth, surface.regions[surface.headline])
    )
    gained = (made * best_gain(*fitted)).clamp(0, 1)
    every = ssim_step((truth.shape[2], truth.shape[3]))
    found: dict[str, dict[str, float]] = {name: {} for name in surface.regions}
    for values, prefix in ((gained, "gain_"), (made, "")):
        for encoding, convert in (("srgb", linear_to_srgb), ("linear", torch.Tensor.clone)):
            each = region_scores(values, truth, surface.mask, surface.regions, convert, ROWS, every)
            for name, (psnr, ssim) in each.items():
                found[name][f"{prefix}psnr_{encoding}"] = psnr
                found[name][f"{prefix}ssim_{encoding}"] = ssim
    return found
