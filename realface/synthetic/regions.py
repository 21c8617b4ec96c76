"""What grows and glows where: weights of the face's regions and the shares of its pigments."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic import features
from realface.synthetic.creases import creases
from realface.synthetic.fusing import fused
from realface.synthetic.lattice import CHART_TOP, Grid
from realface.synthetic.noise import fractal, octave
from realface.synthetic.shaping import Knots, bump, groove, step, through
from realface.synthetic.traits import Traits


def regions(grid: Grid, x: Tensor, y: Tensor, traits: Traits) -> dict[str, Tensor]:
    """Smooth fields on the lattice, each ``(B, h, w)``; ``x`` and ``y`` are warped places [mm]."""
    lips = features.lips(x, y, traits)
    _, ear = features.ear_height(x, y, traits)
    fields = {
        "lips": lips,
        "ear": ear,
        "nostril": features.nostrils(x, y, traits),
        "lash": features.lash_line(x, y, traits),
        "lashes": features.lash_weight(x, y, traits),
        "crease": creases(grid, x, y, 0.5, traits),
        "mask": mask_distance(grid),
        "place_x": x,
        "place_y": y,
    }
    fields |= _around_eyes(x, y, traits)
    fields |= _hair(grid, x, y, traits)
    fields |= _surface(x, y, lips, fields["lid"], traits)
    fields["haemoglobin"] = _haemoglobin(grid, x, y, fields, traits)
    fields["melanin"] = _melanin(grid, x, y, fields, traits)
    return fields


def mask_distance(grid: Grid) -> Tensor:
    """Positive inside the rounded outline of the valid texels, ``(B, h, w)``."""
    y, x = grid.mesh()
    middle = CHART_TOP - 100.0
    return 1 - (x / 147.0).abs() ** 5 - ((y - middle) / 97.5).abs() ** 5


@fused
def _around_eyes(x: Tensor, y: Tensor, traits: Traits) -> dict[str, Tensor]:
    lid, hollow = torch.zeros_like(x), torch.zeros_like(x)
    for side in features.SIDES:
        u, v = features.eye_coordinates(x, y, side, traits)
        lid = lid + bump(u, v, (0, 0.08), (0.85, 0.42))
        hollow = hollow + bump(u, v, (-0.3, -0.72), (0.8, 0.34), -0.15)
        hollow = hollow + 0.7 * bump(u, v, (-1.15, 0.15), (0.32, 0.45))
    return {"lid": lid.clamp(max=1), "hollow": hollow.clamp(max=1)}


def _hair(grid: Grid, x: Tensor, y: Tensor, traits: Traits) -> dict[str, Tensor]:
    seed = traits.seed * 307 + 11
    ragged = 1.3 * octave(grid, 18, seed) + 0.7 * octave(grid, 6, seed + 1)
    brow, flow = torch.zeros_like(x), torch.zeros_like(x)
    for side in features.SIDES:
        p, middle = features.brow_line(x, side, traits)
        thickness = traits.brow_thickness * (1.05 - 0.62 * p.clamp(0, 1) ** 1.5)
        lift = y - middle + 0.4 * ragged
        body = torch.exp(-((lift / thickness).abs() ** 3))
        body = body * step(p - 0.03 + 0.01 * lift, 0.035) * step(1.0 - p, 0.045)
        brow = brow + body * (0.55 + 0.45 * step(p - 0.2, 0.08))
        rise = 13.0 * (1 - (1 - p.clamp(0, 1)) ** 2.4)
        own = step(x * side, 1.0)
        flow = flow + own * (lift - rise)
    return {
        "brow": brow * traits.brow_density,
        "flow": flow,
        "beard": _beard(x, y + ragged, traits),
        "scalp": _scalp(x, y + 1.2 * ragged, traits),
    }


@fused
def _beard(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Density of facial hair in [0, 1]."""
    across = x.abs()
    upper = -6 - 44 * torch.exp(-(((across - 44) / 27) ** 2)) + 26 * step(across - 92, 7)
    jaw = step(upper - y, 3.0) * step(across - 25, 3.5)
    below = step(traits.mouth_height - 14 - y, 2.5) * step(40 - across, 5)
    soul = 0.8 * bump(x, y, (0, traits.mouth_height - 12), (5, 4.5))
    moustache = step(-19.5 - y, 1.6) * step(y - traits.mouth_height, 2) * step(27 - across, 3.0)
    moustache = moustache * (1 - 0.45 * groove(x, 2.5)) * traits.moustache
    corner = bump(across, y, (27, traits.mouth_height - 8), (4.5, 11)) * traits.moustache
    neck = step(y + 112 - 0.2 * across, 5)
    total = torch.maximum(
        torch.maximum(jaw, below), torch.maximum(soul, torch.maximum(moustache, corner))
    )
    clear = (1 - features.lips(x, y, traits)) ** 2
    total = total * neck * clear * step(118 - across, 4) * step(-13 - y + 0.8 * across, 2)
    return ((total - 0.08) / 0.92).clamp(min=0)


