"""What makes one subject differ from the next: about sixty numbers, drawn once from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GOLDEN = 0.6180339887498949
"""Fractional golden ratio: successive seeds fall evenly over whatever it steps through."""


@dataclass(frozen=True)
class Traits:
    """Subjects in numbers, ``(B, 1, 1)`` each: lengths in mm, shares in [0, 1] unless said."""

    seed: Tensor
    """Int64; what the hashes see of the subject's seed."""
    masculinity: Tensor
    age: Tensor
    fullness: Tensor
    width: Tensor
    """Scale of the head's width, about 1."""
    inner_width: Tensor
    """Spread of the features, above 1 narrower."""
    lower_face: Tensor
    """Shortening of the face below the eyes, about 1."""
    jaw_width: Tensor
    chin_length: Tensor
    chin_forward: Tensor
    forehead_slope: Tensor
    brow_ridge: Tensor
    cheekbone: Tensor
    nose_length: Tensor
    nose_height: Tensor
    nose_width: Tensor
    nose_bump: Tensor
    nose_tip: Tensor
    nose_bend: Tensor
    """Sideways offset of the tip [mm]."""
    bridge_depth: Tensor
    eye_spacing: Tensor
    """Distance of each eye's centre from the midline [mm]."""
    eye_width: Tensor
    eye_height: Tensor
    eye_tilt: Tensor
    lid_fold: Tensor
    mouth_width: Tensor
    mouth_height: Tensor
    upper_lip: Tensor
    lower_lip: Tensor
    mouth_curve: Tensor
    ear_size: Tensor
    melanin: Tensor
    haemoglobin: Tensor
    lip_colour: Tensor
    flush: Tensor
    freckles: Tensor
    moles: Tensor
    blemishes: Tensor
    mottling: Tensor
    under_eye: Tensor
    sallow: Tensor
    oiliness: Tensor
    pores: Tensor
    roughness: Tensor
    brow_height: Tensor
    brow_thickness: Tensor
    brow_arch: Tensor
    brow_density: Tensor
    hair_melanin: Tensor
    hair_red: Tensor
    beard: Tensor
    beard_length: Tensor
    moustache: Tensor
    scalp: Tensor
    hairline: Tensor
    wrinkle_shift: Tensor


