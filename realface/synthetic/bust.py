"""Procedural busts: whole heads with ears, neck and shoulders, unrolled around a vertical axis.

Training data for networks that see a whole head at about 1.5 mm a texel. The head is a signed
distance of blobs, smoothly joined and carved (Quilez, "Distance functions",
iquilezles.org/articles/distfunctions); a ray for each texel finds its surface. The origin lies
between the ears at the height of the nose's tip; x to the subject's left, y up, z to the viewer.
The face is in the middle of the chart, the seam runs down the back of the head.
"""

from __future__ import annotations

import colorsys
import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.maps.encoding import linear_to_srgb, unit
from realface.synthetic.chromophores import read_table, skin_table
from realface.synthetic.hair import hair_colour
from realface.synthetic.noise import spots
from realface.synthetic.shaping import Knots, Place, bump, groove, step, through
from realface.synthetic.traits import Traits, draw_traits

_STEPS = 40  # of each ray
_CAUTION = 0.85  # share of the distance that a ray advances: joins and hair overstate it
_OPEN = 10.0  # distance from which it advances all of it [mm]
_NEAR = 0.1  # distance at which a ray stops [mm]
_ARRIVED = 1.0  # distance up to which it has met the surface [mm]
_LOWER_RIM = 0.985  # of the chart's height; below it nothing is valid

# Where rays start and end, over the chart's height: a fan over the vertex, level before the face,
# looking up below the chin and down onto the shoulders.
_FAN = 0.34
_START_RADIUS: Knots = [(_FAN, 160.0), (0.66, 160.0), (0.8, 128.0), (0.87, 135.0), (1.0, 225.0)]
_START_HEIGHT: Knots = [(_FAN, 50.0), (0.62, -88.0), (0.73, -128.0), (0.88, -120.0), (1.0, -105.0)]
_END_HEIGHT: Knots = [(_FAN, 50.0), (0.62, -62.0), (0.73, -100.0), (0.84, -150.0), (1.0, -270.0)]
_END_DEPTH: Knots = [(0.45, 0.0), (0.7, -18.0), (1.0, -25.0)]

_SOCKET_DEPTH = 69.0  # of the eyeball's centre, z [mm]
_EYEBALL = 12.5  # its radius [mm]

_WHITE = (0.6, 0.53, 0.5)  # of the eye, linear
_IRISES = ((0.05, 0.02, 0.01), (0.1, 0.16, 0.22), (0.09, 0.1, 0.04))

_CELLS = 24  # of the lattice of noise, along each side
_TURN = torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(1)) - 0.5)[0]
"""Turns the lattice of noise off the axes of the head."""

_NONE = -1000.0  # height of what is not there

Points = tuple[Tensor, Tensor, Tensor]
Triple = tuple[Place, Place, Place]


@dataclass(frozen=True)
class _Build:
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
    collar: float  # height of the cloth's edge at the neck; -1000: none
    stripes: float  # their wavelength; 0: none
    sides: float  # angle from the front that is valid; beyond pi: all around
    gaze: float


def bust_maps(seed: int, height: int, width: int) -> dict[str, Tensor]:
    """Maps of one bust: a pure function of the seed, and the same bust at any size.

    Args:
        seed: Which bust; not negative.
        height: Height of the maps [texels]; texels are about square at 3/4 of the width.
        width: Width of the maps, once around the head [texels]; about 560 mm.

    Returns:
        Float32 ``(C, height, width)``: ``diffuse_albedo`` (3, sRGB), ``specular_albedo`` (1,
        linear), ``diffuse_normals``, ``specular_normals``, ``shape_normals`` (3, unit, object
        space), ``shape`` (3, mm from the median of the valid positions), ``mask`` (1, 0 or 1).
        Outside the mask albedos and shape are 0 and normals (0, 0, 1).
    """
    with torch.no_grad():
        build = _draw(seed)
        points, valid = _traced(build, *_rays(height, width))
        valid[math.ceil(_LOWER_RIM * height) * width :] = False
        points = points[:, valid]
        normals = _normals(build, points)
        diffuse, specular = _albedo(build, points)
    rough = torch.stack([_waves(points, 3.0, 9.0, build.dice + 50 + i) for i in range(3)])
    zero, ahead = torch.zeros(3), torch.tensor((0.0, 0.0, 1.0))

    def chart(values: Tensor, outside: Tensor) -> Tensor:
        whole = outside[:, None].repeat(1, height * width)
        whole[:, valid] = values
        return whole.view(-1, height, width)

    flat = chart(normals, ahead)
    return {
        "diffuse_albedo": chart(diffuse, zero),
        "specular_albedo": chart(specular, zero[:1]),
        "diffuse_normals": flat,
        "specular_normals": unit(chart(normals + 0.04 * rough, ahead)),
        "shape_normals": flat.clone(),
        "shape": chart(points - points.median(dim=1, keepdim=True).values, zero),
        "mask": valid.float().view(1, height, width),
    }


