"""What is done to samples on the way to a training step.

On the CPU, a sample at a time: crop, and the photometric part by albumentations. On the
device, a batch at a time: the mirror, which knows what a vector is.
"""

import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from realface.data.samples import Patch, read_patch
from realface.data.shards import worker_seed
from realface.errors import InputError
from realface.maps.kinds import KINDS
from realface.maps.spaces import mirror_vectors

Batch = dict[str, Any]


class ReadPatch:
    """Undecoded sample to patch; only the maps that training asks for, plus the mask."""

    def __init__(self, kinds: Sequence[str] | None, optional: Sequence[str] = ("mask",)) -> None:
        self.kinds, self.optional = kinds, optional

    def __call__(self, sample: Mapping[str, Any]) -> Patch:
        """Decode.

        Raises:
            InputError: Naming shard and key, if a wanted map is missing or damaged.
        """
        if self.kinds is None:
            return read_patch(sample)
        there = [kind for kind in self.optional if f"{kind}.png" in sample]
        return read_patch(sample, dict.fromkeys([*self.kinds, *there]))


class ToTensors:
    """Patch to a plain dict of tensors ``(C, h, w)`` with its key; a missing mask is all ones."""

    def __call__(self, patch: Patch) -> Batch:
        """Convert."""
        maps: Batch = dict(patch.maps)
        first = next(iter(patch.maps.values()))
        maps.setdefault("mask", torch.ones_like(first[:1]))
        return {"key": patch.key, **maps}


class CentreCrop:
    """The square crop in the middle, for validation."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, sample: Batch) -> Batch:
        """Crop.

        Raises:
            InputError: If the sample is smaller.
        """
        below, right = _room(sample, self.size)
        return _crop(sample, below // 2, right // 2, self.size)


def random_crop(sample: Batch, size: int, rng: random.Random) -> Batch:
    """A square crop at a random place, the same for every map.

    Raises:
        InputError: If the sample is smaller.
    """
    below, right = _room(sample, size)
    return _crop(sample, rng.randint(0, below), rng.randint(0, right), size)


def _room(sample: Batch, size: int) -> tuple[int, int]:
    """Rows and columns that a crop leaves over."""
    height, width = sample["mask"].shape[-2:]
    if min(height, width) < size:
        raise InputError(
            f"crop {size}, and sample {sample['key']} of {height}x{width}",
            "a crop that fits into every packed patch",
            "give a smaller --data.crop, or pack larger patches",
        )
    return height - size, width - size


def _crop(sample: Batch, y: int, x: int, size: int) -> Batch:
    return {
        name: value[..., y : y + size, x : x + size] if isinstance(value, Tensor) else value
        for name, value in sample.items()
    }


class SkinTone:
    """Varies the colour of the skin: gamma, brightness and hue of ``diffuse_albedo``.

    The albedo changes before it is lit, so for de-lighting input and target change together: the
    network sees more skin tones, and no target contradicts its input. For the specular albedo
    and the normals only the input changes: they must not depend on the tone. By albumentations,
    on CPU.

    Args:
        probability: Of each change; 0 imports nothing.
        seed: Of its random numbers.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self._transforms = None
        if probability == 0:
            return
        # Else the import asks the internet for a newer version.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations

        self._transforms = albumentations.Compose(
            [
                albumentations.RandomGamma(gamma_limit=(75, 135), p=probability),
                albumentations.RandomBrightnessContrast(
                    brightness_limit=0.08, contrast_limit=0.08, p=probability
                ),
                albumentations.HueSaturationValue(
                    hue_shift_limit=4, sat_shift_limit=12, val_shift_limit=0, p=probability
                ),
            ],
            seed=seed,
        )

    def __call__(self, sample: Batch) -> Batch:
        """Vary the sample's albedo, if it has one."""
        if self._transforms is None or "diffuse_albedo" not in sample:
            return sample
        image = sample["diffuse_albedo"].permute(1, 2, 0).contiguous().numpy()
        varied = self._transforms(image=image)["image"]
        return {**sample, "diffuse_albedo": torch.from_numpy(varied).permute(2, 0, 1)}


class Augment:
    """A WebDataset stage: crops and varies a stream of samples, seeded anew for each epoch.

    Args:
        crop: Side of the crop [px].
        tone_probability: Of each change of skin tone.
        seed: Of the random numbers; every worker of every rank has its own.
        rank: Of this process among those that train together.
        epoch: The first epoch's number.
    """

    def __init__(
        self, crop: int, tone_probability: float, seed: int, *, rank: int = 0, epoch: int = 0
    ) -> None:
        self.crop, self.tone_probability, self.seed = crop, tone_probability, seed
        self.rank, self.epoch = rank, epoch

    def __call__(self, samples: Iterable[Batch]) -> Iterator[Batch]:
        """The samples of one epoch."""
        rng = random.Random(f"{self.seed} {worker_seed(self.rank)} {self.epoch}")
        self.epoch += 1
        tone = SkinTone(self.tone_probability, rng.getrandbits(31))
        for sample in samples:
            yield tone(random_crop(sample, self.crop, rng))


def collate(samples: Sequence[Batch]) -> Batch:
    """Samples to one batch: tensors stacked to ``(B, C, H, W)``, keys to a list."""
    batch: Batch = {"key": [sample["key"] for sample in samples]}
    for name, value in samples[0].items():
        if isinstance(value, Tensor):
            batch[name] = torch.stack([sample[name] for sample in samples])
    return batch


def mirror(batch: Batch, chosen: Tensor) -> Batch:
    """Mirror the chosen samples of a batch left to right; vectors negate their x.

    A mirrored face under mirrored lights is the mirrored image; lights are drawn after this.

    Args:
        batch: Maps ``(B, C, H, W)`` by kind.
        chosen: ``(B,)`` bool.
    """
    pick = chosen.view(-1, 1, 1, 1)
    mirrored = {
        name: torch.where(pick, _mirrored(name, value), value)
        for name, value in batch.items()
        if name in KINDS
    }
    return {**batch, **mirrored}


def _mirrored(kind: str, values: Tensor) -> Tensor:
    return mirror_vectors(values) if KINDS[kind].is_vector else values.flip(-1)
