"""What is done to samples on the way to a training step.

In a loader's worker, a sample at a time, on integers as they are stored: the crop and the tone of
the skin. On the device, a batch at a time: integers to maps, and then `realface.data.moves`.
"""

import os
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.files import Array
from realface.maps.kinds import KINDS, MapKind

Sample = dict[str, Any]
"""``key``, and by kind ``(h, w, C)``: uint8 or uint16 as stored, or float32 as in memory; where it
is wanted ``whole``, the whole face that a patch is of, by kind likewise."""

Batch = dict[str, Any]
"""``key``, a list, and by kind a tensor: `collate`'s and, from `to_maps` on, ``(B, C, H, W)``."""


def stored(key: str, maps: Mapping[str, Array]) -> Sample:
    """Maps as they are stored, ``(h, w, C)``, to a sample; a missing mask is all valid."""
    height, width = next(iter(maps.values())).shape[:2]
    whole = {} if "mask" in maps else {"mask": np.full((height, width, 1), 255, np.uint8)}
    return {"key": key, **maps, **whole}


def crop(sample: Sample, size: int, y: int, x: int) -> Sample:
    """The square of ``size`` texels at row ``y`` and column ``x``, of every map; nothing is copied.

    Raises:
        InputError: If it does not fit into the sample.
    """
    height, width = sample["mask"].shape[:2]
    if min(y, x) < 0 or y + size > height or x + size > width:
        raise InputError(
            f"crop {size}, and sample {sample['key']} of {height}x{width}",
            "a crop that fits into every packed patch",
            "give a smaller --data.crop, or pack larger patches",
        )
    return {
        name: value[y : y + size, x : x + size] if name in KINDS else value
        for name, value in sample.items()
    }


def random_crop(sample: Sample, size: int, rng: random.Random) -> Sample:
    """A square crop at a random place.

    Raises:
        InputError: If the sample is smaller.
    """
    height, width = sample["mask"].shape[:2]
    y, x = rng.randint(0, max(0, height - size)), rng.randint(0, max(0, width - size))
    return crop(sample, size, y, x)


def centre_crop(sample: Sample, size: int) -> Sample:
    """The square crop in the middle, for validation.

    Raises:
        InputError: If the sample is smaller.
    """
    height, width = sample["mask"].shape[:2]
    return crop(sample, size, max(0, height - size) // 2, max(0, width - size) // 2)


class SkinTone:
    """Varies the colour of the skin: gamma, brightness, saturation and hue of ``diffuse_albedo``.

    The albedo changes before it is lit, so for de-lighting input and target change together: the
    network sees more skin tones, and no target contradicts its input. For the specular albedo
    and the normals only the input changes: they must not depend on the tone.

    By albumentations, on float32 in [0, 1]: its 8-bit forms, and HueSaturationValue whatever it
    is given, leave some 150 levels. There is nothing left for the device: all three changes take
    5 ms of a worker's time for 512x512.

    Args:
        probability: Of each change; 0 imports nothing.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, sample: Sample, rng: random.Random) -> Sample:
        """The sample with its albedo varied and float32; equal generators vary it equally."""
        if self.probability == 0 or "diffuse_albedo" not in sample:
            return sample
        seed = rng.getrandbits(64)
        varied = {**sample, "diffuse_albedo": self._varied(sample["diffuse_albedo"], seed)}
        if "whole" in sample:  # the same face
            whole = sample["whole"]
            albedo = self._varied(whole["diffuse_albedo"], seed)
            varied["whole"] = {**whole, "diffuse_albedo": albedo}
        return varied

    def _varied(self, albedo: Array, seed: int) -> Array:
        # One generator for all: by a seed, each change would draw the same numbers as the others.
        self._changes.set_random_state(np.random.default_rng(seed), random.Random(seed))
        image = albedo.astype(np.float32) / np.float32(np.iinfo(albedo.dtype).max)
        varied: Array = self._changes(image=image)["image"]
        return varied

    @cached_property
    def _changes(self) -> Any:
        """Made where they are used first: in a worker."""
        # Else the import asks the internet for a newer version.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        share = self.probability
        return albumentations.Compose(
            [
                albumentations.RandomGamma(gamma_limit=(75, 135), p=share),
                albumentations.RandomBrightnessContrast(
                    brightness_limit=0.08, contrast_limit=0.08, p=share
                ),
                albumentations.ColorJitter(
                    brightness=0.0, contrast=0.0, saturation=0.12, hue=0.02, p=share
                ),
            ]
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples to one batch: maps stacked to ``(B, h, w, C)``, numbers to ``(B,)``, keys to a list.

    Where 8 and 16 bits of a kind meet, 8 are widened exactly: 255 to 65535.

    Raises:
        InputError: If whole faces differ in size.
    """
    batch: Batch = {}
    for name, first in samples[0].items():
        values = [sample[name] for sample in samples]
        if isinstance(first, dict):
            _check_one_size(values)
            batch[name] = collate(values)
        elif isinstance(first, np.ndarray):
            batch[name] = torch.from_numpy(np.stack(_widened(values)))
        else:
            batch[name] = values if isinstance(first, str) else torch.tensor(values)
    return batch


def _check_one_size(wholes: Sequence[Sample]) -> None:
    sizes = {whole["mask"].shape[:2] for whole in wholes}
    if len(sizes) > 1:
        raise InputError(
            f"whole faces of {' and '.join(f'{h}x{w}' for h, w in sorted(sizes))} in one batch",
            "one size (height x width): they are lit together",
            "train with --data.batch_size 1 and accumulate_batches, or pack maps of one size",
        )


def _widened(arrays: list[Array]) -> list[Array]:
    if len({array.dtype for array in arrays}) == 1:
        return arrays
    return [
        array if array.dtype == np.uint16 else array.astype(np.uint16) * np.uint16(257)
        for array in arrays
    ]


def to_maps(batch: Batch) -> Batch:
    """Stored values to maps ``(B, C, H, W)`` float32 as their kinds mean them, on any device.

    Args:
        batch: By kind ``(B, h, w, C)``: uint8 or uint16 for values from 0 to 1, and for unit
            vectors as 0.5 v + 0.5; or float32, which keeps its values (``shape`` [mm]).
    """
    maps: Batch = {
        name: _to_map(KINDS[name], value) if name in KINDS else value
        for name, value in batch.items()
    }
    return {**maps, "whole": to_maps(maps["whole"])} if "whole" in maps else maps


def _to_map(kind: MapKind, values: Tensor) -> Tensor:
    # The one thing that torch does to uint16 everywhere is to copy it, converted or not.
    count, height, width, channels = values.shape
    maps = torch.empty((count, channels, height, width), device=values.device)
    maps.copy_(values.permute(0, 3, 1, 2))
    if values.is_floating_point():
        return maps
    top = torch.iinfo(values.dtype).max
    if kind.encoding != "unit_vector":
        return maps.div_(top)
    # In place, and without the factor that cancels: a third of the time. A vector of halves of
    # odd numbers is never zero.
    x, y, z = maps.sub_(top / 2).unbind(1)
    inverse = x.square().addcmul_(y, y).addcmul_(z, z).rsqrt_()
    return maps.mul_(inverse[:, None])
