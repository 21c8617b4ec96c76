"""What grows and glows where: weights of the face's regions and the shares of its pigments."""

from __future__ import annotations

import torch
from torch import Tensor

from realface.synthetic import features
from realface.synthetic.creases import creases
from realface.synthetic.fusing import fused
from realface.synthetic.lattice import CHART_TOP, Grid
from realface.synthetic.marks import marked_blood, marked_melanin
from realface.synthetic.noise import absent, fractal, octave
from realface.synthetic.paint import paint
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
    fields["veins"] = _veins(grid, x, y, fields["lid"], traits)
    fields["blood"] = _blood(grid, x, y, fields, traits)
    fields["melanin"] = _melanin(grid, x, y, fields, traits)
    fields["oxygen"] = _oxygen(fields, traits)
    fields |= paint(grid, x, y, fields, traits)
    for name in ("veins", "hollow", "lid"):
        del fields[name]  # have done their work
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
    gaps = torch.sigmoid(1.6 * octave(grid, 16, seed + 2) + 0.9 * octave(grid, 6, seed + 3) - 0.6)
    return {
        "brow": brow * traits.brow_density,
        "flow": flow,
        "beard": _beard(x, y + ragged, y, traits) * (1 - traits.beard_gaps * gaps),
        "scalp": _scalp(x + 0.6 * ragged, y + 1.2 * ragged, traits),
    }


@fused
def _beard(x: Tensor, y: Tensor, unbent: Tensor, traits: Traits) -> Tensor:
    """Density of facial hair in [0, 1]; ``unbent``: heights without the edges' raggedness [mm]."""
    across = x.abs()
    upper = -6 - 44 * torch.exp(-(((across - 44) / 27) ** 2)) + 26 * step(across - 92, 7)
    jaw = step(upper + traits.beard_edge - y, 3.0) * step(across - 25, 3.5)
    below = step(traits.mouth_height - 14 - y, 2.5) * step(40 - across, 5)
    soul = 0.8 * bump(x, y, (0, traits.mouth_height - 12), (5, 4.5))
    corner = bump(across, y, (27, traits.mouth_height - 8), (4.5, 11))
    lip = step(-19.5 - y, 1.6) * step(y - traits.mouth_height, 2) * step(27 - across, 3.0)
    lip = lip * (1 - 0.45 * groove(x, 2.5))
    chin = torch.maximum(torch.maximum(below * step(34 - across, 3), soul), corner)
    chin = chin * step(y + 82 - 0.02 * x**2, 3)
    total = torch.maximum(traits.beard * torch.maximum(jaw, below), traits.goatee * chin)
    total = torch.maximum(total, traits.moustache * torch.maximum(lip, 0.7 * corner))
    neck = step(y + 104 - 0.0035 * x**2, 4)
    clear = (1 - features.lips(x, unbent, traits)) ** 3
    behind = 106 + 10 * step(-y - 30, 14)
    total = total * step(behind - across, 3) * neck * clear
    return ((total * step(-13 - y + 0.8 * across, 2) - 0.04) / 0.96).clamp(min=0)


@fused
def _scalp(x: Tensor, y: Tensor, traits: Traits) -> Tensor:
    """Density of the hair of the head in [0, 1]: beyond the hairline, around the ears, hanging."""
    across = x.abs()
    top, back = traits.hairline, traits.recession
    low = (top - 80).clamp(max=0)  # a fringe hangs to the temples
    knots: Knots = [
        (0.0, top),
        (26.0, top + 1 + 0.5 * back),
        (48.0, top + back - 2),
        (62.0, top - 6 + 0.6 * back - 0.3 * low),
        (76.0, 68.0 + 0.5 * low),
        (86.0, 60.0 + 0.3 * low),
        (96.0, 50.0),
        (103.0, 26.0),
        (107.0, 4.0 - traits.sideburns),
        (111.0, 2.0 - traits.sideburns),
        (114.0, 34.0),
        (120.0, 44.0),
        (132.0, 44.0),
        (141.0, 10.0),
        (148.0, -26.0),
    ]
    edge = through(across, knots, 1.5) - traits.widows_peak * groove(x, 9.0)
    hair = step(y - edge, 2.0)
    for side in features.SIDES:
        u, _, radius = features.ear_coordinates(x, y, side, traits)
        hair = hair * (1 - step(1.1 - radius, 0.025) * step(u + 3, 0.3))
    fall = across - traits.curtain - 0.08 * (y - 40).abs()
    return torch.maximum(hair, step(fall, 2.0)) * traits.scalp


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
    under = bump(x.abs(), y, (30, 17), (15, 7))
    shine = 0.26 * forehead + 0.34 * bump(x, y, (0, 2), (12, 18)) + 0.12 * chin + 0.06 * cheeks
    shine = shine * (0.5 + traits.oiliness) + 0.34 * lips - 0.14 * lid - 0.20 * under
    shine = shine - 0.10 * eyes - 0.18 * bump(x.abs(), y, (74, -14), (22, 34))
    return {"pores": pores, "lines": lines, "fan": eyes, "shine": shine}


