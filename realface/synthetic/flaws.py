"""What captured maps have and procedural ones lack: the flaws of a light stage and of its files.

A flaw is a function of maps, place and seed. Those in `IN_TRUTH` belong to the data itself: put
them on a subject before it is lit, so that the texture and the maps to be learnt share them.
Those in `IN_INPUTS` come with a file: put them on a network's inputs only, for nobody wants a
network to blur, to shift or to round what it predicts; a whole folder that has them stands for
captured inputs, and its ``subject.json`` says so. Noise is never to be learnt, so
``noise_fill`` takes its texels out of the mask, and losses skip them.

Windows of one map agree with each other, since all chance is a function of seed and place. Two
flaws look at neighbours and are off in the rim of a window: ``blur`` in 3 texels,
``misregistration`` in 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.encoding import unit
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.synthetic.lattice import Grid, Window, texel_grid
from realface.synthetic.noise import hash_cells, octave, unit_floats

Maps = dict[str, Tensor]

FLATTENED = 0.55
"""Factor on the mesh normals' x and y, before they are unit again (`leaning_normals`).

Their x and y then are about 0.7 of the mesh's over the central face, as measured on AvatarMe++'s
example subject.
"""

LEAN = 22.0
"""Deviation [deg], about each of x and y, of the rotation that comes on top.

With `FLATTENED`, normals lie 26 degrees (median) from the mesh's in the central face, as there.
"""

BLUR = 0.9
"""Largest deviation of the blur [texels]; each map of each subject has its own."""

SHIFT = 2
"""Largest shift between maps, along each axis [texels]."""

CLOSED = 0.80
"""Occlusion below which a camera sees little and captures hold noise."""

_WAVELENGTHS = ((150.0, 0.8), (70.0, 0.6))  # of the rotation [mm], and their shares
_TAPS = 3  # reach of the blur [texels]
_FILLS = ((0.0, (-1.0, -1.0, -1.0)), (1.0, (1.0, 1.0, 1.0)), (0.0, (0.0, 0.0, 1.0)))
_NORMALS = ("diffuse_normals", "specular_normals")

_ABOUT_X, _ABOUT_Y, _FILL, _EDGE, _NOISE, _WIDTH, _DOWN, _ACROSS = range(8)
"""What a subject's chance is for: each purpose has seeds of its own (`_own`)."""


def leaning_normals(maps: Maps, grid: Grid, seed: Tensor, strength: float) -> Maps:
    """Diffuse and specular normals that differ from ``shape_normals`` at low frequency.

    The mesh's normal N is flattened to M = unit(k x, k y, z), then turned about x and y by
    smooth noise; the least rotation from N to M turns the captured normals, detail and all.
    """
    base = maps["shape_normals"]
    keep = 1 - strength * (1 - FLATTENED)
    flat = unit(base * base.new_tensor((keep, keep, 1.0))[:, None, None])
    lean = strength * LEAN * torch.pi / 180
    about_x, about_y = (lean * _slow(grid, seed, purpose) for purpose in (_ABOUT_X, _ABOUT_Y))
    leant = _turned(flat, about_x, about_y)
    made = dict(maps)
    for name in _NORMALS:
        if name in maps:
            made[name] = unit(_carried(maps[name], base, leant))
    return made


def background(maps: Maps, grid: Grid, seed: Tensor, strength: float) -> Maps:
    """What files hold outside the mask: black, white, or normals that decode to (-1, -1, -1).

    Each reflectance map has its own, at any strength above 0; the mask stays. Vectors outside it
    are not unit.
    """
    del grid
    if strength == 0:
        return maps
    made = dict(maps)
    for name in _present(maps):
        choice = (_chance(seed, _FILL, name) * len(_FILLS)).long()[..., None]
        fill = torch.zeros_like(maps[name])
        for index, (level, vector) in enumerate(_FILLS):
            values = vector if KINDS[name].is_vector else (level,) * fill.shape[1]
            filling = torch.tensor(values, device=fill.device)[None, :, None, None]
            fill = torch.where(choice == index, filling, fill)
        made[name] = torch.where(maps["mask"] > 0.5, maps[name], fill)
    return made


