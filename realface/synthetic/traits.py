"""What makes one subject differ from the next: about a hundred numbers, drawn once from the seed.

Probabilities stand where they are drawn; what each trait does, where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GOLDEN = 0.6180339887498949
"""Fractional golden ratio: successive seeds fall evenly over whatever it steps through."""

_TONES = (0.0045, 0.0073, 0.0152, 0.0272, 0.0465, 0.117, 0.21)
"""Melanin at the bounds of the six classes of typology angle, very light to dark."""

_NEXT = 0x3C6EF372FE95
"""Sets the dice of a subject's groups of traits far apart."""


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
    oiliness: Tensor
    pores: Tensor
    roughness: Tensor
    wrinkle_shift: Tensor
    brow_height: Tensor
    brow_arch: Tensor
    melanin: Tensor
    """Share of the epidermis, as `chromophores` counts it; so are the five below."""
    blood: Tensor
    oxygenation: Tensor
    epidermis: Tensor
    pheomelanin: Tensor
    carotene: Tensor
    lip_blood: Tensor
    lip_melanin: Tensor
    flush: Tensor
    freckles: Tensor
    moles: Tensor
    blemishes: Tensor
    mottling: Tensor
    under_eye: Tensor
    capillaries: Tensor
    veins: Tensor
    age_spots: Tensor
    vitiligo: Tensor
    birthmark: Tensor
    melasma: Tensor
    tan_line: Tensor
    """Share of the melanin that a tan adds; below 0: around the eyes, above 0: below a hat."""
    hair_melanin: Tensor
    hair_red: Tensor
    hair_grey: Tensor
    hair_curl: Tensor
    scalp: Tensor
    hairline: Tensor
    """Height of the hair's edge at the midline [mm]."""
    recession: Tensor
    """How much higher it is beside the midline [mm]."""
    widows_peak: Tensor
    curtain: Tensor
    """Distance from the midline beyond which hair hangs over the face [mm]."""
    sideburns: Tensor
    """How far below the tragus they end [mm]."""
    brow_thickness: Tensor
    brow_density: Tensor
    brow_light: Tensor
    """Reflectance of the brows over that of the head's hair."""
    beard: Tensor
    goatee: Tensor
    moustache: Tensor
    beard_length: Tensor
    beard_fill: Tensor
    beard_gaps: Tensor
    beard_edge: Tensor
    """How much higher on the cheek it begins [mm]."""
    blush: Tensor
    eye_shadow: Tensor
    eyeliner: Tensor
    lipstick: Tensor
    make_up_hue: Tensor
    make_up_depth: Tensor
    dirt: Tensor
    face_paint: Tensor
    paint_hue: Tensor
    paint_light: Tensor


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
    """One subject's traits by name.

    Each group has dice of its own: a trait more in one leaves the others as they are.
    """
    tone = (0.31 + seed * GOLDEN) % 1.0
    shape = _shape(_Dice(seed), tone)
    colour = _colour(_Dice(seed + _NEXT), tone, shape["age"])
    hair = _hair(_Dice(seed + 2 * _NEXT), tone, shape["age"], shape["masculinity"])
    return shape | colour | hair | _make_up(_Dice(seed + 3 * _NEXT), shape["masculinity"])


def _shape(dice: _Dice, tone: float) -> dict[str, float]:
    masculinity = 0.5 + (0.5 if dice.chance(0.5) else -0.5) * dice.uniform(0, 1) ** 0.5
    age = dice.uniform(0, 1)
    fullness = dice.uniform(0, 1)
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
        "oiliness": dice.uniform(0, 1),
        "pores": dice.uniform(0.5, 1.2) + 0.2 * masculinity,
        "roughness": dice.uniform(0.7, 1.1) + 0.3 * age,
        "wrinkle_shift": dice.uniform(-3, 3),
        "brow_height": dice.about(1.5 - 2.5 * masculinity, 1.0),
        "brow_arch": dice.about(2.6 - 1.2 * masculinity, 0.7),
    }


def _colour(dice: _Dice, tone: float, age: float) -> dict[str, float]:
    """Pigments and marks; over seeds, ``tone`` steps evenly through the human range."""
    melanin = _melanin(tone)
    fair = 1 / (1 + (melanin / 0.03) ** 2)
    fairest = max(0.0, 1 - 4 * tone)
    return {
        "melanin": melanin,
        "blood": 0.0105 * math.exp(dice.about(-0.4 * fairest, 0.25)),
        "oxygenation": dice.about(0.87, 0.035),
        "epidermis": dice.about(0.066, 0.006),
        "pheomelanin": dice.uniform(0.1, 0.35) + 0.25 * fair * dice.uniform(0, 1),
        "carotene": dice.uniform(0.4, 1.2) * (1 - 0.15 * fair - 0.2 * fairest),
        "lip_blood": 0.018 * math.exp(dice.uniform(0, 1.5)),
        "lip_melanin": dice.uniform(-0.4, 0.5),
        "flush": dice.uniform(0.1, 1.0),
        "freckles": max(0.0, dice.uniform(-0.8, 1.0)) * fair,
        "moles": dice.uniform(0.05, 1.0) ** 1.5,
        "blemishes": max(0.0, dice.uniform(-0.6, 1.0)) * (1 - 0.5 * age),
        "mottling": dice.uniform(0.4, 1.0) + 0.3 * age,
        "under_eye": dice.uniform(0.0, 1.0) + (dice.uniform(0.3, 1.3) if dice.chance(0.2) else 0),
        "capillaries": dice.uniform(0.3, 1.0) * (0.3 + 0.7 * age) if dice.chance(0.4) else 0.0,
        "veins": dice.uniform(0.1, 1.0) * fair,
        "age_spots": max(0.0, age - dice.uniform(0.3, 1.0)) * 2,
        "vitiligo": dice.uniform(0.3, 1.0) if dice.chance(0.015) else 0.0,
        "birthmark": dice.uniform(0.3, 1.0) if dice.chance(0.015) else 0.0,
        "melasma": dice.uniform(0.3, 1.0) if dice.chance(0.04) else 0.0,
        "tan_line": dice.uniform(-0.4, 0.5) if dice.chance(0.08) else 0.0,
    }