def _veins(grid: Grid, x: Tensor, y: Tensor, lid: Tensor, traits: Traits) -> Tensor:
    """Weight of the veins that shine through thin skin, at temples, lids and below the eyes."""
    if absent(traits.veins):
        return torch.zeros_like(x)
    seed = traits.seed * 419 + 13
    ridge = torch.exp(-((octave(grid, 15, seed) / 0.16) ** 2))
    here = torch.sigmoid(3 * octave(grid, 19, seed + 1))
    place = (
        bump(x.abs(), y, (74, 46), (13, 15)) + 0.7 * lid + 0.5 * bump(x.abs(), y, (32, 14), (12, 5))
    )
    return traits.veins * ridge * here * place.clamp(max=1)


def _blood(grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits) -> Tensor:
    """Blood relative to the subject's mean: cheeks, nose, chin, ears and lids carry more."""
    seed = traits.seed * 401 + 3
    cheeks = bump(x.abs(), y, (41, -2), (17, 15)) + 0.5 * bump(x.abs(), y, (56, 6), (15, 10))
    nose = features.wings(x, y, traits) + 0.9 * bump(x.abs(), y, (14, -8), (5, 6))
    flush = 0.5 * cheeks + 0.9 * nose + 0.5 * bump(x, y, (0, -67), (16, 9))
    flush = flush + 0.8 * fields["ear"] + 0.7 * fields["lid"] + 0.3 * bump(x, y, (0, 49), (14, 8))
    pale = 0.3 * bump(x, y, (0, -30), (32, 9))
    mottle = fractal(grid, 26, 5.0, 0.62, seed)
    blotches = octave(grid, 11, seed + 70) * (
        0.65 + cheeks + nose + 0.4 * bump(x, y, (0, 70), (50, 18))
    )
    blotches = blotches + 2.2 * octave(grid, 6, seed + 71) * (nose + bump(x, y, (0, 14), (10, 13)))
    patches = 1 + 0.35 * octave(grid, 34, seed + 50)
    share = 1 + traits.flush * flush * patches - pale
    noise = traits.mottling * (0.2 * mottle + 0.17 * blotches)
    share = share * torch.exp(0.6 * torch.tanh(noise / 0.6))
    share = share + 0.6 * traits.under_eye * fields["hollow"] + 1.2 * fields["veins"]
    return marked_blood(grid, x, y, share, fields, traits).clamp(min=0.2)


def _oxygen(fields: dict[str, Tensor], traits: Traits) -> Tensor:
    """Share of the blood's oxygen beside the subject's mean: less in veins, under eyes."""
    missing = 0.45 * fields["veins"] + 0.30 * traits.under_eye * fields["hollow"]
    return traits.oxygenation - missing + 0.08 * fields["lips"]


def _melanin(grid: Grid, x: Tensor, y: Tensor, fields: dict[str, Tensor], traits: Traits) -> Tensor:
    """Melanin relative to the subject's mean: more under the eyes and around the mouth."""
    seed = traits.seed * 409 + 7
    # The darker the skin, the more of its colour is melanin: equal contrast takes less of it.
    mild = 1 / (1 + traits.melanin / 0.06)
    tan = 0.60 * bump(x, y, (0, 74), (80, 20)) + 0.2 * bump(x, y, (0, 4), (14, 20))
    pale = 0.25 * bump(x.abs(), y, (36, -4), (18, 18)) + 0.2 * fields["ear"]
    around = 0.45 * bump(x, y, (0, traits.mouth_height), (32, 17))
    eyes = traits.under_eye * 1.1 * fields["hollow"]
    eyes = eyes + (0.3 + 0.5 * traits.under_eye) * fields["lid"]
    sides = 0.25 * step(x.abs() - 62, 12)
    mottle = traits.mottling * 0.13 * fractal(grid, 34, 3.0, 0.6, seed)
    share = 1 + mild * (tan - pale + around * (1 - 0.5 * mild) + eyes + sides + mottle)
    return marked_melanin(grid, x, y, share, traits).clamp(min=0.05)