def _draw(seed: int) -> _Build:
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
    return _Build(
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
        fall=(one(0.35, 20, 150, _NONE) if haired and man < 0.5 else _NONE),
        crown=crown,
        beard=dice.uniform(2, 11) if bulk else 0.0,
        neck_shade=dice.uniform(-0.3, 0.35),
        cloth=colorsys.hsv_to_rgb(
            dice.random(), dice.random() ** 1.5 * 0.9, 0.01 + 0.85 * dice.random() ** 1.7
        ),
        collar=one(0.55, -170, -112, _NONE),
        stripes=one(0.3, 14, 50, 0.0),
        sides=one(0.25, 1.3, 2.9, 10.0),
        gaze=dice.uniform(-0.3, 0.3),
    )


def _rays(height: int, width: int) -> tuple[Tensor, Tensor]:
    """First and last points of the texels' rays, ``(3, texels)`` each [mm]."""
    down = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width).flatten()
    across = ((torch.arange(width) + 0.5) / width).expand(height, width).flatten()
    angle = math.pi * (2 * across - 1)
    rise = (1 - down / _FAN).clamp(min=0) * math.pi / 2
    radius = through(down, _START_RADIUS, 0.012)
    start = torch.stack((radius * rise.cos() * angle.sin(), radius, radius * rise.cos()))
    start[1] = through(down, _START_HEIGHT, 0.012) + radius * rise.sin()
    start[2] = start[2] * angle.cos()
    depth = through(down, _END_DEPTH, 0.02)
    start[2] += depth
    end = torch.stack((torch.zeros_like(depth), through(down, _END_HEIGHT, 0.012), depth))
    return start, end


