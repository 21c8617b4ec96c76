"""All four maps at once: predicted and true ones shaded under lights that nothing was fitted to."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from realface.evaluation.pairs import Pair
from realface.evaluation.scores import PREDICTED, RELIT, Scores, keyed
from realface.evaluation.surface import Surface
from realface.geometry.placement import PlacedShape
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.subject import Subject
from realface.metrics.masked import mean_of_valid
from realface.shading.lights import Lights
from realface.shading.random_lights import varied_lights
from realface.shading.shade import lit_texture

LIGHTS = 8

_SHADED = 1 << 21
"""Texels that are shaded, evenly spaced in larger maps: shading knows no neighbours."""

Maps = dict[str, Tensor]


def relit_scores(pair: Pair, surface: Surface, seed: int) -> Iterator[Scores]:
    """PSNR of the shaded maps, sRGB, clipped; mean of decibels over the lights.

    The true shape and occlusion serve both; lamps throw no shadows. Nothing where one of the four
    maps, or the shape, is missing, or normals are not in object space.
    """
    if not can_relight(pair, surface):
        return
    step = shading_step(pair.size)
    regions = {name: region[..., ::step, ::step] for name, region in surface.regions.items()}
    common = _common(pair, surface, step)
    truth = _reflectance(pair.truth, step)
    lights = [
        varied_lights(1, generator=torch.Generator().manual_seed(seed + number))
        for number in range(LIGHTS)
    ]
    wanted = [lit_texture(truth | common, light) for light in lights]
    sets = {PREDICTED: _reflectance(pair.predicted, step)} | _baseline(pair, surface, truth, step)
    for name, maps in sets.items():
        yield keyed(RELIT, name, _compared(maps | common, lights, wanted, regions))


def can_relight(pair: Pair, surface: Surface) -> bool:
    """Whether all is there."""
    return (
        surface.placement is not None
        and pair.kinds == REFLECTANCE
        and all(
            pair.truth.record.maps[kind].space == "object"
            for kind in REFLECTANCE
            if KINDS[kind].encoding == "unit_vector"
        )
    )


def shading_step(size: tuple[int, int]) -> int:
    """Every how many-th texel along rows and columns is shaded."""
    return max(1, math.ceil(math.sqrt(size[0] * size[1] / _SHADED)))


def _thinned(values: Tensor, step: int) -> Tensor:
    return values[None, :, ::step, ::step].clone()  # not a view: the whole map may go


def _reflectance(subject: Subject, step: int) -> Maps:
    return {kind: _thinned(subject.open(kind).whole(), step) for kind in REFLECTANCE}


def _common(pair: Pair, surface: Surface, step: int) -> Maps:
    shape = pair.shared("shape")
    assert shape is not None  # as `can_relight` found
    assert surface.placement is not None
    placed = PlacedShape(shape, surface.placement)
    maps = {"shape": _thinned(placed.read(0, 0, *placed.size), step)}
    if (occlusion := pair.shared("occlusion")) is not None:
        maps["occlusion"] = _thinned(occlusion.whole(), step)
    return maps


def _baseline(pair: Pair, surface: Surface, truth: Maps, step: int) -> dict[str, Maps]:
    """The texture for an albedo, the true mean for the gloss, the shape's normals for both."""
    texture, normals = pair.shared("texture"), pair.shared("shape_normals")
    if texture is None or normals is None or normals.record.space != "object":
        return {}
    facing = _thinned(normals.whole(), step)
    gloss = truth["specular_albedo"]
    mean = mean_of_valid(gloss, surface.regions[surface.headline][..., ::step, ::step])
    maps = {
        "diffuse_albedo": _thinned(texture.whole(), step),
        "specular_albedo": mean.expand_as(gloss),
        "diffuse_normals": facing,
        "specular_normals": facing,
    }
    return {"texture, flat gloss, shape normals": maps}


def _compared(
    maps: Maps, lights: list[Lights], wanted: list[Tensor], regions: dict[str, Tensor]
) -> dict[str, dict[str, float]]:
    found: dict[str, list[float]] = {name: [] for name in regions}
    for light, true in zip(lights, wanted, strict=True):
        error = (lit_texture(maps, light) - true).square().mean(1, keepdim=True)
        for name, region in regions.items():
            mean = float(error[region].double().mean()) if region.any() else math.nan
            found[name].append(-10 * math.log10(mean) if mean else math.inf)
    return {name: {"psnr_srgb": sum(each) / len(each)} for name, each in found.items()}
