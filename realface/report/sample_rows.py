"""One validation sample as rows of captioned pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from realface.maps.kinds import KINDS
from realface.metrics.angular import angular_error_degrees, angular_error_map
from realface.metrics.image import psnr
from realface.networks.channels import WHOLE_TEXTURE, source_kind
from realface.report.page import Image, Tile, picture, to_bytes
from realface.report.patch_lights import facing, relit
from realface.shading.capture import LIT_FROM

LARGEST, SMALLEST = 512, 320
"""Width of a tile [px]: wider maps are reduced, narrower ones repeat their texels."""

LOUDER = 4.0
"""How many times larger an albedo's error is drawn: black and white are 32 levels of 255 off."""

HOTTEST = 20.0
"""Angle at the bright end of the heat map [deg]."""

_LETTER = 9  # px, at most, of a caption


@dataclass(frozen=True)
class Sample:
    """A validation sample and what was made of it, ``(1, C, H, W)`` float32 on the CPU.

    Attributes:
        key: Its name.
        maps: By kind, normals in object space; ``known``: where metrics count; ``mask``.
        predicted: By kind, likewise; albedos clamped to [0, 1].
    """

    key: str
    maps: Mapping[str, Tensor]
    predicted: Mapping[str, Tensor]

    @cached_property
    def relit(self) -> list[Tile]:
        """Under each lamp by prediction, then by truth; none where a map for it is missing."""
        if not all(kind in self.maps for kind in LIT_FROM):
            return []
        truth = dict(self.maps)
        straight = facing(truth["diffuse_normals"], truth["mask"])
        made = relit({**truth, **self.predicted}, straight)
        true = relit(truth, straight)
        return [
            _tile(f"{lamp}, {whose}", to_bytes(lit[lamp][0]), self.maps)
            for lamp in true
            for whose, lit in (("predicted", made), ("true", true))
        ]


def rows(sample: Sample, inputs: tuple[str, ...], output: str) -> list[list[Tile]]:
    """What was read, made and true, and the error; below it, the patch relit by either.

    A patch is relit by all that was predicted, with the true maps for the rest, where all that
    light needs is there. Outside the mask everything is grey.

    Args:
        sample: Of which.
        inputs: Kinds that were read, in order.
        output: The kind whose page this is.
    """
    made, truth, known = sample.predicted[output], sample.maps[output], sample.maps["known"]
    if KINDS[output].encoding == "unit_vector":
        score = f"{float(angular_error_degrees(made, truth, known)):.1f} deg"
        error, legend = _heat(made, truth), f"error: black 0, yellow {HOTTEST:.0f} deg"
    else:
        score = f"{float(psnr(made, truth, known)):.1f} dB"
        error = to_bytes((0.5 + LOUDER * (made - truth))[0])
        legend = f"error x{LOUDER:.0f}: white {127.5 / LOUDER:.0f} levels too bright"
    tiles = [_read(sample, kind) for kind in inputs]
    tiles[0] = Tile(_named(inputs[0], sample.key, tiles[0].image.shape[1]), tiles[0].image)
    tiles += [
        _tile(f"predicted {output}, {score}", _seen(sample, made, output), sample.maps),
        _tile(f"true {output}", _seen(sample, truth, output), sample.maps),
        _tile(legend, error, sample.maps, within="known"),
    ]
    return [tiles, sample.relit] if sample.relit else [tiles]


def _read(sample: Sample, kind: str) -> Tile:
    image = _seen(sample, sample.maps[kind], source_kind(kind))
    if kind == WHOLE_TEXTURE:  # the patch's mask is not its own
        return Tile(kind, _sized(image))
    return _tile(kind, image, sample.maps)


def _seen(sample: Sample, values: Tensor, kind: str) -> Image:
    """Positions are stretched between the ends of the valid ones."""
    if KINDS[kind].encoding == "position":
        valid = sample.maps["mask"] > 0.5
        inside = values.masked_fill(~valid, torch.inf).amin(dim=(2, 3), keepdim=True)
        values = torch.where(valid, values, inside.nan_to_num(posinf=0.0))
    return picture(values[0], kind)


def _heat(made: Tensor, truth: Tensor) -> Image:
    import cv2

    share = (angular_error_map(made, truth)[0, 0] / HOTTEST).clamp(0, 1)
    colours = cv2.applyColorMap(share.mul(255).byte().numpy(), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colours[..., ::-1])


def _tile(caption: str, image: Image, maps: Mapping[str, Tensor], within: str = "mask") -> Tile:
    valid = maps[within][0, 0].numpy() > 0.5
    grey = np.where(valid[..., None], image, np.uint8(128))
    return Tile(caption, _sized(grey))


def _sized(image: Image) -> Image:
    """At its own size or a whole multiple of it, at most `LARGEST` wide."""
    import cv2

    height, width = image.shape[:2]
    if width > LARGEST:
        size = LARGEST, max(1, round(height * LARGEST / width))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    times = max(1, SMALLEST // width)
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _named(kind: str, key: str, width: int) -> str:
    """The first caption: of long names the end."""
    room = max(SMALLEST, width) // _LETTER - len(kind) - 4
    return f"{kind} of {key if len(key) <= room else '..' + key[2 - room :]}"
