"""A procedural subject: a face's maps, a pure function of seed and place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.encoding import linear_to_srgb, unit
from realface.synthetic import head
from realface.synthetic.creases import creases
from realface.synthetic.hair import Hair, hair, hair_colour
from realface.synthetic.lattice import Grid, Reader, lattice_covering, texel_grid
from realface.synthetic.occlusion import REACH, openness
from realface.synthetic.regions import regions
from realface.synthetic.relief import Relief, relief
from realface.synthetic.skin import pigments, skin_colour, specular_albedo
from realface.synthetic.traits import Traits, draw_traits

_BLOCK = 384
"""Side of the blocks that a window is computed in [texels]: what fits a processor's cache."""


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
        window: tuple[int, int, int, int] | None = None,
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
            ``diffuse_albedo`` (3, sRGB), ``specular_albedo`` (1, linear), ``diffuse_normals``,
            ``specular_normals`` and ``shape_normals`` (3, unit, object space), ``shape`` (3, mm),
            ``mask`` (1, 0 or 1), ``occlusion`` (1). Outside the mask albedos are 0 and normals
            (0, 0, 1); shape and occlusion go on smoothly.

        Raises:
            InputError: If the size is not 3:2 within a texel, or the window leaves the map.
        """
        top, left, rows, columns = window or (0, 0, height, width)
        _check(height, width, (top, left, rows, columns))
        device = torch.device(device)
        traits = draw_traits(self.seed)
        grid = texel_grid(width, (top, left, rows, columns), device)
        lattice = lattice_covering(grid, REACH + 3 * grid.texel)
        names, fields = _lattice_fields(lattice, traits)
        maps: dict[str, Tensor] = {}
        for y in range(0, rows, _BLOCK):
            for x in range(0, columns, _BLOCK):
                h, w = min(_BLOCK, rows - y), min(_BLOCK, columns - x)
                padded = texel_grid(width, (top + y - 1, left + x - 1, h + 2, w + 2), device)
                block = _block(padded, Reader(lattice, padded), names, fields, traits)
                for kind, values in block.items():
                    if kind not in maps:
                        maps[kind] = values.new_empty(len(values), rows, columns)
                    maps[kind][:, y : y + h, x : x + w] = values
        return maps


def _check(height: int, width: int, window: tuple[int, int, int, int]) -> None:
    if min(height, width) < 1 or abs(height - width * 2 / 3) > 1:
        remedy = f"--height {round(width * 2 / 3)}, or --width {round(height * 3 / 2)}"
        raise InputError(
            f"a map of {height}x{width} (height x width)",
            "a width of one and a half times the height, which the face is laid out for",
            f"give {remedy}" if min(height, width) > 0 else "give --height 4096 --width 6144",
        )
    top, left, rows, columns = window
    inside = top >= 0 and left >= 0 and top + rows <= height and left + columns <= width
    if min(rows, columns) < 1 or not inside:
        raise InputError(
            f"window (y, x, height, width) = {window} of a map of {height} x {width}",
            "a window inside the map, of at least one texel",
            "move or shrink the window",
        )


def _lattice_fields(lattice: Grid, traits: Traits) -> tuple[list[str], Tensor]:
    """Everything smooth, ``(3 + n, rows, columns)``: the shape, then the named fields."""
    x, y = head.warped(lattice, traits)
    shape = head.position(lattice, x, y, traits)
    folds = creases(lattice, x, y, 1.1, traits)
    shape = torch.stack((shape[0], shape[1], shape[2] - 0.55 * folds))
    named = regions(lattice, x, y, traits)
    named["occlusion"] = openness(shape)
    return list(named), torch.cat((shape, torch.stack(list(named.values()))))


def _block(
    grid: Grid, reader: Reader, names: list[str], fields: Tensor, traits: Traits
) -> dict[str, Tensor]:
    """The maps of one block; ``grid`` is a texel wider on every side than what is returned."""
    values = reader.values(fields)
    shape, named = values[:3], dict(zip(names, values[3:], strict=True))
    by_x, by_y = reader.slopes(fields[:3])
    micro = relief(grid, named, traits)
    strands = hair(grid, named, traits)
    melanin, blood = pigments(grid, named, traits)
    albedo = _diffuse_albedo(named, melanin, blood, micro, strands, traits)
    gloss = specular_albedo(grid, named, micro.pits, strands.cover, traits)
    mask = (named["mask"] > 0).float()[None]
    ahead = torch.tensor((0.0, 0.0, 1.0), device=grid.device)[:, None, None]

    def valid_normals(normals: Tensor) -> Tensor:
        return torch.where(_inner(mask) > 0, normals, ahead)

    return {
        "diffuse_albedo": _inner(albedo * mask),
        "specular_albedo": _inner(gloss * mask),
        "diffuse_normals": valid_normals(_normals(by_x, by_y, micro.soft, grid.texel)),
        "specular_normals": valid_normals(_normals(by_x, by_y, micro.sharp, grid.texel)),
        "shape_normals": valid_normals(_normals(by_x, by_y, None, grid.texel)),
        "shape": _inner(shape),
        "mask": _inner(mask),
        "occlusion": _inner(named["occlusion"][None]),
    }


def _inner(values: Tensor) -> Tensor:
    return values[..., 1:-1, 1:-1]


def _normals(by_x: Tensor, by_y: Tensor, height: Tensor | None, texel: float) -> Tensor:
    """Unit normals of a surface with tangents ``by_x`` and ``by_y``, raised by ``height`` [mm].

    With P the surface, N its unit normal and r the height, the raised surface has the tangents
    P_x + r_x N and P_y + r_y N, so its normal is P_x x P_y + r_x (N x P_y) + r_y (P_x x N) up to
    terms in r times curvature (Blinn, "Simulation of wrinkled surfaces", 1978).
    """
    by_x, by_y = _inner(by_x), _inner(by_y)
    flat = torch.linalg.cross(by_x, by_y, dim=0)
    base = unit(flat)
    if height is None:
        return base
    rise_x = (height[1:-1, 2:] - height[1:-1, :-2]) / (2 * texel)
    rise_y = (height[:-2, 1:-1] - height[2:, 1:-1]) / (2 * texel)
    tilt = rise_x * torch.linalg.cross(base, by_y, dim=0)
    tilt = tilt + rise_y * torch.linalg.cross(by_x, base, dim=0)
    return unit(flat + tilt)


def _diffuse_albedo(
    fields: dict[str, Tensor],
    melanin: Tensor,
    blood: Tensor,
    micro: Relief,
    strands: Hair,
    traits: Traits,
) -> Tensor:
    """SRGB diffuse albedo ``(3, h, w)``: skin, what is in its pits, and the hair over it."""
    skin = skin_colour(melanin, blood, 0.5 + traits.sallow)
    dyed = torch.tensor(hair_colour(traits), device=skin.device)[:, None, None] * strands.light
    below = torch.tensor((0.62, 0.70, 0.80), device=skin.device)[:, None, None]
    skin = skin * below ** (strands.shadow * (0.4 + 0.6 * traits.hair_melanin))
    skin = skin * (1 - 0.20 * micro.pits) * (0.72 + 0.28 * fields["occlusion"])
    skin = skin * (1 - 0.85 * fields["nostril"])
    return linear_to_srgb(torch.lerp(skin, dyed, strands.cover[None]).clamp(0, 1))
