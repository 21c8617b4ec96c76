"""Albedo of a bust: skin, hair, eyes and cloth, painted in space over its shape."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb
from realface.synthetic.bust_build import NONE, Build
from realface.synthetic.bust_shape import (
    SOCKET_DEPTH,
    beard_cover,
    cloth_cover,
    distance_to_curtain,
    distance_to_ear,
    distance_to_gap,
    distance_to_lips,
    distance_to_nostril,
    eye_opening,
    hair_roughness,
    on_head,
    scalp_cover,
)
from realface.synthetic.bust_solids import Points, mirrored, waves
from realface.synthetic.chromophores import read_table, skin_table
from realface.synthetic.hair import hair_colour
from realface.synthetic.noise import spots
from realface.synthetic.shaping import bump, step

_WHITE = (0.6, 0.53, 0.5)  # of the eye, linear
_IRISES = ((0.05, 0.02, 0.01), (0.1, 0.16, 0.22), (0.09, 0.1, 0.04))


def albedo(build: Build, points: Tensor) -> tuple[Tensor, Tensor]:
    """Diffuse albedo ``(3, N)``, sRGB in [0, 1], and specular ``(1, N)``, linear in [0.02, 0.6].

    Args:
        build: Whose.
        points: Of the surface, ``(3, N)`` [mm].
    """
    t, place = build.traits, on_head(build, points)
    lips = step(1.5 - distance_to_lips(build, mirrored(place)), 0.4)
    ear = step(1.0 - distance_to_ear(build, place), 0.4)
    cloth = cloth_cover(build, points) if build.shoulders else torch.zeros_like(points[0])
    colour = _skin(build, points, place, lips, ear)
    hair = _hair(build, place, ear) * (1 - cloth)
    locks = torch.exp(0.18 * waves(points, 6.0, 40.0, build.dice + 21))
    colour = torch.lerp(colour, (hair_colour(t)[..., 0] * locks).expand_as(colour), 0.93 * hair)
    colour = _painted_eyes(build, place, colour)
    pattern = 1 - 0.6 * (torch.sin(6.283 * points[1] / build.stripes) > 0.3) if build.stripes else 1
    dyed = torch.tensor(build.cloth)[:, None] * pattern
    colour = torch.lerp(colour, dyed.expand_as(colour), cloth)
    gloss = 0.18 + 0.07 * t.oiliness * bump(place[0], place[1], (0, 20), (30, 45)) + 0.1 * lips
    gloss = gloss * (1 + 0.1 * waves(points, 15.0, 90.0, build.dice + 22)) * (1 - 0.6 * hair)
    gloss = torch.lerp(gloss, torch.full_like(gloss, 0.08), cloth)
    return linear_to_srgb(colour.reshape(3, -1).clamp(0, 1)), gloss.reshape(1, -1).clamp(0.02, 0.6)


def _hair(build: Build, place: Points, ear: Tensor) -> Tensor:
    """Cover of the hair of head, face and brows, in [0, 1]."""
    cover = scalp_cover(build, place) * (1 - ear)
    if build.fall > NONE:
        hanging = step(1 + 3 * hair_roughness(build) - distance_to_curtain(build, place), 0.5)
        cover = torch.maximum(cover, hanging)
    cover = cover * (1.6 * build.traits.scalp).clamp(max=1)
    return torch.maximum(torch.maximum(cover, beard_cover(build, place)), _brows(build, place))


def _skin(build: Build, points: Tensor, place: Points, lips: Tensor, ear: Tensor) -> Tensor:
    """Linear colour of bare skin, ``(1, 3, N)``."""
    t, (x, y, z) = build.traits, place
    across, front = x.abs(), step(z - 50, 8)
    slow, slower, blotch = (
        waves(points, low, high, build.dice + 30 + i)
        for i, (low, high) in enumerate(((20.0, 90.0), (70.0, 250.0), (9.0, 45.0)))
    )
    below = step(-points[1] - 95 + 0.5 * points[2], 12)
    mild = 1 / (1 + t.melanin / 0.06)  # as in `regions`: dark skin needs less for equal contrast
    eyes = bump(across, y, (t.eye_spacing, t.eye_height - 6), (13, 7)) * front
    share = 0.5 * bump(x, y, (0, 74), (60, 20)) * front + 0.9 * t.under_eye * eyes
    share = share + 0.13 * slow + 0.13 * slower + build.neck_shade * below
    melanin = t.melanin * (1 + (0.4 + 0.6 * mild) * share + 0.4 * t.lip_melanin * lips)
    melanin = melanin.clamp(min=0.3 * t.melanin) + _spotted(build, place)
    flush = 0.8 * bump(across, y, (40, -2), (18, 15)) * front + 1.1 * step(z - 90, 5)
    flush = flush + 1.1 * ear + 0.5 * bump(x, y, (0, -70), (16, 9)) * front + 0.4 * eyes
    flush = t.flush * flush + 0.2 * t.mottling * blotch * (0.5 + 0.5 * flush) - 0.3 * below
    blood = t.blood * (1 + flush + 0.13 * slow).clamp(min=0.25) + t.lip_blood * lips
    layers = (t.epidermis, t.pheomelanin, t.carotene)
    table = skin_table(*(each.flatten() for each in layers))
    rows = [each.reshape(1, 1, -1) for each in (melanin, blood, 0 * blood + t.oxygenation)]
    skin = read_table(table, rows[0], rows[1], rows[2])[:, :, 0]
    p = mirrored(place)
    dark = 0.9 * step(0.5 - distance_to_nostril(build, p), 0.8)
    dark = torch.maximum(dark, 0.7 * step(0.5 - distance_to_gap(build, p), 0.3) * step(90 - z, 1))
    dark = torch.maximum(dark, 0.5 * t.scalp.clamp(max=0.5) * scalp_cover(build, place) * (1 - ear))
    return skin * (1 - dark.reshape(1, 1, -1))


def _spotted(build: Build, place: Points) -> Tensor:
    """Melanin of moles and large freckles."""
    t, (x, y, z) = build.traits, place
    arc = 90 * torch.atan2(x, z)
    total = torch.zeros_like(arc)
    for cell, density, depth in ((22.0, 0.06 * t.moles, 0.15), (7.0, 0.5 * t.freckles, 0.03)):
        where = density.flatten() * step(90 - y, 5)
        squared, own = spots(y / cell, arc / cell, where, build.dice + int(cell))
        total = total + depth * (0.3 + own) * torch.exp(-squared / (0.04 + 0.09 * own) ** 2)
    return total


def _brows(build: Build, place: Points) -> Tensor:
    t, across = build.traits, place[0].abs()
    along = ((across - 9) / 40).clamp(0, 1)
    middle = t.eye_height + 14 + t.brow_height + t.brow_arch * torch.sin(3 * along - 0.3)
    body = torch.exp(-(((place[1] - middle) / t.brow_thickness / (1.1 - 0.6 * along)) ** 2))
    ends = step(across - 10, 1.5) * step(48 - across, 1.5) * step(place[2] - 40, 4)
    return (body * ends * t.brow_density).clamp(max=1)


def _painted_eyes(build: Build, place: Points, skin: Tensor) -> Tensor:
    """Whites, irises and pupils where the eyes are open, and a dark line of lashes around."""
    t, p = build.traits, mirrored(place)
    ahead = step(p[2] - SOCKET_DEPTH, 2)
    opened = eye_opening(build, p) * ahead
    side = 14 * build.gaze * torch.sign(place[0])
    from_iris = ((p[0] - t.eye_spacing + side) ** 2 + (p[1] - t.eye_height) ** 2).sqrt()
    iris = step(5.6 - from_iris, 0.3)
    dye = random.Random(build.dice).choice(_IRISES)
    tint = torch.tensor(dye)[:, None] * step(from_iris - 2, 0.3)
    eye = torch.tensor(_WHITE)[:, None] * (1 - iris) + tint * iris
    lash = 4 * opened * (1 - opened) * ahead
    return torch.lerp(skin, eye, opened.expand_as(skin)) * (1 - 0.7 * lash)
