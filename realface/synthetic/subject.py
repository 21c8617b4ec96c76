"""Procedural subjects: faces' maps, a pure function of seed and place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.encoding import linear_to_srgb, unit
from realface.synthetic import head
from realface.synthetic.chromophores import read_table, skin_table
from realface.synthetic.creases import creases
from realface.synthetic.fusing import fused
from realface.synthetic.hair import Hair, hair, hair_colour
from realface.synthetic.lattice import (
    CHART_WIDTH,
    Grid,
    Reader,
    Window,
    lattice_covering,
    texel_grid,
)
from realface.synthetic.occlusion import REACH, cavity, openness
from realface.synthetic.regions import regions
from realface.synthetic.relief import Relief, relief
from realface.synthetic.skin import pigments, specular_albedo
from realface.synthetic.traits import Traits, draw_traits

_AT_ONCE = {"cpu": 384**2}
"""Texels that are computed at once: what fits a processor's cache."""

_AT_ONCE_ELSEWHERE = 2**24
"""The same where launches cost more than memory: 64 patches of 512 x 512, in some 8 GB."""

_BELOW_HAIR = (0.62, 0.70, 0.80)
"""What hair below the surface leaves of red, green and blue."""


@dataclass(frozen=True)
class ProceduralSubject:
    """One face; equal seeds give equal maps, at any size and in any window.

    Attributes:
        seed: Which face; not negative.
    """

    seed: int

    def maps(
        self,
        height: int,
        width: int,
        window: Window | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> dict[str, Tensor]:
        """The subject's maps, or a window of them, float32, ``(C, h, w)``.

        Args:
            height: Height of the whole map [texels].
            width: Width of the whole map, half as much again as its height.
            window: ``(y, x, height, width)`` within the map; None for all of it.
            device: Where to compute and to leave the maps.

        Returns:
            As `subject_windows`, without the batch.

        Raises:
            InputError: If the size is not 3:2 within a texel, or the window leaves the map.
        """
        windows = [window or (0, 0, height, width)]
        batch = subject_windows([self.seed], height, width, windows, device=device)
        return {kind: values[0] for kind, values in batch.items()}


def subject_windows(
    seeds: Sequence[int],
    height: int,
    width: int,
    windows: Sequence[Window],
    *,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    """One window of each of several subjects, float32, ``(B, C, h, w)``.

    Args:
        seeds: Which faces; not negative.
        height: Height of the whole maps [texels].
        width: Width of the whole maps, half as much again as their height.
        windows: ``(y, x, height, width)`` within each subject's map, all of one size.
        device: Where to compute and to leave the maps.

    Returns:
        ``diffuse_albedo`` (3, sRGB), ``specular_albedo`` (1, linear), ``diffuse_normals``,
        ``specular_normals`` and ``shape_normals`` (3, unit, object space), ``shape`` (3, mm),
        ``mask`` (1, 0 or 1), ``occlusion`` (1). Outside the mask albedos are 0 and normals
        (0, 0, 1); shape and occlusion go on smoothly.

    Raises:
        InputError: If the size is not 3:2 within a texel, a window leaves the map, or windows
            differ in size.
    """
    _check(height, width, windows)
    device = torch.device(device)
    rows, columns = windows[0][2:]
    members = max(1, _AT_ONCE.get(device.type, _AT_ONCE_ELSEWHERE) // (rows * columns))
    parts = [
        _some_windows(seeds[i : i + members], width, windows[i : i + members], device)
        for i in range(0, len(seeds), members)
    ]
    if len(parts) == 1:
        return parts[0]
    return {kind: torch.cat([part[kind] for part in parts]) for kind in parts[0]}


def _some_windows(
    seeds: Sequence[int], width: int, windows: Sequence[Window], device: torch.device
) -> dict[str, Tensor]:
    """As many members as are computed at once, a block of their windows after the other."""
    rows, columns = windows[0][2:]
    side = math.isqrt(_AT_ONCE.get(device.type, _AT_ONCE_ELSEWHERE))
    traits = draw_traits(seeds, device)
    lattice = lattice_covering(texel_grid(width, windows, device), REACH + 3 * CHART_WIDTH / width)
    names, fields = _lattice_fields(lattice, traits)
    table = _skin_table(traits)
    maps: dict[str, Tensor] = {}
    for y in range(0, rows, side):
        for x in range(0, columns, side):
            h, w = min(side, rows - y), min(side, columns - x)
            around = [(top + y - 1, left + x - 1, h + 2, w + 2) for top, left, *_ in windows]
            padded = texel_grid(width, around, device)
            block = _block(padded, Reader(lattice, padded), names, fields, table, traits)
            if (h, w) == (rows, columns):
                return block
            for kind, values in block.items():
                if kind not in maps:
                    maps[kind] = values.new_empty(*values.shape[:2], rows, columns)
                maps[kind][..., y : y + h, x : x + w] = values
    return maps


def _check(height: int, width: int, windows: Sequence[Window]) -> None:
    if min(height, width) < 1 or abs(height - width * 2 / 3) > 1:
        remedy = f"--height {round(width * 2 / 3)}, or --width {round(height * 3 / 2)}"
        raise InputError(
            f"a map of {height}x{width} (height x width)",
            "a width of one and a half times the height, which the face is laid out for",
            f"give {remedy}" if min(height, width) > 0 else "give --height 4096 --width 6144",
        )
    for window in windows:
        top, left, rows, columns = window
        inside = top >= 0 and left >= 0 and top + rows <= height and left + columns <= width
        if min(rows, columns) < 1 or not inside or (rows, columns) != windows[0][2:]:
            raise InputError(
                f"window (y, x, height, width) = {window} of a map of {height} x {width}",
                "windows inside the map, of at least one texel and all of one size",
                "move or shrink the window",
            )


def _lattice_fields(lattice: Grid, traits: Traits) -> tuple[list[str], Tensor]:
    """Everything smooth, ``(B, 3 + n, rows, columns)``: the shape, then the named fields."""
    x, y = head.warped(lattice, traits)
    shape = head.position(lattice, x, y, traits)
    folds = creases(lattice, x, y, 1.1, traits)
    shape = torch.stack((shape[:, 0], shape[:, 1], shape[:, 2] - 0.55 * folds), dim=1)
    named = regions(lattice, x, y, traits)
    named["occlusion"], named["cavity"] = openness(shape), cavity(shape)
    return list(named), torch.cat((shape, torch.stack(list(named.values()), dim=1)), dim=1)


def _skin_table(traits: Traits) -> Tensor:
    layers = traits.epidermis, traits.pheomelanin, traits.carotene
    return skin_table(*(each.flatten() for each in layers))


def _block(
    grid: Grid,
    reader: Reader,
    names: list[str],
    fields: Tensor,
    table: Tensor,
    traits: Traits,
) -> dict[str, Tensor]:
    """The maps of one block; ``grid`` is a texel wider on every side than what is returned."""
    values = reader.values(fields)
    shape, named = values[:, :3], dict(zip(names, values[:, 3:].unbind(dim=1), strict=True))
    by_x, by_y = reader.slopes(fields[:, :3])
    micro = relief(grid, named, traits)
    strands = hair(grid, named, traits)
    inside = pigments(grid, named, micro.pits, traits)
    skin = read_table(table, inside.melanin, inside.blood, inside.oxygenation)
    albedo = _diffuse_albedo(skin, named, micro, strands, traits)
    gloss = specular_albedo(grid, named, micro.pits, strands.cover, traits)
    mask = (named["mask"] > 0).float()[:, None]
    ahead = torch.eye(3, device=grid.device)[:, 2, None, None]

    def valid_normals(normals: Tensor) -> Tensor:
        return torch.where(_inner(mask) > 0, normals, ahead)

    return {
        "diffuse_albedo": _inner(albedo * mask),
        "specular_albedo": _inner(gloss * mask),
        "diffuse_normals": valid_normals(_normals(by_x, by_y, micro.soft / (2 * grid.texel))),
        "specular_normals": valid_normals(_normals(by_x, by_y, micro.sharp / (2 * grid.texel))),
        "shape_normals": valid_normals(_normals(by_x, by_y, None)),
        "shape": _inner(shape),
        "mask": _inner(mask),
        "occlusion": _inner(named["occlusion"][:, None]).clamp(0, 1),  # 1 but for rounding
    }


def _inner(values: Tensor) -> Tensor:
    return values[..., 1:-1, 1:-1]


@fused
def _normals(by_x: Tensor, by_y: Tensor, height: Tensor | None) -> Tensor:
    """Unit normals of a surface with tangents ``by_x`` and ``by_y``, raised by ``height``.

    ``height`` is in units of two texels, so that its central difference is its slope.

    With P the surface, N its unit normal and r the height, the raised surface has the tangents
    P_x + r_x N and P_y + r_y N, so its normal is P_x x P_y + r_x (N x P_y) + r_y (P_x x N) up to
    terms in r times curvature (Blinn, "Simulation of wrinkled surfaces", 1978).
    """
    by_x, by_y = _inner(by_x), _inner(by_y)
    flat = torch.linalg.cross(by_x, by_y, dim=1)
    base = unit(flat)
    if height is None:
        return base
    rise_x = height[:, 1:-1, 2:] - height[:, 1:-1, :-2]
    rise_y = height[:, :-2, 1:-1] - height[:, 2:, 1:-1]
    tilt = rise_x[:, None] * torch.linalg.cross(base, by_y, dim=1)
    tilt = tilt + rise_y[:, None] * torch.linalg.cross(by_x, base, dim=1)
    return unit(flat + tilt)


@fused
def _diffuse_albedo(
    skin: Tensor, fields: dict[str, Tensor], micro: Relief, strands: Hair, traits: Traits
) -> Tensor:
    """SRGB diffuse albedo ``(B, 3, h, w)``: skin, its pits, paint, and the hair over all."""
    shadow = strands.shadow * (0.4 + 0.6 * traits.hair_melanin)
    skin = skin * torch.stack([below**shadow for below in _BELOW_HAIR], dim=1)
    if "paint" in fields:
        colour = torch.stack([fields[f"paint_{name}"] for name in ("red", "green", "blue")], dim=1)
        skin = skin * (1 - fields["paint"])[:, None] + colour
    darker = (1 - 0.16 * micro.pits) * (1 - 0.15 * fields["cavity"])
    skin = skin * (darker * (1 - 0.85 * fields["nostril"]))[:, None]
    dyed = hair_colour(traits) * strands.light[:, None]
    return linear_to_srgb(torch.lerp(skin, dyed, strands.cover[:, None]).clamp(0, 1))
