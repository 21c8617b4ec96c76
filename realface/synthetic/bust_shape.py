"""The signed distance of a bust and the parts that it is joined and carved from.

Every part is a distance [mm], negative inside, or a weight in [0, 1]: ``(N,)``, or ``(1, 1, N)``
where a trait enters. ``points`` are ``(3, N)`` [mm], as the bust stands; a ``place`` is x, y and z
``(N,)`` [mm] relative to an upright head of usual size (`on_head`), ``p`` its left half, onto
which the right is mirrored.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from realface.synthetic.bust_build import NONE, Build
from realface.synthetic.bust_solids import (
    Points,
    capsule,
    carve,
    ellipsoid,
    join,
    mirrored,
    waves,
)
from realface.synthetic.shaping import bump, groove, step

SOCKET_DEPTH = 69.0
"""Z of the eyeball's centre [mm]."""

_EYEBALL = 12.5  # its radius [mm]


def distance(build: Build, points: Tensor) -> Tensor:
    """Signed distance [mm] of the bust at points ``(3, N)``, about: ``(N,)``; negative inside."""
    place = on_head(build, points)
    lumps = torch.zeros_like(points[0])
    if build.hair or build.beard or build.collar > NONE:
        lumps = waves(points, 28.0, 40.0, build.dice + 3)
    far = join(_head(build, place, lumps), _neck(build, points), 16)
    far = join(far, distance_to_ear(build, place), 4)
    if build.shoulders:
        far = join(far, _torso(build, points, lumps), 22)
    return far.flatten()


def on_head(build: Build, points: Tensor) -> Points:
    """Points ``(3, N)`` relative to an upright head of usual size, a little asymmetric [mm]."""
    yaw, pitch, roll = build.turn
    x, y, z = points[0], points[1] + 50, points[2] + 15
    x, z = x * math.cos(yaw) - z * math.sin(yaw), z * math.cos(yaw) + x * math.sin(yaw)
    y, z = y * math.cos(pitch) - z * math.sin(pitch), z * math.cos(pitch) + y * math.sin(pitch)
    x, y = x * math.cos(roll) - y * math.sin(roll), y * math.cos(roll) + x * math.sin(roll)
    wide, tall, long = build.scale
    x, y, z = x / wide, (y - 50) / tall, (z - 15) / long
    phase = build.dice % 628 / 100
    crooked = 1.2 * torch.sin(y / 31 + phase) + 1.5 * torch.sin(y / 53 + z / 41 + 3 * phase)
    return x + crooked, y + 0.9 * torch.sin(x / 37 + 2 * phase), z


def _head(build: Build, place: Points, lumps: Tensor) -> Tensor:
    t, p = build.traits, mirrored(place)
    back = -4.0 - build.occiput
    far = ellipsoid(p, (0, 58, back), (75 * t.width, 86, 94))
    far = join(far, ellipsoid(p, (0, 64, 44 + build.forehead), (56, 48, 50)), 30)
    if build.hair:
        far = far - (build.hair + hair_roughness(build) * lumps) * scalp_cover(build, place)
    if build.fall > NONE:
        far = join(far, distance_to_curtain(build, place) - hair_roughness(build) * lumps, 10)
    far = join(far, ellipsoid(p, (0, 8, 34), (64 * t.width, 64, 55)), 22)
    far = join(far, _jaw(build, p), 18)
    ahead = place[2] > 22  # half the work: elsewhere no part of the face is near
    far[..., ahead] = _face(build, (p[0][ahead], p[1][ahead], p[2][ahead]), far[..., ahead])
    if build.beard:
        far = far - build.beard * beard_cover(build, place) * (1 + 0.15 * lumps)
    return far


def _jaw(build: Build, p: Points) -> Tensor:
    """Lower jaw with the chin and what hangs below it."""
    t = build.traits
    low = t.lower_face
    chin = (0.0, -70 / low - t.chin_length, 79 + t.chin_forward)
    jaw = capsule(p, (45 * t.jaw_width, -42, 14), (13, -73 / low, 70), (15, 13))
    jaw = join(jaw, ellipsoid(p, (0, -36, 34), (49 * t.jaw_width, 44, 52)), 16)
    jaw = join(jaw, ellipsoid(p, chin, (17 + 4 * t.masculinity, 13, 15)), 14)
    return join(jaw, ellipsoid(p, (0, -78, 38), (26, 12 + build.throat, 26)), 16)


