"""What makes one subject differ from the next: about sixty numbers, drawn once from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

GOLDEN = 0.6180339887498949
"""Fractional golden ratio: successive seeds fall evenly over whatever it steps through."""


@dataclass(frozen=True)
class Traits:
    """The subject in numbers: lengths in millimetres, shares in [0, 1] unless said otherwise."""

    seed: int
    masculinity: float
    age: float
    fullness: float
    width: float
    """Scale of the head's width, about 1."""
    inner_width: float
    """Spread of the features, above 1 narrower."""
    lower_face: float
    """Shortening of the face below the eyes, about 1."""
    jaw_width: float
    chin_length: float
    chin_forward: float
    forehead_slope: float
    brow_ridge: float
    cheekbone: float
    nose_length: float
    nose_height: float
    nose_width: float
    nose_bump: float
    nose_tip: float
    nose_bend: float
    """Sideways offset of the tip [mm]."""
    bridge_depth: float
    eye_spacing: float
    """Distance of each eye's centre from the midline [mm]."""
    eye_width: float
    eye_height: float
    eye_tilt: float
    lid_fold: float
    mouth_width: float
    mouth_height: float
    upper_lip: float
    lower_lip: float
    mouth_curve: float
    ear_size: float
    melanin: float
    haemoglobin: float
    lip_colour: float
    flush: float
    freckles: float
    moles: float
    blemishes: float
    mottling: float
    under_eye: float
    sallow: float
    oiliness: float
    pores: float
    roughness: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_density: float
    hair_melanin: float
    hair_red: float
    beard: float
    beard_length: float
    moustache: float
    scalp: float
    hairline: float
    wrinkle_shift: float


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


def draw_traits(seed: int) -> Traits:
    """The traits of subject ``seed``; melanin steps evenly through the human range over seeds."""
    dice = _Dice(seed)
    tone = (0.31 + seed * GOLDEN) % 1.0
    melanin = 0.02 + 2.3 * tone**1.25
    masculinity = 0.5 + (0.5 if dice.chance(0.5) else -0.5) * dice.uniform(0, 1) ** 0.5
    age = dice.uniform(0, 1)
    fullness = dice.uniform(0, 1)
    bearded = masculinity > 0.5
    hair_melanin = min(1.0, dice.uniform(0.1, 1.1) + 0.8 * tone)
    return Traits(
        seed=seed,
        masculinity=masculinity,
        age=age,
        fullness=fullness,
        width=dice.about(0.96 + 0.04 * fullness, 0.025),
        inner_width=dice.about(1.02, 0.03),
        lower_face=dice.about(1.02 - 0.03 * masculinity, 0.04),
        jaw_width=dice.about(0.93 + 0.07 * masculinity + 0.04 * fullness, 0.03),
        chin_length=dice.about(2.5 * masculinity - 1, 1.5),
        chin_forward=dice.about(0.5 + 1.5 * masculinity, 1.4),
        forehead_slope=dice.about(3 * masculinity, 1.5),
        brow_ridge=dice.about(0.5 + 3.2 * masculinity, 0.7),
        cheekbone=dice.about(3.0, 1.0),
        nose_length=dice.about(0, 2.6),
        nose_height=dice.about(0.95 + 0.1 * masculinity - 0.08 * tone, 0.08),
        nose_width=dice.about(0.84 + 0.12 * masculinity + 0.2 * tone, 0.06),
        nose_bump=dice.about(0.9 * masculinity - 0.4, 1.0),
        nose_tip=dice.about(0, 1.4),
        nose_bend=dice.about(0, 0.7),
        bridge_depth=dice.about(0, 1.4),
        eye_spacing=dice.about(29.6, 1.2),
        eye_width=dice.about(14.9 - 0.7 * masculinity, 0.6),
        eye_height=dice.about(29.0, 1.0),
        eye_tilt=dice.about(0.05, 0.035),
        lid_fold=dice.uniform(0.15, 1.0),
        mouth_width=dice.about(22.5 + 1.5 * masculinity, 1.6),
        mouth_height=dice.about(-36.5, 1.2),
        upper_lip=dice.about(6.8 - 1.0 * masculinity + 1.8 * tone, 1.0),
        lower_lip=dice.about(8.4 - 1.0 * masculinity + 1.8 * tone, 1.1),
        mouth_curve=dice.about(1.0, 0.7),
        ear_size=dice.about(1.0 + 0.06 * age, 0.06),
        melanin=melanin,
        haemoglobin=dice.about(0.28, 0.06),
        lip_colour=dice.uniform(0.1, 0.8) * (1.15 - 0.5 * masculinity),
        flush=dice.uniform(0.2, 1.0),
        freckles=max(0.0, dice.uniform(-0.8, 1.0)) * (1 - min(1.0, melanin)),
        moles=dice.uniform(0.1, 1.0),
        blemishes=max(0.0, dice.uniform(-0.4, 1.0)) * (1 - 0.5 * age),
        mottling=dice.uniform(0.4, 1.0) + 0.3 * age,
        under_eye=dice.uniform(0.2, 1.0),
        sallow=dice.about(0, 0.35),
        oiliness=dice.uniform(0, 1),
        pores=dice.uniform(0.5, 1.2) + 0.2 * masculinity,
        roughness=dice.uniform(0.7, 1.1) + 0.3 * age,
        brow_height=dice.about(1.5 - 2.5 * masculinity, 1.0),
        brow_thickness=dice.about(3.3 + 1.6 * masculinity, 0.6),
        brow_arch=dice.about(2.6 - 1.2 * masculinity, 0.7),
        brow_density=dice.uniform(0.55, 1.0),
        hair_melanin=hair_melanin,
        hair_red=max(0.0, dice.uniform(-1.0, 1.0)) * (hair_melanin < 0.8),
        beard=dice.uniform(0.25, 1.0) if bearded else 0.0,
        beard_length=max(0.0, dice.uniform(-0.7, 1.0)) if bearded else 0.0,
        moustache=dice.uniform(0.4, 1.0),
        scalp=dice.uniform(0.5, 1.0) if dice.chance(0.85) else 0.12,
        hairline=dice.about(90.0 + 5 * masculinity * age, 3.0),
        wrinkle_shift=dice.uniform(-3, 3),
    )
