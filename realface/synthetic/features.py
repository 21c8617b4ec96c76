"""The parts of a face on the chart: nose, eyes, mouth, brows, cheeks, ears.

Each function takes chart places ``x`` (to the subject's left) and ``y`` (up) in millimetres, one
shape, and the subject's traits. Heights are in millimetres; weights lie in [0, 1]. Proportions
follow adult anthropometric means (Farkas, "Anthropometry of the Head and Face", 1994).
"""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic.fusing import fused
from realface.synthetic.shaping import Knots, bump, groove, step, through
from realface.synthetic.traits import Traits

SIDES = (-1.0, 1.0)
"""The subject's right and left."""


def nose_height(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Height of the nose above the face [mm]."""
    v = (y - 40) * (1 - traits.nose_length / 56) + 40
    depth, bony, tip = traits.bridge_depth, traits.nose_bump, traits.nose_tip
    profile: Knots = [(-24.0, 0.0), (-19.0, 3.5), (-12.0, 11.0), (-6.0, 20.0 + tip / 2)]
    profile += [(0.0, 22.5 + tip), (6.0, 20.5 + tip / 2), (16.0, 14.5 + bony), (26.0, 8.5 + bony)]
    profile += [(36.0, 4.0 - depth), (43.0, 2.0), (52.0, 0.0)]
    ridge = through(v, profile, 1.8) * traits.nose_height
    bend = traits.nose_bend * torch.exp(-0.5 * ((v - 2) / 16) ** 2)
    breadth: Knots = [
        (-22.0, 7.0),
        (-10.0, 11.0),
        (0.0, 10.5),
        (12.0, 9.0),
        (24.0, 8.0),
        (38.0, 9.5),
    ]
    half = through(v, breadth, 3.0) * (0.5 + 0.5 * traits.nose_width)
    across = ((x - bend) / half).abs()
    height = ridge * torch.exp(-0.72 * across**2.3)
    for side in SIDES:
        u = (x - bend) * side / traits.nose_width
        wing = bump(u, v, (13.2, -6.5), (4.8, 5.4), 0.25)
        height = height + 7.5 * wing
        height = height + 1.5 * bump(u, v, (4.5, 0.5), (4.0, 4.0))
        away = torch.sqrt((u - 12.0) ** 2 + (v + 5.5) ** 2 + 1e-3)
        outer = step(u - 13.0, 2.0) * step(v + 12, 1.5) * step(1 - v, 2.5)
        height = height - 1.3 * groove(away - 10.3, 1.6) * outer
        height = height - 4.5 * bump(u, v, (7.2, -13.6), (3.3, 2.0), 0.45)
    under = step(v + 15.2 + 0.006 * x**2, 1.3)
    return height * under + 1.2 * bump(x, v, (0, -16), (3.2, 4.0))


@fused
def nostrils(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Weight of the nostrils' dark openings."""
    v = (y - 40) * (1 - traits.nose_length / 56) + 40
    total = torch.zeros_like(x)
    for side in SIDES:
        u = (x - traits.nose_bend) * side / traits.nose_width
        hole = bump(u, v, (7.3, -14.0), (3.4, 1.5), 0.4)
        total = total + step(hole - 0.5, 0.07)
    return total.clamp(max=1)


def wings(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Weight of the nose's tip and wings, which are redder and oilier than the rest."""
    u = x / traits.nose_width
    return bump(u, y, (0, -2), (12, 9)).clamp(max=1)


def eye_coordinates(x: Tensor, y: Tensor, side: float, traits: Traits) -> tuple[Tensor, Tensor]:
    """Place relative to an eye: outward and up from its middle, in half eye widths."""
    u = (x * side - traits.eye_spacing) / traits.eye_width
    v = (y - traits.eye_height) / traits.eye_width - traits.eye_tilt * u
    return u, v


def lid_seam(u: Tensor) -> Tensor:
    """Height of the line where closed lids meet, over the outward place, in half eye widths."""
    return -0.24 + 0.2 * u**2 - 0.03 * u**3


def within_eye(u: Tensor) -> Tensor:
    """Weight that is 1 between the corners of an eye."""
    return step(1.0 - u.abs(), 0.05)


def eye_height(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Height of sockets, eyeballs under closed lids, folds and bags [mm]."""
    height = torch.zeros_like(x)
    for side in SIDES:
        u, v = eye_coordinates(x, y, side, traits)
        socket = bump(u, v, (-0.05, 0.18), (1.25, 0.78)) + 0.55 * bump(
            u, v, (-1.0, 0.35), (0.5, 0.7)
        )
        height = (
            height
            - (5.6 + 1.4 * traits.masculinity) * socket
            - 1.2 * bump(u, v, (-0.2, 0.95), (0.9, 0.25))
        )
        ball = torch.exp(-(((u / 1.02) ** 2 + ((v + 0.02) / 0.82) ** 2) ** 1.3))
        height = height + (6.9 + 0.9 * traits.masculinity) * ball
        edge = v - lid_seam(u)
        inside = within_eye(u)
        height = height + inside * (0.9 * step(edge - 0.02, 0.02) * groove(edge, 0.22))
        height = height - inside * 1.1 * groove(edge, 0.035)
        fold = v - 0.5 + 0.3 * (u + 0.05) ** 2 + 0.08 * u
        span = step(1.02 - u.abs(), 0.1)
        height = height - traits.lid_fold * 0.6 * groove(fold, 0.07) * span
        height = height + traits.lid_fold * 0.7 * groove(fold - 0.2, 0.17) * span
        trough = v + 0.62 - 0.16 * u + 0.12 * u**2
        bag = (0.35 + traits.age) * step(0.9 - u, 0.2) * step(u + 1.1, 0.12)
        height = height - 0.55 * bag * groove(trough + 0.18, 0.17)
        height = height + 0.45 * bag * groove(trough - 0.1, 0.2)
        height = height - 1.2 * bump(u, v, (-1.05, -0.02), (0.13, 0.13))
    return height


@fused
def lash_line(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Signed distance above the line of the lashes [mm]; smooth, and meaningless far from eyes."""
    total = torch.zeros_like(x)
    for side in SIDES:
        u, v = eye_coordinates(x, y, side, traits)
        edge = (v - lid_seam(u.clamp(-1.3, 1.3))) * traits.eye_width
        total = total + edge * step(x * side, 0.5)
    return total


@fused
def lash_weight(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """1 between the corners of the eyes, sparser inwards."""
    total = torch.zeros_like(x)
    for side in SIDES:
        u, v = eye_coordinates(x, y, side, traits)
        near = bump(u, v, (0, -0.2), (9.0, 0.35))
        total = total + near * step(1.0 - u.abs(), 0.02) * (0.75 + 0.25 * u.clamp(-1, 1))
    return total


def mouth_lines(x: Tensor, y: Tensor, traits: Traits) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The mouth's seam, upper and lower border [mm], and how far inside its corners."""
    q = x / traits.mouth_width
    inside = (1 - q**2).clamp(min=0)
    seam = traits.mouth_height + traits.mouth_curve * q**2 - 0.9 * torch.exp(-0.5 * (x / 4) ** 2)
    seam = seam + 0.7 * torch.exp(-0.5 * ((x.abs() - 9) / 5) ** 2)
    bow = 1 - 0.14 * torch.exp(-0.5 * (x / 2.8) ** 2)
    bow = bow + 0.08 * torch.exp(-0.5 * ((x.abs() - 5.0) / 3.0) ** 2)
    upper = seam + traits.upper_lip * bow * inside**0.95
    lower = seam - traits.lower_lip * inside**0.72
    return seam, upper, lower, inside


@fused
def lips(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Weight of the red of the lips."""
    _, upper, lower, inside = mouth_lines(x, y, traits)
    return step(upper - y, 0.3) * step(y - lower, 0.45) * step(inside - 0.06, 0.02)


def mouth_height(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Height of lips, philtrum, the fold below the lips and the chin [mm]."""
    seam, upper, lower, inside = mouth_lines(x, y, traits)
    full = inside**0.5
    height = 6.5 * bump(x, y, (0, traits.mouth_height), (20, 13))
    above, below = (y - seam) / (upper - seam + 0.5), (seam - y) / (seam - lower + 0.5)
    height = height + full * traits.upper_lip * 0.36 * groove(above - 0.45, 0.42)
    height = height + full * traits.lower_lip * 0.42 * groove(below - 0.5, 0.4)
    height = height + full * 0.45 * groove(y - upper - 0.3, 0.8)
    corner = step(1.06 - (x / traits.mouth_width) ** 2, 0.03)
    height = height - 2.6 * corner * groove(y - seam, 0.75) * (0.4 + 0.6 * inside)
    corners = traits.mouth_width + 1.5, traits.mouth_height + traits.mouth_curve
    for side in SIDES:
        height = height - 1.5 * bump(x * side, y, corners, (3, 4))
    top = traits.mouth_height + traits.upper_lip
    ridge = step(y - top, 1.0) * step(-17 - y, 1.5)
    height = height - 0.75 * groove(x, 2.5) * ridge
    height = height + 0.8 * (groove(x - 4.6, 1.8) + groove(x + 4.6, 1.8)) * ridge
    bottom = traits.mouth_height - traits.lower_lip
    height = height - 3.6 * bump(x, y, (0, bottom - 4.5), (15, 3.8))
    chin = -69.0 - traits.chin_length
    height = height + (4.5 + traits.chin_forward) * bump(x, y, (0, chin), (15, 8.5))
    return height - 0.5 * traits.masculinity * bump(x, y, (0, chin - 2), (1.8, 6))


def brow_line(x: Tensor, side: float, traits: Traits) -> tuple[Tensor, Tensor]:
    """Place along a brow, 0 inside to 1 at its tail, and the height of its middle [mm]."""
    p = (x * side - 10.5) / 42.0
    rise = traits.brow_arch * (1 - ((p - 0.62) / 0.62) ** 2)
    return p, traits.eye_height + 15.5 + traits.brow_height + rise - 3.0 * (p - 0.62).clamp(min=0)


def brow_ridge_height(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Height of the bony brow, the glabella and the forehead's bosses [mm]."""
    height = (1.0 + 0.5 * traits.brow_ridge) * bump(x, y, (0, 47), (9, 8))
    for side in SIDES:
        u = x * side
        height = height + (1.2 + traits.brow_ridge) * bump(u, y, (27, 45.5), (17, 6.5), 0.05)
        height = height + 1.8 * bump(u, y, (50, 38), (8, 12), -0.5)
        height = height + 1.6 * bump(u, y, (24, 74), (16, 14))
        height = height - 4.5 * bump(u, y, (74, 50), (15, 18))
    return height


def cheek_height(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Height of cheekbones, cheeks, their hollows and the fold from nose to mouth [mm]."""
    height = torch.zeros_like(x)
    fat = traits.fullness
    for side in SIDES:
        u = x * side
        height = height + traits.cheekbone * bump(u, y, (55, 14), (17, 11), -0.45)
        height = height + (1.5 + 2 * fat) * bump(u, y, (34, 2), (14, 12))
        height = height + (3.5 * fat - 2.5) * bump(u, y, (58, -26), (17, 18))
        height = height + 2.5 * traits.jaw_width * bump(u, y, (92, -36), (15, 15))
        line, reach = smile_line(u, y, traits)
        depth = 0.15 + 0.75 * traits.age + 0.3 * fat
        height = height - 1.0 * depth * groove(line, 2.6) * reach
        height = height + 1.6 * depth * groove(line - 9, 7.5) * reach
    return height


def smile_line(u: Tensor, y: Tensor, traits: Traits) -> tuple[Tensor, Tensor]:
    """Distance outwards from the nasolabial fold [mm] and its strength; ``u`` is outward."""
    t = (-3 - y) / 42.0
    middle = 18.5 * (0.4 + 0.6 * traits.nose_width) + 14.0 * t.clamp(-0.2, 1.3)
    middle = middle + 3.0 * torch.sin(3.1 * t.clamp(0, 1))
    reach = step(t + 0.02, 0.07) * step(0.72 + 0.25 * traits.age - t, 0.12)
    return (u - middle) * 0.94, reach


def ear_coordinates(
    x: Tensor, y: Tensor, side: float, traits: Traits
) -> tuple[Tensor, Tensor, Tensor]:
    """Place outward and up from an ear's middle, in its half sizes, and 1 on its outline."""
    u = (x * side - 128) / (13.5 * traits.ear_size)
    v = (y - 14 - 0.15 * (x * side - 128)) / (31.0 * traits.ear_size)
    lean = u + 0.25 * v
    return u, v, torch.sqrt((lean / (0.82 + 0.3 * v.clamp(-1, 0.6))) ** 2 + v**2 + 1e-4)


@fused
def ear_height(x: Tensor, y: Tensor, traits: Traits) -> tuple[Tensor, Tensor]:
    """Height of the ears, flattened as UV maps flatten them [mm], and their weight."""
    height, weight = torch.zeros_like(x), torch.zeros_like(x)
    for side in SIDES:
        u, v, radius = ear_coordinates(x, y, side, traits)
        inside = step(1.0 - radius, 0.035)
        helix = groove(radius - 0.9, 0.085) * (0.35 + 0.65 * step(u + 0.5 + 0.5 * v, 0.15))
        antihelix = groove(radius - 0.56, 0.12) * step(u + 0.05 - 0.2 * v, 0.12)
        concha = bump(u, v, (-0.18, -0.12), (0.34, 0.27))
        lobe = bump(u, v, (-0.1, -0.8), (0.42, 0.18))
        tragus = bump(u, v, (-0.72, -0.12), (0.14, 0.13))
        height = height + inside * 4.0 + 3.6 * helix + inside * 2.6 * antihelix
        height = height - 6.5 * concha * inside + 2.0 * lobe + 2.6 * tragus
        weight = weight + inside
    return height, weight.clamp(max=1)