def noise_fill(maps: Maps, grid: Grid, seed: Tensor, strength: float) -> Maps:
    """Noise where light hardly comes out: nostrils, folds of the ears; taken out of the mask.

    Where ``occlusion`` is under ``strength`` times `CLOSED`, with a ragged edge. A window needs
    nothing around it. Normals become random unit vectors, colours dark noise.
    """
    ragged = 0.06 * strength * octave(grid, 5.0, _own(seed, _EDGE, 0))
    closed = (maps["occlusion"] + ragged[:, None] < CLOSED * strength) & (maps["mask"] > 0.5)
    made = {**maps, "mask": maps["mask"] * ~closed}
    row = torch.round(grid.y / grid.texel)[:, :, None]
    column = torch.round(grid.x / grid.texel)[:, None, :]
    for name in _present(maps):
        own = _own(seed, _NOISE, _number(name))
        noise = torch.stack(unit_floats(hash_cells(row, column, own)), dim=1)
        if KINDS[name].is_vector:
            noise = unit(noise - 0.5 + 1e-6)
        else:
            noise = 0.4 * noise[:, : maps[name].shape[1]]
        made[name] = torch.where(closed, noise, maps[name])
    return made


def blur(maps: Maps, grid: Grid, seed: Tensor, strength: float) -> Maps:
    """A mild Gaussian blur, of another width for each reflectance map; normals stay unit."""
    del grid
    made = dict(maps)
    for name in _present(maps):
        deviation = strength * BLUR * _chance(seed, _WIDTH, name)
        at = torch.arange(-_TAPS, _TAPS + 1, device=deviation.device)
        taps = torch.exp(-0.5 * (at / deviation.clamp(min=1e-3)) ** 2)  # (B, 1, taps)
        taps = taps / taps.sum(dim=2, keepdim=True)
        values = _convolved(_convolved(maps[name], taps, 2), taps, 3)
        made[name] = unit(values) if KINDS[name].is_vector else values
    return made


def misregistration(maps: Maps, grid: Grid, seed: Tensor, strength: float) -> Maps:
    """Each reflectance map a texel or two from where it belongs; the mask and shape stay.

    Within `SHIFT` texels of the mask's outline, what was outside may come in.
    """
    del grid
    made = dict(maps)
    for name in _present(maps):
        height, width = maps[name].shape[2:]
        index = []
        for size, purpose in ((height, _DOWN), (width, _ACROSS)):
            shift = ((2 * _chance(seed, purpose, name) - 1) * SHIFT * strength).round().long()[:, 0]
            index.append((torch.arange(size, device=shift.device) + shift).clamp(0, size - 1))
        member = torch.arange(len(seed), device=seed.device)[:, None, None]
        moved = maps[name].movedim(1, 3)[member, index[0][:, :, None], index[1][:, None, :]]
        made[name] = moved.movedim(3, 1)
    return made


def quantisation(maps: Maps, grid: Grid, seed: Tensor, strength: float) -> Maps:
    """Reflectance maps as files of 8 bits hold them; normals are unit again after decoding.

    ``strength`` scales the step: 1 is 1/255, 2 is 7 bits. Positions are left as they are.
    """
    del grid, seed
    if strength == 0:
        return maps
    step = strength / 255
    made = dict(maps)
    for name in _present(maps):
        if KINDS[name].is_vector:
            made[name] = unit(2 * (((maps[name] + 1) / 2 / step).round() * step) - 1)
        else:
            made[name] = (maps[name] / step).round() * step
    return made


FLAWS: dict[str, Callable[[Maps, Grid, Tensor, float], Maps]] = {
    "leaning_normals": leaning_normals,
    "background": background,
    "noise_fill": noise_fill,
    "blur": blur,
    "misregistration": misregistration,
    "quantisation": quantisation,
}
"""Every flaw by name, in the order in which captures meet them."""

IN_TRUTH = ("leaning_normals", "background", "noise_fill")
"""Flaws of the data itself: in inputs and in what is to be learnt, masked where it is noise."""

IN_INPUTS = ("blur", "misregistration", "quantisation")
"""Flaws of files: for a network's inputs only."""

_NEEDS = {
    "leaning_normals": ("shape_normals",),
    "noise_fill": ("occlusion", "mask"),
    "background": ("mask",),
}


def check_flaws(names: Sequence[str], allowed: Sequence[str]) -> None:
    """Refuse names that are no flaw, or none that belongs here.

    Raises:
        InputError: Naming those that do.
    """
    wrong = [name for name in names if name not in allowed]
    if wrong:
        raise InputError(
            f"flaws {', '.join(wrong)}",
            f"some of {', '.join(allowed)}",
            "correct the names, or leave flaws out",
        )