def _melanin(tone: float) -> float:
    """Share of the epidermis; each class of typology angle gets a sixth of ``tone``'s range."""
    place = min(max(tone, 0.0), 1.0) * (len(_TONES) - 1)
    low = min(int(place), len(_TONES) - 2)
    first, second = _TONES[low], _TONES[low + 1]
    return float(first * (second / first) ** (place - low))


def _hair(dice: _Dice, tone: float, age: float, masculinity: float) -> dict[str, float]:
    man = masculinity > 0.5
    hair_melanin = min(1.0, dice.uniform(0.1, 1.15) + 0.9 * tone)
    balding = man and dice.chance(0.15 + 0.35 * age)
    fringe = not balding and dice.chance(0.16)
    hairline = dice.about(89.0, 4.0)
    if balding:
        hairline = dice.uniform(94.0, 112.0)
    elif fringe:
        hairline = dice.uniform(52.0, 76.0)
    kind = dice.uniform(0, 1)
    hanging = not man or dice.chance(0.15)
    traits = {
        "hair_melanin": hair_melanin,
        "hair_red": max(0.0, dice.uniform(-1.0, 1.0)) * (hair_melanin < 0.8),
        "hair_grey": min(1.0, max(0.0, 2.5 * (age - dice.uniform(0.35, 1.2)))),
        "hair_curl": dice.uniform(0, 1) ** 2,
        # 8 % bald or shaved clean, 12 % cropped to a shadow.
        "scalp": 0.0 if kind < 0.08 else 0.13 if kind < 0.2 else dice.uniform(0.5, 1.0),
        "hairline": hairline,
        "recession": dice.uniform(8, 22) if balding else dice.uniform(0, 6),
        "widows_peak": dice.uniform(2, 7) if not fringe and dice.chance(0.25) else 0.0,
        "curtain": dice.uniform(70, 112) if hanging and kind > 0.2 and dice.chance(0.4) else 300.0,
        "sideburns": dice.uniform(-12, 8) + (dice.uniform(5, 25) if man else 0),
        "brow_thickness": (3.0 + 1.3 * masculinity) * math.exp(dice.about(0, 0.22)),
        "brow_density": dice.uniform(0.25, 1.15),
        "brow_light": math.exp(dice.about(-0.2, 0.35)),
    }
    return traits | _beard(dice, man)


def _beard(dice: _Dice, man: bool) -> dict[str, float]:
    """Of men 35 % are shaved, 20 % unshaven, 25 % bearded, 20 % with moustache or goatee."""
    kind = dice.uniform(0, 1) if man else -1.0
    beard = goatee = moustache = length = fill = 0.0
    if 0 <= kind < 0.35:
        beard = goatee = moustache = dice.uniform(0.0, 0.35)
    elif 0.35 <= kind < 0.55:
        beard = goatee = moustache = dice.uniform(0.4, 1.0)
        length = dice.uniform(0.0, 0.3)
    elif 0.55 <= kind < 0.8:
        beard = goatee = dice.uniform(0.75, 1.0)
        moustache = dice.uniform(0.2, 1.0)
        length, fill = dice.uniform(0.4, 1.0), dice.uniform(0.2, 1.0)
    elif kind >= 0.8:
        beard = dice.uniform(0.0, 0.25)
        moustache = dice.uniform(0.6, 1.0)
        goatee = dice.uniform(0.6, 1.0) if dice.chance(0.6) else beard
        length, fill = dice.uniform(0.2, 1.0), dice.uniform(0.1, 1.0)
    return {
        "beard": beard,
        "goatee": goatee,
        "moustache": moustache,
        "beard_length": length,
        "beard_fill": fill,
        "beard_gaps": dice.uniform(0.3, 0.85) if dice.chance(0.3) else 0.0,
        "beard_edge": dice.uniform(-10, 8),
    }


def _make_up(dice: _Dice, masculinity: float) -> dict[str, float]:
    """45 % of women and 3 % of men wear some; of all, 4 % are dirty and 2 % painted.

    Dirt and paint are there for networks: what is dark or coloured on a face need not be skin.
    """
    worn = dice.chance(0.03 if masculinity > 0.5 else 0.45)

    def amount(chance: float, low: float, high: float) -> float:
        drawn = dice.uniform(low, high)
        return drawn if dice.chance(chance) and worn else 0.0

    return {
        "blush": amount(0.5, 0.1, 0.5),
        "eye_shadow": amount(0.55, 0.15, 0.85),
        "eyeliner": amount(0.5, 0.3, 1.0),
        "lipstick": amount(0.7, 0.35, 0.95),
        "make_up_hue": dice.uniform(0, 1),
        "make_up_depth": dice.uniform(0, 1),
        "dirt": dice.uniform(0.3, 0.9) if dice.chance(0.04) else 0.0,
        "face_paint": dice.uniform(0.3, 0.95) if dice.chance(0.02) else 0.0,
        "paint_hue": dice.uniform(0, 1),
        "paint_light": dice.uniform(0.02, 0.6),
    }