class _Dice:
    """Draws from a generator of its own."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed * 2654435761 % 2**62 + 17)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=self._generator).item()

    def about(self, mean: float, deviation: float) -> float:
        """Normal, cut at two deviations."""
        draw = torch.randn((), generator=self._generator).item()
        return mean + deviation * min(max(draw, -2.0), 2.0)

    def chance(self, share: float) -> bool:
        return self.uniform(0, 1) < share


def draw_traits(seeds: Sequence[int], device: torch.device) -> Traits:
    """The traits of the subjects ``seeds``, one for each member of a batch."""
    drawn = [_draw(seed) for seed in seeds]
    table = torch.tensor([list(one.values()) for one in drawn]).to(device)
    columns = table[:, :, None, None].unbind(dim=1)
    # Hashes keep 31 bits, and this leaves room for what is multiplied onto them.
    seed = torch.tensor([seed % 2**31 for seed in seeds]).to(device)[:, None, None]
    return Traits(seed=seed, **dict(zip(drawn[0], columns, strict=True)))


def _draw(seed: int) -> dict[str, float]:
    """One subject's traits by name; over seeds, melanin steps evenly through the human range."""
    dice = _Dice(seed)
    tone = (0.31 + seed * GOLDEN) % 1.0
    melanin = 0.02 + 2.3 * tone**1.25
    masculinity = 0.5 + (0.5 if dice.chance(0.5) else -0.5) * dice.uniform(0, 1) ** 0.5
    age = dice.uniform(0, 1)
    fullness = dice.uniform(0, 1)
    bearded = masculinity > 0.5
    hair_melanin = min(1.0, dice.uniform(0.1, 1.1) + 0.8 * tone)
    return {
        "masculinity": masculinity,
        "age": age,
        "fullness": fullness,
        "width": dice.about(0.96 + 0.04 * fullness, 0.025),
        "inner_width": dice.about(1.02, 0.03),
        "lower_face": dice.about(1.02 - 0.03 * masculinity, 0.04),
        "jaw_width": dice.about(0.93 + 0.07 * masculinity + 0.04 * fullness, 0.03),
        "chin_length": dice.about(2.5 * masculinity - 1, 1.5),
        "chin_forward": dice.about(0.5 + 1.5 * masculinity, 1.4),
        "forehead_slope": dice.about(3 * masculinity, 1.5),
        "brow_ridge": dice.about(0.5 + 3.2 * masculinity, 0.7),
        "cheekbone": dice.about(3.0, 1.0),
        "nose_length": dice.about(0, 2.6),
        "nose_height": dice.about(0.95 + 0.1 * masculinity - 0.08 * tone, 0.08),
        "nose_width": dice.about(0.84 + 0.12 * masculinity + 0.2 * tone, 0.06),
        "nose_bump": dice.about(0.9 * masculinity - 0.4, 1.0),
        "nose_tip": dice.about(0, 1.4),
        "nose_bend": dice.about(0, 0.7),
        "bridge_depth": dice.about(0, 1.4),
        "eye_spacing": dice.about(29.6, 1.2),
        "eye_width": dice.about(14.9 - 0.7 * masculinity, 0.6),
        "eye_height": dice.about(29.0, 1.0),
        "eye_tilt": dice.about(0.05, 0.035),
        "lid_fold": dice.uniform(0.15, 1.0),
        "mouth_width": dice.about(22.5 + 1.5 * masculinity, 1.6),
        "mouth_height": dice.about(-36.5, 1.2),
        "upper_lip": dice.about(6.8 - 1.0 * masculinity + 1.8 * tone, 1.0),
        "lower_lip": dice.about(8.4 - 1.0 * masculinity + 1.8 * tone, 1.1),
        "mouth_curve": dice.about(1.0, 0.7),
        "ear_size": dice.about(1.0 + 0.06 * age, 0.06),
        "melanin": melanin,
        "haemoglobin": dice.about(0.28, 0.06),
        "lip_colour": dice.uniform(0.1, 0.8) * (1.15 - 0.5 * masculinity),
        "flush": dice.uniform(0.2, 1.0),
        "freckles": max(0.0, dice.uniform(-0.8, 1.0)) * (1 - min(1.0, melanin)),
        "moles": dice.uniform(0.1, 1.0),
        "blemishes": max(0.0, dice.uniform(-0.4, 1.0)) * (1 - 0.5 * age),
        "mottling": dice.uniform(0.4, 1.0) + 0.3 * age,
        "under_eye": dice.uniform(0.2, 1.0),
        "sallow": dice.about(0, 0.35),
        "oiliness": dice.uniform(0, 1),
        "pores": dice.uniform(0.5, 1.2) + 0.2 * masculinity,
        "roughness": dice.uniform(0.7, 1.1) + 0.3 * age,
        "brow_height": dice.about(1.5 - 2.5 * masculinity, 1.0),
        "brow_thickness": dice.about(3.3 + 1.6 * masculinity, 0.6),
        "brow_arch": dice.about(2.6 - 1.2 * masculinity, 0.7),
        "brow_density": dice.uniform(0.55, 1.0),
        "hair_melanin": hair_melanin,
        "hair_red": max(0.0, dice.uniform(-1.0, 1.0)) * (hair_melanin < 0.8),
        "beard": dice.uniform(0.25, 1.0) if bearded else 0.0,
        "beard_length": max(0.0, dice.uniform(-0.7, 1.0)) if bearded else 0.0,
        "moustache": dice.uniform(0.4, 1.0),
        "scalp": dice.uniform(0.5, 1.0) if dice.chance(0.85) else 0.12,
        "hairline": dice.about(90.0 + 5 * masculinity * age, 3.0),
        "wrinkle_shift": dice.uniform(-3, 3),
    }
