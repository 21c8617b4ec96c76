"""The contact sheet: every map of a subject on one page, for people to look at."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.geometry.placement import PlacedShape, place
from realface.maps.files import write_image
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.subject import Subject
from realface.report.page import Tile, page, picture, to_bytes
from realface.shading.lights import point_lights
from realface.shading.shade import lit_texture

_TILE = 480  # px wide

_LIGHTS = {
    "lit from the left": ((-700.0, 250.0, 500.0), (1.0, 0.95, 0.88), 0.12),
    "lit from the right": ((700.0, 250.0, 500.0), (0.9, 0.95, 1.0), 0.12),
    "lit from above": ((0.0, 900.0, 350.0), (1.0, 1.0, 1.0), 0.12),
    "lit from the camera": ((0.0, 0.0, 1000.0), (0.8, 0.8, 0.8), 0.2),
}
"""Name: position [mm], colour, ambient."""


def write_sheet(folder: Path, path: Path, inputs: Path | None = None) -> None:
    """Draw a subject's maps, its maps at full size, and the subject relit by them.

    Args:
        folder: Subject folder, for example what `infer.py` wrote.
        path: PNG to write.
        inputs: The subject that the maps were predicted from: its texture and shape are drawn
            too, and its own reflectance maps, where it has them, below the predicted ones.

    Raises:
        InputError: If a map cannot be read.
        FailureError: If the disk refuses.
    """
    made = Subject(folder)
    source = (
        Subject(inputs) if inputs is not None and inputs.resolve() != folder.resolve() else None
    )
    rows = [_row(source, ("texture", "shape", "shape_normals", "mask"), "given")] if source else []
    rows.append(_row(made, tuple(KINDS) if source is None else REFLECTANCE, ""))
    if source is not None:
        rows.append(_row(source, REFLECTANCE, "captured" if source.record.seed is None else "true"))
    rows.append(_close_ups(made))
    shape_of = made if "shape" in made else source
    if shape_of is not None and all(kind in made for kind in REFLECTANCE):
        rows.append(_relit(made, shape_of))
    write_image(path, page([row for row in rows if row], _TILE, 4))


def _row(subject: Subject, kinds: Sequence[str], prefix: str) -> list[Tile]:
    tiles = []
    for kind in kinds:
        if kind not in subject:
            continue
        record = subject.record.maps[kind]
        words = [prefix, kind, f"{record.width}x{record.height}", f"{record.bits} bit"]
        if record.derived:
            words.append("derived")
        tiles.append(Tile(" ".join(filter(None, words)), picture(_small(subject, kind), kind)))
    return tiles


def _small(subject: Subject, kind: str) -> Tensor:
    """A map ``(C, h, w)`` at tile size, averaged over the texels of each pixel."""
    file = subject.open(kind)
    height, width = file.size
    size = max(1, round(height * _TILE / width)), _TILE
    values = file.whole()
    if width <= _TILE:
        return F.interpolate(values[None], size, mode="nearest")[0]
    return F.interpolate(values[None], size, mode="area")[0]


def _close_ups(subject: Subject) -> list[Tile]:
    """The middle of each reflectance map at 100 %."""
    tiles = []
    for kind in REFLECTANCE:
        if kind not in subject:
            continue
        file = subject.open(kind)
        height, width = file.size
        crop = min(_TILE * 2 // 3, height), min(_TILE, width)
        # Right of the middle and above: cheek and eye corner rather than the nose's symmetry.
        y, x = (height - crop[0]) * 9 // 20, (width - crop[1]) * 12 // 20
        tiles.append(Tile(f"{kind} at 100 %", picture(file.read(y, x, *crop), kind)))
    return tiles


def _relit(made: Subject, shape_of: Subject) -> list[Tile]:
    mask = shape_of.open("mask") if "mask" in shape_of else None
    placement = place(shape_of.open("shape"), mask, shape_of.record.millimetres_per_unit)
    positions = PlacedShape(shape_of.open("shape"), placement)
    maps = {kind: _small(made, kind)[None] for kind in REFLECTANCE}
    maps["shape"] = F.interpolate(
        positions.read(0, 0, *positions.size)[None], maps["diffuse_albedo"].shape[-2:], mode="area"
    )
    valid = _small(shape_of, "mask") if mask is not None else torch.ones(1)
    tiles = []
    for label, (position, colour, ambient) in _LIGHTS.items():
        lights = point_lights(
            torch.tensor([[position]]), torch.tensor([[colour]]), torch.full((1, 3), ambient)
        )
        tiles.append(Tile(label, to_bytes(lit_texture(maps, lights)[0] * valid)))
    return tiles