def _face(build: Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    cheek = ellipsoid(p, (45, 10, 58 + 0.6 * t.cheekbone), (19, 13, 19))
    flesh = ellipsoid(p, (34, -22, 62), (17, 22, 18 + 7 * t.fullness))
    ridge = capsule(p, (9, 43, 84), (43, 45, 68), (7 + 0.5 * t.brow_ridge, 7))
    far = join(join(join(far, cheek, 14), flesh, 16), ridge, 14)
    return _mouth(build, p, _nose(build, p, _eyes(build, p, far)))


def _eyes(build: Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    socket = (t.eye_spacing, t.eye_height + 1, 93.0)
    far = carve(far, ellipsoid(p, socket, (18.5, 12.5, 15 + 1.5 * t.bridge_depth)), 12)
    ball = ellipsoid(p, (t.eye_spacing, t.eye_height, SOCKET_DEPTH), (_EYEBALL,) * 3)
    lids = ball - 2.2 * (1 - eye_opening(build, p))
    return join(far, lids, 7)


def eye_opening(build: Build, p: Points) -> Tensor:
    """Weight in [0, 1] of where the lids leave the eyeball open."""
    t = build.traits
    u = (p[0] - t.eye_spacing) / (0.82 * t.eye_width)
    v = p[1] - t.eye_height - t.eye_tilt * (p[0] - t.eye_spacing)
    half = 5.6 * build.eye_open * (1 - u**2)
    return step(half - v.abs(), 0.5) if build.eye_open else torch.zeros_like(u)


def _nose(build: Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    reach = 109 + 25 * (t.nose_height - 0.95)
    base = -2 - 0.6 * t.nose_length
    tip = (0.0, base + 2 + t.nose_tip, reach)
    middle = (0.0, 16, 0.45 * reach + 0.55 * 86 + 1.3 * t.nose_bump)
    nose = capsule(p, (0, 40, 80 + t.bridge_depth), middle, (6.5, 7.5))
    nose = join(nose, capsule(p, middle, tip, (7.5, 8.5 * t.nose_width)), 8)
    wing = (13 * t.nose_width, base - 3, 91.0)
    nose = join(nose, ellipsoid(p, wing, (8 * t.nose_width, 7, 11)), 8)
    nose = join(nose, capsule(p, (0, base - 7, 88), tip, (4, 5)), 6)
    far = join(far, nose, 13)
    return carve(far, distance_to_nostril(build, p), 2)


def distance_to_nostril(build: Build, p: Points) -> Tensor:
    """Distance to the hollow of a nostril [mm]."""
    t = build.traits
    place = (7.2 * t.nose_width, -13.5 - 0.6 * t.nose_length, 98 + 12 * (t.nose_height - 0.95))
    return ellipsoid(p, place, (3.4 * t.nose_width, 4.0, 6.0))


def _mouth(build: Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    far = join(far, ellipsoid(p, (0, t.mouth_height, 64.5), (30, 21, 24)), 16)
    far = join(far, distance_to_lips(build, p), 3.5)
    return carve(far, distance_to_gap(build, p), 1.5)


def distance_to_gap(build: Build, p: Points) -> Tensor:
    """Distance to the hollow between the lips [mm]."""
    t, opened = build.traits, build.mouth_open
    radii = (0.8 * t.mouth_width, 0.35 + opened, 12.0)
    return ellipsoid(p, (0, t.mouth_height - 0.4 * opened, 96), radii)


def distance_to_lips(build: Build, p: Points) -> Tensor:
    """Distance to both lips [mm]."""
    t = build.traits
    corner = (0.95 * t.mouth_width, t.mouth_height + 0.6 * t.mouth_curve - 0.6, 84.0)
    upper, lower = 0.5 * t.upper_lip, 0.5 * t.lower_lip
    top = (3.0, t.mouth_height + 0.9 * upper + 0.3 * build.mouth_open, 91.5)
    bottom = (0.0, t.mouth_height - lower - 1.3 * build.mouth_open, 90.5)
    first = capsule(p, top, corner, (1.15 * upper, 2.0))
    return join(first, capsule(p, bottom, corner, (1.15 * lower, 2.0)), 1.0)


def _on_ear(build: Build, place: Points) -> Points:
    """Places relative to the ear: backwards along its plate, upwards, and out of the plate."""
    x, y, z = place[0].abs() - 68 * build.traits.width, place[1] - 14, place[2] + 6
    lean = 0.22
    y, z = y * math.cos(lean) - z * math.sin(lean), z * math.cos(lean) + y * math.sin(lean)
    cosine, sine = math.cos(build.flare), math.sin(build.flare)
    size = build.traits.ear_size
    return (x * sine - z * cosine) / size, y / size, (x * cosine + z * sine) / size


def distance_to_ear(build: Build, place: Points) -> Tensor:
    """Distance to an ear [mm]: a plate with a rim, a fold and a lobe, the concha carved out."""
    q = back, up, out = _on_ear(build, place)
    plate = ellipsoid(q, (9, 0, 0), (16, 29, 3.6))
    radius = (((back - 9) / 16) ** 2 + (up / 29) ** 2).clamp(min=1e-4).sqrt()
    ring = (((radius - 0.92) * 17) ** 2 + (out - 2.2) ** 2).sqrt() - 2.6 * step(up + 14, 4)
    ear = join(plate, ring, 2.5)
    ear = join(ear, capsule(q, (13, 14, 2), (12, -12, 2.5), (2.2, 2.4)), 3)
    ear = join(ear, ellipsoid(q, (5, -25, 0), (6, 8, 3.6)), 4)
    ear = carve(ear, ellipsoid(q, (5, -3, 5), (7, 11, 6.5)), 3)
    ear = join(ear, ellipsoid(q, (-4, -6, 2), (3.5, 5, 3)), 3)
    return ear * build.traits.ear_size


def _neck(build: Build, points: Tensor) -> Tensor:
    p = mirrored((points[0], points[1], points[2]))
    foot = -160 - build.neck_length
    neck = capsule(p, (0, -40, -22), (0, foot - 60, -34), (build.neck, build.neck + 4))
    cord = capsule(p, (build.neck + 4, -30, -24), (13, foot + 10, 20), (10, 8))
    throat = ellipsoid(p, (0, -112, build.neck - 31), (8, 13, 8 + 2 * build.traits.masculinity))
    return join(join(neck, cord, 8), throat, 10)


def _torso(build: Build, points: Tensor, lumps: Tensor) -> Tensor:
    p = mirrored((points[0], points[1], points[2]))
    top, half = -152 - build.neck_length, build.shoulders
    low = top - build.slope
    cape = capsule(p, (20, top + 50, -46), (0.62 * half, low + 8, -40), (24, 24))
    arm = capsule(p, (0.5 * half, low - 22, -32), (half, low - 28, -30), (38, 40))
    body = join(cape, ellipsoid(p, (0, top - 110, -26), (0.95 * half, 112, 92)), 40)
    bone = capsule(p, (12, top - 6, 26), (0.8 * half, low + 14, -8), (6.5, 6))
    torso = join(join(body, arm, 30), bone, 12)
    return torso - (3.5 + 1.5 * lumps) * cloth_cover(build, points)


def cloth_cover(build: Build, points: Tensor) -> Tensor:
    """Weight in [0, 1] of cloth at points ``(3, N)``: all below the collar."""
    x, y, z = points
    scoop = 0.0012 * x**2 * step(z, 10) - 0.25 * z.clamp(min=0)
    return step(build.collar - build.neck_length - y + scoop, 1.2)


def hair_roughness(build: Build) -> float:
    """Deviation of the hair's surface [mm]."""
    return 0.3 + 0.06 * build.hair if build.hair else 0.0


def distance_to_curtain(build: Build, p: Points) -> Tensor:
    """Distance to the hair that hangs down behind the face and over the ears [mm]."""
    middle, half = 50 - 0.5 * build.fall, 55 + 0.5 * build.fall
    return ellipsoid(p, (0, middle, -38), (80 + 0.4 * build.hair, half, 60 + 0.5 * build.hair))


def scalp_cover(build: Build, place: Points) -> Tensor:
    """Weight in [0, 1] of the hair of the head: above the hairline, below a bald crown."""
    x, y, z = place
    t = build.traits
    front = z / (x**2 + z**2 + 1).sqrt()
    nape = -48 + 86 * _ease((front + 0.85) / 0.75)
    edge = nape + (t.hairline - 40) * _ease((front - 0.3) / 0.5)
    edge = edge + t.recession * bump(x.abs(), front, (45, 0.75), (14, 0.3))
    edge = edge - 30 * (build.fall > NONE) * (1 - _ease((front + 0.2) / 0.9))
    return step(y - edge, 2.5) * step(build.crown - y + 25 * front, 6)


def _ease(share: Tensor) -> Tensor:
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)


def beard_cover(build: Build, place: Points) -> Tensor:
    """Weight in [0, 1] of facial hair on cheeks, chin, lip and throat."""
    x, y, z = place[0].abs(), place[1], place[2]
    t = build.traits
    upper = -20 + t.beard_edge - 22 * groove(x - 28, 16) + 30 * step(x - 58, 4)
    jaw = step(upper - y, 4) * step(z - 4 + 0.3 * y, 3) * step(y + 108, 4)
    chin = step(t.mouth_height - 9 - y, 2) * step(30 - x, 3) * step(y + 92, 4) * step(z - 30, 4)
    lip = bump(x, y, (10, t.mouth_height + 11), (13, 4.5)) * step(z - 60, 4)
    jaw = jaw * step(x - 24 + 1.1 * (-52 - y).clamp(min=0), 3)
    total = torch.maximum(t.beard * jaw, t.goatee * chin)
    total = torch.maximum(total, t.moustache * (1.4 * lip).clamp(max=1))
    return total * step(distance_to_lips(build, mirrored(place)) - 1.5, 0.5)
