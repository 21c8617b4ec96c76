"""What one procedural bust has beside the traits of a face, drawn once from its seed."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

import torch

from realface.synthetic.traits import Traits, draw_traits

NONE = -1000.0
"""Height of what is not there [mm]."""


@dataclass(frozen=True)
class Build:
    """What a bust has beside the traits of a face; lengths in mm, angles in rad."""

    traits: Traits
    dice: int
    scale: tuple[float, float, float]
    turn: tuple[float, float, float]  # of the head on the neck: yaw, pitch, roll
    neck: float
    neck_length: float
    throat: float
    shoulders: float  # half their width; 0: none
    slope: float
    forehead: float
    occiput: float
    flare: float  # angle of the ears to the head
    eye_open: float
    mouth_open: float
    hair: float  # its thickness
    fall: float  # how far below the nose's tip it hangs; below 0: short
    crown: float  # height above which the head is bald
    beard: float  # its thickness
    neck_shade: float  # melanin of neck and shoulders over the face's, less 1
    cloth: tuple[float, float, float]  # linear colour
    collar: float  # height of the cloth's edge at the neck; `NONE`: none
    stripes: float  # their wavelength; 0: none
    sides: float  # angle from the front that is valid; beyond pi: all around
    gaze: float


def draw_build(seed: int) -> Build:
    """A pure function of the seed, which is not negative."""
    dice = random.Random(seed * 7919 + 5)
    traits = draw_traits([seed], torch.device("cpu"))
    man, full = float(traits.masculinity), float(traits.fullness)

    def one(chance: float, low: float, high: float, other: float) -> float:
        drawn = dice.uniform(low, high)
        return drawn if dice.random() < chance else other

    haired = float(traits.scalp) > 0.2
    crown = one(0.25, 80, 115, 1000.0) if man > 0.5 else 1000.0
    thick = one(0.7, 2, 13, dice.uniform(13, 32)) if crown == 1000 else dice.uniform(0, 4)
    bulk = float(traits.beard) * float(traits.beard_length) > 0.2
    return Build(
        traits=traits,
        dice=seed * 1009 % 2**24,
        scale=(dice.uniform(0.91, 1.1), dice.uniform(0.92, 1.08), dice.uniform(0.93, 1.08)),
        turn=(dice.gauss(0, 0.12), dice.uniform(-0.15, 0.13), dice.gauss(0, 0.05)),
        neck=44 + 9 * man + 8 * full + dice.uniform(-4, 4),
        neck_length=dice.uniform(-8, 14),
        throat=max(0.0, full - 0.4) * dice.uniform(0, 30),
        shoulders=one(0.8, 150, 180, 0.0) * (1 + 0.12 * man),
        slope=dice.uniform(20, 55),
        forehead=dice.uniform(-7, 6),
        occiput=dice.uniform(-8, 8),
        flare=dice.uniform(0.2, 0.75),
        eye_open=one(0.75, 0.5, 1.1, 0.0),
        mouth_open=one(0.3, 1.5, 9.0, 0.3),
        hair=thick if haired else 0.0,
        fall=(one(0.35, 20, 150, NONE) if haired and man < 0.5 else NONE),
        crown=crown,
        beard=dice.uniform(2, 11) if bulk else 0.0,
        neck_shade=dice.uniform(-0.3, 0.35),
        cloth=colorsys.hsv_to_rgb(
            dice.random(), dice.random() ** 1.5 * 0.9, 0.01 + 0.85 * dice.random() ** 1.7
        ),
        collar=one(0.55, -170, -112, NONE),
        stripes=one(0.3, 14, 50, 0.0),
        sides=one(0.25, 1.3, 2.9, 10.0),
        gaze=dice.uniform(-0.3, 0.3),
    )