@fused
def _scalp(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Density of the hair of the head in [0, 1]: beyond the hairline, down before the ears."""
    across = x.abs()
    top, back = traits.hairline, 7.0 * (0.3 + traits.age * traits.masculinity)
    knots: Knots = [
        (0.0, top),
        (26.0, top + 1 + 0.3 * back),
        (48.0, top + back - 2),
        (62.0, top - 6),
    ]
    knots += [
        (76.0, top - 20),
        (86.0, 62.0),
        (96.0, 52.0),
        (103.0, 26.0),
        (108.0, 4.0),
        (114.0, 0.0),
    ]
    front = step(y - through(across, knots, 2.0), 3.0)
    front = front * (1 - step(across - 111, 1.6) * step(50 - y, 2.0))
    behind = step(across - 144, 2.0) * step(y + 25, 6)
    return torch.maximum(front, behind) * traits.scalp


@fused
def _surface(x: Tensor, y: Tensor, lips: Tensor, lid: Tensor, traits: Traits) -> dict[str, Tensor]:
    """How porous, lined and shiny the skin is in each place."""
    nose = bump(x, y, (0, 4), (15, 16))
    cheeks = bump(x.abs(), y, (30, 2), (15, 16))
    forehead = bump(x, y, (0, 68), (46, 17))
    chin = bump(x, y, (0, -66), (19, 11))
    calm = (1 - lips) * (1 - 0.9 * lid)
    pores = (0.30 + 0.75 * nose + 0.7 * cheeks + 0.3 * forehead + 0.35 * chin) * calm
    lines = 0.25 + 0.9 * forehead + 0.9 * lid + 0.25 * bump(x, y, (0, -88), (80, 10))
    eyes = bump(x.abs(), y, (54, 26), (14, 14))
    shine = 0.30 * forehead + 0.42 * bump(x, y, (0, 2), (13, 20)) + 0.18 * chin + 0.12 * cheeks
    shine = shine * (0.5 + traits.oiliness) + 0.35 * lips - 0.15 * lid - 0.12 * eyes
    return {"pores": pores, "lines": lines, "fan": eyes, "shine": shine}


def _haemoglobin(
    grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits
) -> Tensor:
    """Blood relative to the subject's mean: cheeks, nose, chin, ears and lids carry more."""
    seed = traits.seed * 401 + 3
    cheeks = bump(x.abs(), y, (41, -2), (17, 15)) + 0.5 * bump(x.abs(), y, (56, 6), (15, 10))
    nose = features.wings(x, y, traits) + 0.9 * bump(x.abs(), y, (14, -8), (5, 6))
    flush = 0.6 * cheeks + 0.5 * nose + 0.35 * bump(x, y, (0, -67), (16, 9))
    flush = flush + 0.8 * fields["ear"] + 0.55 * fields["lid"] + 0.25 * bump(x, y, (0, 49), (14, 8))
    pale = 0.3 * bump(x, y, (0, 76), (60, 16)) + 0.25 * bump(x, y, (0, -30), (32, 9))
    mottle = fractal(grid, 26, 2.2, 0.75, seed)
    patches = 1 + 0.35 * octave(grid, 34, seed + 50)
    share = 1 + traits.flush * flush * patches - pale + 0.16 * traits.mottling * mottle
    return share.clamp(min=0.2)


def _melanin(grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits) -> Tensor:
    """Melanin relative to the subject's mean: more under the eyes and around the mouth."""
    seed = traits.seed * 409 + 7
    tan = 0.10 * bump(x, y, (0, 72), (70, 18)) + 0.06 * bump(x, y, (0, 4), (14, 20))
    pale = 0.08 * bump(x.abs(), y, (36, -4), (18, 18)) + 0.25 * fields["ear"] * 0.3
    around = 0.14 * bump(x, y, (0, traits.mouth_height), (32, 17))
    mottle = fractal(grid, 34, 3.0, 0.72, seed)
    share = 1 + tan - pale + around * (0.3 + traits.melanin / 2)
    share = (
        share
        + traits.under_eye * 0.32 * fields["hollow"]
        + (0.12 + 0.2 * traits.under_eye) * fields["lid"]
    )
    return (share + 0.055 / (1 + 0.5 * traits.melanin) * traits.mottling * mottle).clamp(min=0.3)