def apply_flaws(
    maps: Maps,
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    windows: Sequence[Window] | None = None,
    map_width: int | None = None,
    strength: float = 1.0,
) -> Maps:
    """Put flaws on maps, in the order of `FLAWS`; a copy, the arguments stay.

    Args:
        maps: By kind, ``(B, C, H, W)``, or ``(C, H, W)`` of one subject: colours in [0, 1],
            normals unit, object space.
        names: Among `FLAWS`.
        seeds: One for each member, in [0, 2^31). Equal seeds give equal flaws.
        windows: ``(y, x, height, width)`` of each member in its map; None: the maps are whole.
        map_width: Of the whole map [texels], which is taken as 300 mm; with ``windows``.
        strength: 1 as captures have them, 0 nothing.

    Returns:
        The same kinds; only ``noise_fill`` changes ``mask``.

    Raises:
        ValueError: If a name is unknown, a map that a flaw needs is missing, or numbers of
            members differ.
    """
    single = next(iter(maps.values())).dim() == 3
    batch = {name: values[None] for name, values in maps.items()} if single else dict(maps)
    members, _, height, width = next(iter(batch.values())).shape
    windows = [(0, 0, height, width)] * members if windows is None else windows
    if not len(seeds) == len(windows) == members:
        raise ValueError(f"{members} members, {len(seeds)} seeds, {len(windows)} windows")
    for name in names:
        missing = [kind for kind in _NEEDS.get(name, ()) if kind not in maps]
        if name not in FLAWS or missing:
            raise ValueError(f"flaw {name!r} of {', '.join(FLAWS)}; maps missing: {missing}")
    if not names or strength == 0:
        return dict(maps)
    device = next(iter(batch.values())).device
    grid = texel_grid(map_width or width, windows, device)
    seed = torch.tensor(seeds, device=device)[:, None, None]
    for name, flaw in FLAWS.items():
        if name in names:
            batch = flaw(batch, grid, seed, strength)
    return {name: values[0] for name, values in batch.items()} if single else batch


def _present(maps: Maps) -> list[str]:
    return [name for name in REFLECTANCE if name in maps]


def _number(name: str) -> int:
    return REFLECTANCE.index(name)


def _hashed(seed: Tensor, purpose: int, number: int) -> Tensor:
    zero = torch.zeros_like(seed)
    return hash_cells(zero + purpose, zero + number, seed)


def _own(seed: Tensor, purpose: int, number: int) -> Tensor:
    """Seeds of noise for each member, purpose and number within it, ``(B, 1, 1)``.

    Hashed: were they sums, one subject's noise for this would be a neighbour's for that.
    """
    return _hashed(seed, purpose, number).long()


def _chance(seed: Tensor, purpose: int, name: str) -> Tensor:
    """A number in [0, 1) for each member, purpose and map, ``(B, 1, 1)``."""
    return unit_floats(_hashed(seed, purpose, _number(name)))[0]


def _slow(grid: Grid, seed: Tensor, purpose: int) -> Tensor:
    """Smooth noise of unit variance over the face, ``(B, h, w)``."""
    total = torch.zeros((), device=grid.device)
    for index, (wavelength, share) in enumerate(_WAVELENGTHS):
        total = total + share * octave(grid, wavelength, _own(seed, purpose, index))
    return total


def _turned(vectors: Tensor, about_x: Tensor, about_y: Tensor) -> Tensor:
    """``(B, 3, h, w)`` turned by the rotation vectors (about_x, about_y, 0) [rad] (Rodrigues)."""
    angle = (about_x**2 + about_y**2).clamp(min=1e-12).sqrt()
    axis = torch.stack((about_x / angle, about_y / angle, torch.zeros_like(angle)), dim=1)
    cosine, sine = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    along = (axis * vectors).sum(1, keepdim=True) * axis
    return vectors * cosine + torch.linalg.cross(axis, vectors, dim=1) * sine + along * (1 - cosine)


def _carried(vectors: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Vectors turned by the least rotation that takes ``start`` to ``end``, all unit."""
    middle = start + end
    reach = 1 + (start * end).sum(1, keepdim=True)
    return (
        vectors
        - (vectors * middle).sum(1, keepdim=True) / reach.clamp(min=1e-6) * middle
        + 2 * (vectors * start).sum(1, keepdim=True) * end
    )


def _convolved(values: Tensor, taps: Tensor, dim: int) -> Tensor:
    """``(B, C, h, w)`` with taps ``(B, 1, n)`` along a dimension; borders are repeated."""
    size, reach = values.shape[dim], taps.shape[2] // 2
    total = torch.zeros_like(values)
    for index in range(taps.shape[2]):
        at = (torch.arange(size, device=values.device) + index - reach).clamp(0, size - 1)
        total = total + taps[:, :, index, None, None] * values.index_select(dim, at)
    return total