def _traced(build: _Build, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Where the rays meet the surface ``(3, texels)``, and which meet a valid place of it."""
    way = end - start
    length = way.square().sum(0).sqrt()
    way = way / length
    gone = torch.zeros_like(length)
    far = torch.zeros_like(length)
    active = torch.arange(len(length))
    for _ in range(_STEPS):
        some = gone[active]
        near = _distance(build, start[:, active] + some * way[:, active])
        ahead = torch.where(near > _OPEN, near, _CAUTION * near)
        far[active], gone[active] = near, some + ahead
        active = active[(near.abs() > _NEAR) & (gone[active] < length[active])]
        if not len(active):
            break
    arrived = (gone < length) & (far.abs() < _ARRIVED)
    points = start + gone * way
    return points, arrived & _kept(build, points)


def _kept(build: _Build, points: Tensor) -> Tensor:
    """Where the bust is not cut off, ``(texels,)``: below the neck, or around the back."""
    wavy = _waves(points, 60.0, 200.0, build.dice + 9)
    kept = torch.atan2(points[0], points[2]).abs() < build.sides + 0.12 * wavy
    if build.shoulders == 0:
        kept = kept & (points[1] > -128 - build.neck_length + 6 * wavy)
    return kept


def _normals(build: _Build, points: Tensor) -> Tensor:
    """Unit gradients of the distance, ``(3, N)``."""
    total = torch.zeros_like(points)
    for corner in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):  # of a tetrahedron
        way = torch.tensor(corner, dtype=points.dtype)[:, None]
        total += way * _distance(build, points + 0.4 * way)
    return unit(total[..., None])[..., 0]


def _distance(build: _Build, points: Tensor) -> Tensor:
    """Signed distance of the bust [mm], about, ``(N,)``; negative inside."""
    place = _on_head(build, points)
    lumps = torch.zeros_like(points[0])
    if build.hair or build.beard or build.collar > _NONE:
        lumps = _waves(points, 28.0, 40.0, build.dice + 3)
    far = _join(_head(build, place, lumps), _neck(build, points), 16)
    far = _join(far, _ear(build, place), 4)
    if build.shoulders:
        far = _join(far, _torso(build, points, lumps), 22)
    return far.flatten()


def _on_head(build: _Build, points: Tensor) -> Points:
    """Places relative to an upright head of usual size, a little asymmetric."""
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


def _ellipsoid(p: Points, centre: Triple, radii: Triple) -> Tensor:
    q = [(a - c) / r for a, c, r in zip(p, centre, radii, strict=True)]
    near = (q[0] ** 2 + q[1] ** 2 + q[2] ** 2).sqrt()
    slope = sum((a / r) ** 2 for a, r in zip(q, radii, strict=True))
    return near * (near - 1) / torch.as_tensor(slope).sqrt().clamp(min=1e-6)


def _capsule(p: Points, first: Triple, second: Triple, radii: tuple[Place, Place]) -> Tensor:
    """Rod between two points, of one radius at each."""
    rod = [torch.as_tensor(b - a) for a, b in zip(first, second, strict=True)]
    q = [a - c for a, c in zip(p, first, strict=True)]
    squared = rod[0] ** 2 + rod[1] ** 2 + rod[2] ** 2
    along = ((q[0] * rod[0] + q[1] * rod[1] + q[2] * rod[2]) / squared).clamp(0, 1)
    away = [a - along * b for a, b in zip(q, rod, strict=True)]
    near = (away[0] ** 2 + away[1] ** 2 + away[2] ** 2).sqrt()
    return near - (radii[0] + along * (radii[1] - radii[0]))


def _join(one: Tensor, other: Tensor, blend: float) -> Tensor:
    """Union, rounded over ``blend`` mm."""
    close = (blend - (one - other).abs()).clamp(min=0)
    return torch.minimum(one, other) - close**2 / (4 * blend)


def _carve(solid: Tensor, hollow: Tensor, blend: float) -> Tensor:
    return -_join(-solid, hollow, blend)


def _mirrored(p: Points) -> Points:
    """The left half, for what comes in pairs; rounded, lest the midline creases."""
    return (p[0] ** 2 + 2.0).sqrt(), p[1], p[2]


def _head(build: _Build, place: Points, lumps: Tensor) -> Tensor:
    t, p = build.traits, _mirrored(place)
    back = -4.0 - build.occiput
    far = _ellipsoid(p, (0, 58, back), (75 * t.width, 86, 94))
    far = _join(far, _ellipsoid(p, (0, 64, 44 + build.forehead), (56, 48, 50)), 30)
    if build.hair:
        far = far - (build.hair + _lumpy(build) * lumps) * _scalp(build, place)
    if build.fall > _NONE:
        far = _join(far, _curtain(build, place) - _lumpy(build) * lumps, 10)
    far = _join(far, _ellipsoid(p, (0, 8, 34), (64 * t.width, 64, 55)), 22)
    far = _join(far, _jaw(build, p), 18)
    ahead = place[2] > 22  # half the work: elsewhere no part of the face is near
    far[..., ahead] = _face(build, (p[0][ahead], p[1][ahead], p[2][ahead]), far[..., ahead])
    if build.beard:
        far = far - build.beard * _beard(build, place) * (1 + 0.15 * lumps)
    return far


def _jaw(build: _Build, p: Points) -> Tensor:
    """Lower jaw with the chin and what hangs below it."""
    t = build.traits
    low = t.lower_face
    chin = (0.0, -70 / low - t.chin_length, 79 + t.chin_forward)
    jaw = _capsule(p, (45 * t.jaw_width, -42, 14), (13, -73 / low, 70), (15, 13))
    jaw = _join(jaw, _ellipsoid(p, (0, -36, 34), (49 * t.jaw_width, 44, 52)), 16)
    jaw = _join(jaw, _ellipsoid(p, chin, (17 + 4 * t.masculinity, 13, 15)), 14)
    return _join(jaw, _ellipsoid(p, (0, -78, 38), (26, 12 + build.throat, 26)), 16)


def _face(build: _Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    cheek = _ellipsoid(p, (45, 10, 58 + 0.6 * t.cheekbone), (19, 13, 19))
    flesh = _ellipsoid(p, (34, -22, 62), (17, 22, 18 + 7 * t.fullness))
    ridge = _capsule(p, (9, 43, 84), (43, 45, 68), (7 + 0.5 * t.brow_ridge, 7))
    far = _join(_join(_join(far, cheek, 14), flesh, 16), ridge, 14)
    return _mouth(build, p, _nose(build, p, _eyes(build, p, far)))


def _lumpy(build: _Build) -> float:
    """Deviation of the hair's surface [mm]."""
    return 0.3 + 0.06 * build.hair if build.hair else 0.0


def _curtain(build: _Build, p: Points) -> Tensor:
    """Hair that hangs down behind the face and over the ears."""
    middle, half = 50 - 0.5 * build.fall, 55 + 0.5 * build.fall
    return _ellipsoid(p, (0, middle, -38), (80 + 0.4 * build.hair, half, 60 + 0.5 * build.hair))


def _eyes(build: _Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    socket = (t.eye_spacing, t.eye_height + 1, 93.0)
    far = _carve(far, _ellipsoid(p, socket, (18.5, 12.5, 15 + 1.5 * t.bridge_depth)), 12)
    ball = _ellipsoid(p, (t.eye_spacing, t.eye_height, _SOCKET_DEPTH), (_EYEBALL,) * 3)
    lids = ball - 2.2 * (1 - _opening(build, p))
    return _join(far, lids, 7)


def _opening(build: _Build, p: Points) -> Tensor:
    """1 where the lids leave the eyeball open."""
    t = build.traits
    u = (p[0] - t.eye_spacing) / (0.82 * t.eye_width)
    v = p[1] - t.eye_height - t.eye_tilt * (p[0] - t.eye_spacing)
    half = 5.6 * build.eye_open * (1 - u**2)
    return step(half - v.abs(), 0.5) if build.eye_open else torch.zeros_like(u)


def _nose(build: _Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    reach = 109 + 25 * (t.nose_height - 0.95)
    base = -2 - 0.6 * t.nose_length
    tip = (0.0, base + 2 + t.nose_tip, reach)
    middle = (0.0, 16, 0.45 * reach + 0.55 * 86 + 1.3 * t.nose_bump)
    nose = _capsule(p, (0, 40, 80 + t.bridge_depth), middle, (6.5, 7.5))
    nose = _join(nose, _capsule(p, middle, tip, (7.5, 8.5 * t.nose_width)), 8)
    wing = (13 * t.nose_width, base - 3, 91.0)
    nose = _join(nose, _ellipsoid(p, wing, (8 * t.nose_width, 7, 11)), 8)
    nose = _join(nose, _capsule(p, (0, base - 7, 88), tip, (4, 5)), 6)
    far = _join(far, nose, 13)
    return _carve(far, _nostril(build, p), 2)


def _nostril(build: _Build, p: Points) -> Tensor:
    t = build.traits
    place = (7.2 * t.nose_width, -13.5 - 0.6 * t.nose_length, 98 + 12 * (t.nose_height - 0.95))
    return _ellipsoid(p, place, (3.4 * t.nose_width, 4.0, 6.0))


def _mouth(build: _Build, p: Points, far: Tensor) -> Tensor:
    t = build.traits
    far = _join(far, _ellipsoid(p, (0, t.mouth_height, 64.5), (30, 21, 24)), 16)
    far = _join(far, _lips(build, p), 3.5)
    return _carve(far, _gap(build, p), 1.5)


def _gap(build: _Build, p: Points) -> Tensor:
    """Between the lips."""
    t, opened = build.traits, build.mouth_open
    radii = (0.8 * t.mouth_width, 0.35 + opened, 12.0)
    return _ellipsoid(p, (0, t.mouth_height - 0.4 * opened, 96), radii)


def _lips(build: _Build, p: Points) -> Tensor:
    t = build.traits
    corner = (0.95 * t.mouth_width, t.mouth_height + 0.6 * t.mouth_curve - 0.6, 84.0)
    upper, lower = 0.5 * t.upper_lip, 0.5 * t.lower_lip
    top = (3.0, t.mouth_height + 0.9 * upper + 0.3 * build.mouth_open, 91.5)
    bottom = (0.0, t.mouth_height - lower - 1.3 * build.mouth_open, 90.5)
    first = _capsule(p, top, corner, (1.15 * upper, 2.0))
    return _join(first, _capsule(p, bottom, corner, (1.15 * lower, 2.0)), 1.0)


def _on_ear(build: _Build, place: Points) -> Points:
    """Places relative to the ear: backwards along its plate, upwards, and out of the plate."""
    x, y, z = place[0].abs() - 68 * build.traits.width, place[1] - 14, place[2] + 6
    lean = 0.22
    y, z = y * math.cos(lean) - z * math.sin(lean), z * math.cos(lean) + y * math.sin(lean)
    cosine, sine = math.cos(build.flare), math.sin(build.flare)
    size = build.traits.ear_size
    return (x * sine - z * cosine) / size, y / size, (x * cosine + z * sine) / size


def _ear(build: _Build, place: Points) -> Tensor:
    """A plate with a rim, a fold and a lobe, and the hollow of the concha."""
    q = back, up, out = _on_ear(build, place)
    plate = _ellipsoid(q, (9, 0, 0), (16, 29, 3.6))
    radius = (((back - 9) / 16) ** 2 + (up / 29) ** 2).clamp(min=1e-4).sqrt()
    ring = (((radius - 0.92) * 17) ** 2 + (out - 2.2) ** 2).sqrt() - 2.6 * step(up + 14, 4)
    ear = _join(plate, ring, 2.5)
    ear = _join(ear, _capsule(q, (13, 14, 2), (12, -12, 2.5), (2.2, 2.4)), 3)
    ear = _join(ear, _ellipsoid(q, (5, -25, 0), (6, 8, 3.6)), 4)
    ear = _carve(ear, _ellipsoid(q, (5, -3, 5), (7, 11, 6.5)), 3)
    ear = _join(ear, _ellipsoid(q, (-4, -6, 2), (3.5, 5, 3)), 3)
    return ear * build.traits.ear_size


def _neck(build: _Build, points: Tensor) -> Tensor:
    p = _mirrored((points[0], points[1], points[2]))
    foot = -160 - build.neck_length
    neck = _capsule(p, (0, -40, -22), (0, foot - 60, -34), (build.neck, build.neck + 4))
    cord = _capsule(p, (build.neck + 4, -30, -24), (13, foot + 10, 20), (10, 8))
    throat = _ellipsoid(p, (0, -112, build.neck - 31), (8, 13, 8 + 2 * build.traits.masculinity))
    return _join(_join(neck, cord, 8), throat, 10)


def _torso(build: _Build, points: Tensor, lumps: Tensor) -> Tensor:
    p = _mirrored((points[0], points[1], points[2]))
    top, half = -152 - build.neck_length, build.shoulders
    low = top - build.slope
    cape = _capsule(p, (20, top + 50, -46), (0.62 * half, low + 8, -40), (24, 24))
    arm = _capsule(p, (0.5 * half, low - 22, -32), (half, low - 28, -30), (38, 40))
    body = _join(cape, _ellipsoid(p, (0, top - 110, -26), (0.95 * half, 112, 92)), 40)
    bone = _capsule(p, (12, top - 6, 26), (0.8 * half, low + 14, -8), (6.5, 6))
    torso = _join(_join(body, arm, 30), bone, 12)
    return torso - (3.5 + 1.5 * lumps) * _cloth(build, points)


def _cloth(build: _Build, points: Tensor) -> Tensor:
    x, y, z = points
    scoop = 0.0012 * x**2 * step(z, 10) - 0.25 * z.clamp(min=0)
    return step(build.collar - build.neck_length - y + scoop, 1.2)


def _scalp(build: _Build, place: Points) -> Tensor:
    """Weight in [0, 1] of the hair of the head: above the hairline, below a bald crown."""
    x, y, z = place
    t = build.traits
    front = z / (x**2 + z**2 + 1).sqrt()
    nape = -48 + 86 * _ease((front + 0.85) / 0.75)
    edge = nape + (t.hairline - 40) * _ease((front - 0.3) / 0.5)
    edge = edge + t.recession * bump(x.abs(), front, (45, 0.75), (14, 0.3))
    edge = edge - 30 * (build.fall > _NONE) * (1 - _ease((front + 0.2) / 0.9))
    return step(y - edge, 2.5) * step(build.crown - y + 25 * front, 6)


def _ease(share: Tensor) -> Tensor:
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)


def _beard(build: _Build, place: Points) -> Tensor:
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
    return total * step(_lips(build, _mirrored(place)) - 1.5, 0.5)


def _waves(points: Tensor, shortest: float, longest: float, dice: int) -> Tensor:
    """Smooth noise of about unit variance, octaves between two wavelengths [mm], ``(N,)``.

    Random values on a lattice that repeats, read with weights of two continuous derivatives.
    """
    generator = torch.Generator().manual_seed(dice)
    total, squares = torch.zeros_like(points[0]), 0.0
    weight, wavelength = 1.0, longest
    while wavelength >= shortest:
        table = torch.rand((_CELLS,) * 3, generator=generator) * 2 - 1
        table = torch.nn.functional.pad(table[None, None], (0, 1) * 3, mode="circular")
        turned = points.T @ _TURN.T / (wavelength / 2) + table[0, 0, 0, 0, :3] * _CELLS
        cell = turned.floor()
        share = turned - cell
        share = share**3 * (10 - 15 * share + 6 * share**2)
        place = 2 * (cell % _CELLS + share) / _CELLS - 1
        read = torch.nn.functional.grid_sample(table, place[None, None, None], align_corners=True)
        total += weight * read.flatten()
        squares += weight**2
        weight, wavelength = 0.65 * weight, 0.5 * wavelength
    return total * 2.9 / math.sqrt(squares)


def _albedo(build: _Build, points: Tensor) -> tuple[Tensor, Tensor]:
    """SRGB diffuse albedo ``(3, N)`` and linear specular albedo ``(1, N)``."""
    t, place = build.traits, _on_head(build, points)
    lips = step(1.5 - _lips(build, _mirrored(place)), 0.4)
    ear = step(1.0 - _ear(build, place), 0.4)
    cloth = _cloth(build, points) if build.shoulders else torch.zeros_like(points[0])
    colour = _skin(build, points, place, lips, ear)
    hair = _hair(build, place, ear) * (1 - cloth)
    locks = torch.exp(0.18 * _waves(points, 6.0, 40.0, build.dice + 21))
    colour = torch.lerp(colour, (hair_colour(t)[..., 0] * locks).expand_as(colour), 0.93 * hair)
    colour = _painted_eyes(build, place, colour)
    pattern = 1 - 0.6 * (torch.sin(6.283 * points[1] / build.stripes) > 0.3) if build.stripes else 1
    dyed = torch.tensor(build.cloth)[:, None] * pattern
    colour = torch.lerp(colour, dyed.expand_as(colour), cloth)
    gloss = 0.18 + 0.07 * t.oiliness * bump(place[0], place[1], (0, 20), (30, 45)) + 0.1 * lips
    gloss = gloss * (1 + 0.1 * _waves(points, 15.0, 90.0, build.dice + 22)) * (1 - 0.6 * hair)
    gloss = torch.lerp(gloss, torch.full_like(gloss, 0.08), cloth)
    return linear_to_srgb(colour.reshape(3, -1).clamp(0, 1)), gloss.reshape(1, -1).clamp(0.02, 0.6)


def _hair(build: _Build, place: Points, ear: Tensor) -> Tensor:
    """Cover of the hair of head, face and brows, in [0, 1]."""
    cover = _scalp(build, place) * (1 - ear)
    if build.fall > _NONE:
        hanging = step(1 + 3 * _lumpy(build) - _curtain(build, place), 0.5)
        cover = torch.maximum(cover, hanging)
    cover = cover * (1.6 * build.traits.scalp).clamp(max=1)
    return torch.maximum(torch.maximum(cover, _beard(build, place)), _brows(build, place))


def _skin(build: _Build, points: Tensor, place: Points, lips: Tensor, ear: Tensor) -> Tensor:
    """Linear colour of bare skin, ``(1, 3, N)``."""
    t, (x, y, z) = build.traits, place
    across, front = x.abs(), step(z - 50, 8)
    slow, slower, blotch = (
        _waves(points, low, high, build.dice + 30 + i)
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
    p = _mirrored(place)
    dark = 0.9 * step(0.5 - _nostril(build, p), 0.8)
    dark = torch.maximum(dark, 0.7 * step(0.5 - _gap(build, p), 0.3) * step(90 - z, 1))
    dark = torch.maximum(dark, 0.5 * t.scalp.clamp(max=0.5) * _scalp(build, place) * (1 - ear))
    return skin * (1 - dark.reshape(1, 1, -1))


def _spotted(build: _Build, place: Points) -> Tensor:
    """Melanin of moles and large freckles."""
    t, (x, y, z) = build.traits, place
    arc = 90 * torch.atan2(x, z)
    total = torch.zeros_like(arc)
    for cell, density, depth in ((22.0, 0.06 * t.moles, 0.15), (7.0, 0.5 * t.freckles, 0.03)):
        where = density.flatten() * step(90 - y, 5)
        squared, own = spots(y / cell, arc / cell, where, build.dice + int(cell))
        total = total + depth * (0.3 + own) * torch.exp(-squared / (0.04 + 0.09 * own) ** 2)
    return total


def _brows(build: _Build, place: Points) -> Tensor:
    t, across = build.traits, place[0].abs()
    along = ((across - 9) / 40).clamp(0, 1)
    middle = t.eye_height + 14 + t.brow_height + t.brow_arch * torch.sin(3 * along - 0.3)
    body = torch.exp(-(((place[1] - middle) / t.brow_thickness / (1.1 - 0.6 * along)) ** 2))
    ends = step(across - 10, 1.5) * step(48 - across, 1.5) * step(place[2] - 40, 4)
    return (body * ends * t.brow_density).clamp(max=1)


def _painted_eyes(build: _Build, place: Points, skin: Tensor) -> Tensor:
    """Whites, irises and pupils where the eyes are open, and a dark line of lashes around."""
    t, p = build.traits, _mirrored(place)
    ahead = step(p[2] - _SOCKET_DEPTH, 2)
    opened = _opening(build, p) * ahead
    side = 14 * build.gaze * torch.sign(place[0])
    from_iris = ((p[0] - t.eye_spacing + side) ** 2 + (p[1] - t.eye_height) ** 2).sqrt()
    iris = step(5.6 - from_iris, 0.3)
    dye = random.Random(build.dice).choice(_IRISES)
    tint = torch.tensor(dye)[:, None] * step(from_iris - 2, 0.3)
    eye = torch.tensor(_WHITE)[:, None] * (1 - iris) + tint * iris
    lash = 4 * opened * (1 - opened) * ahead
    return torch.lerp(skin, eye, opened.expand_as(skin)) * (1 - 0.7 * lash)
