"""Several subjects on one page: their maps, and their faces under several lights."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.errors import InputError
from realface.geometry.normals import normals_from_shape
from realface.geometry.placement import PlacedShape, place
from realface.maps.encoding import unit
from realface.maps.files import write_image
from realface.maps.io import MapFile
from realface.maps.kinds import REFLECTANCE
from realface.maps.record import FILE_NAME
from realface.maps.subject import Subject
from realface.report.front import front_view
from realface.report.page import Image, Tile, page, picture, to_bytes
from realface.shading import harmonics
from realface.shading.lights import Lights
from realface.shading.occlusion import reduce_in_mask
from realface.shading.shade import lit_texture
from realface.shading.subsurface import SKIN_RADII
from realface.shading.visibility import ambient_occlusion, visibility

_TILE = 300  # px wide
_COLUMNS = 8  # side by side
_LETTERS = 38  # that a label has room for, about
_SHADED = 768  # texels wide: at what size faces are lit

Lamp = tuple[tuple[float, float, float], tuple[float, float, float], float]
"""Direction, linear colour, angular radius [rad]."""

_SURROUNDINGS: dict[str, tuple[list[Lamp], float]] = {
    "overcast": ([], 0.95),
    "window from the left": ([((-0.9, 0.25, 0.5), (1.15, 1.1, 1.05), 0.25)], 0.18),
    "evening sun": ([((0.75, 0.35, 0.55), (1.5, 1.0, 0.55), 0.005)], 0.16),
    "two lamps": (
        [((-0.8, 0.1, 0.35), (0.35, 0.6, 1.2), 0.1), ((0.85, 0.3, 0.4), (1.2, 0.62, 0.3), 0.1)],
        0.05,
    ),
}
"""Name: lamps, and ambient radiance."""


def subject_folders(folder: Path) -> list[Path]:
    """The subject folders in a folder, by name.

    Raises:
        InputError: If there is none.
    """
    found = sorted(path.parent for path in folder.glob(f"*/{FILE_NAME}"))
    if not found:
        raise InputError(
            f"{folder} without subjects",
            f"a subject folder, or a folder of subject folders with a {FILE_NAME} each",
            "name another folder, or make some: realface synth FOLDER",
        )
    return found


def write_gallery(folders: Sequence[Path], path: Path) -> None:
    """Draw one column a subject: its reflectance maps, then its face under four lights.

    Eight subjects stand side by side, the next eight below them. Lamps throw shadows, skin
    scatters, and cavities are dark, all from the maps alone.

    Args:
        folders: Of the subjects; each with the four reflectance maps and ``shape``.
        path: PNG to write.

    Raises:
        InputError: If a map is missing or cannot be read.
        FailureError: If the disk refuses.
    """
    columns = [_column(Subject(folder)) for folder in folders]
    write_image(path, page(in_blocks(columns), _TILE, _COLUMNS))


def in_blocks(columns: Sequence[Sequence[Tile]]) -> list[tuple[Tile, ...]]:
    """Rows of tiles: those of the first eight columns, then those of the next eight, and so on."""
    return [
        row
        for start in range(0, len(columns), _COLUMNS)
        for row in zip(*columns[start : start + _COLUMNS], strict=True)
    ]


def label(subject: str, shown: str) -> str:
    """What stands below a tile: the subject and what is shown; of long names the end."""
    room = _LETTERS - len(shown) - 1
    name = subject if len(subject) <= room else ".." + subject[2 - room :]
    return f"{name} {shown}"


def _column(subject: Subject) -> list[Tile]:
    maps = _shaded_maps(subject)
    name = subject.folder.name
    tiles = [Tile(label(name, kind), _thumbnail(maps[kind], kind)) for kind in REFLECTANCE]
    for light, (lamps, ambient) in _SURROUNDINGS.items():
        texture = _lit(maps, _lights(lamps, ambient))[0]
        view = front_view(texture, maps["shape"][0], maps["mask"][0], _TILE, _TILE * 5 // 6)
        tiles.append(Tile(label(name, light), to_bytes(view)))
    return tiles


def _shaded_maps(subject: Subject) -> dict[str, Tensor]:
    """What lighting needs, at most `_SHADED` texels wide, ``(1, C, h, w)``; shape in mm."""
    mask = subject.open("mask") if "mask" in subject else None
    height, width = subject.size()
    factor = math.ceil(width / _SHADED)
    shape = subject.open("shape")
    placed = PlacedShape(shape, place(shape, mask, subject.record.millimetres_per_unit))
    valid = torch.ones(1, 1, height, width) if mask is None else mask.whole()[None]
    sources: dict[str, MapFile | PlacedShape] = {kind: subject.open(kind) for kind in REFLECTANCE}
    sources["shape"] = placed
    maps = {}
    for kind, source in sources.items():
        whole = source.read(0, 0, height, width)[None]
        maps[kind], maps["mask"] = reduce_in_mask(whole, valid, factor)
    for kind in ("diffuse_normals", "specular_normals"):
        maps[kind] = unit(maps[kind])
    maps["shape_normals"] = normals_from_shape(maps["shape"][0], maps["mask"][0])[None]
    maps["occlusion"] = ambient_occlusion(maps["shape"], maps["shape_normals"], maps["mask"])
    return maps


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(values[None], size, mode="area")


def _thumbnail(values: Tensor, kind: str) -> Image:
    height, width = values.shape[-2:]
    return picture(_resized(values[0], (round(height * _TILE / width), _TILE))[0], kind)


def _lights(lamps: Sequence[Lamp], ambient: float) -> Lights:
    """A batch of one."""
    directions = F.normalize(torch.tensor([lamp[0] for lamp in lamps]).view(1, -1, 3), dim=2)
    return Lights(
        torch.cat((directions, torch.zeros(1, len(lamps), 1)), dim=2),
        torch.tensor([lamp[1] for lamp in lamps]).view(1, -1, 3),
        torch.tensor([lamp[2] for lamp in lamps]).view(1, -1),
        harmonics.constant(torch.full((1, 3), ambient)),
    )


def _lit(maps: dict[str, Tensor], lights: Lights) -> Tensor:
    seen = visibility(maps["shape"], maps["shape_normals"], maps["mask"], lights, samples=24)
    return lit_texture(maps, lights, visibility=seen, scattering=SKIN_RADII)
