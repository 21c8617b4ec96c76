"""Patches of whole maps: where they lie, and what they hold."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from realface.data.samples import Patch
from realface.errors import InputError
from realface.geometry.placement import place
from realface.maps.io import require_object_space
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.subject import Subject
from realface.synthetic.flaws import IN_INPUTS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A square of a map: its first row and column [px]."""

    y: int
    x: int


def grid_places(size: tuple[int, int], patch: int, stride: int) -> list[Place]:
    """Places on a regular grid; the last row and column end at the map's edge."""
    rows, columns = (_starts(side, patch, stride) for side in size)
    return [Place(y, x) for y in rows for x in columns]


def _starts(side: int, patch: int, stride: int) -> list[int]:
    last = side - patch
    return sorted({*range(0, last + 1, stride), last}) if last >= 0 else []


def random_places(size: tuple[int, int], patch: int, count: int, seed: int) -> list[Place]:
    """Up to ``count`` different places drawn uniformly, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    if min(height, width) < patch:
        return []
    ys = torch.randint(height - patch + 1, (count,), generator=generator).tolist()
    xs = torch.randint(width - patch + 1, (count,), generator=generator).tolist()
    return list(dict.fromkeys(Place(y, x) for y, x in zip(ys, xs, strict=True)))


def valid_places(
    places: Sequence[Place], mask: Tensor | None, patch: int, minimum_valid: float
) -> list[Place]:
    """The places of which at least ``minimum_valid`` is inside the mask ``(1, H, W)``."""
    if mask is None:
        return list(places)
    return [
        place
        for place in places
        if mask[0, place.y : place.y + patch, place.x : place.x + patch].mean() >= minimum_valid
    ]


class SubjectPatches:
    """A subject folder from which patches are cut.

    Only ``shape`` and ``mask`` are read to measure it, and none is kept: a subject of
    6144 x 4096 holds a gigabyte, and there may be many.

    Args:
        folder: The subject.
        millimetres_per_unit: Overrides what ``subject.json`` says of ``shape``.

    Raises:
        InputError: If the maps differ in size, there is no reflectance map, or a normal map is
            not in object space.
    """

    def __init__(self, folder: Path, millimetres_per_unit: float | None = None) -> None:
        self.subject = Subject(folder)
        self.size = self.subject.size()
        self.kinds = [kind for kind in KINDS if kind in self.subject and kind != "texture"]
        if "texture" in self.subject:
            log.info("%s: texture is not packed, training lights its own", folder)
        if not set(REFLECTANCE) & set(self.kinds):
            raise InputError(
                f"{folder} without a reflectance map", f"one of {', '.join(REFLECTANCE)}", "add it"
            )
        for kind in self.kinds:
            record = self.subject.record.maps[kind]
            require_object_space(folder / record.file, KINDS[kind], record)
        spoilt = [name for name in self.subject.record.flaws if name in IN_INPUTS]
        if spoilt:
            log.warning(
                "%s: its maps have %s, which a network would learn", folder, ", ".join(spoilt)
            )
        mask = self.subject.open("mask") if "mask" in self.subject else None
        if mask is None:
            log.info("%s: no mask, every texel is taken as valid", folder)
        given = millimetres_per_unit or self.subject.record.millimetres_per_unit
        self.placement = (
            place(self.subject.open("shape"), mask, given) if "shape" in self.subject else None
        )

    def places(
        self, patch: int, stride: int, count: int | None, seed: int, minimum_valid: float
    ) -> list[Place]:
        """Where patches are cut: ``count`` at random, or every ``stride`` texels."""
        if min(self.size) < patch:
            raise InputError(
                f"{self.subject.folder} of {self.size[0]}x{self.size[1]} (height x width)",
                f"maps of at least {patch}x{patch}",
                "give a smaller --patch",
            )
        mask = self.subject.open("mask").whole() if "mask" in self.subject else None
        if count is None:
            return valid_places(grid_places(self.size, patch, stride), mask, patch, minimum_valid)
        # Drawn generously, so that the mask can refuse most of them.
        drawn = random_places(self.size, patch, 20 * count, seed)
        return valid_places(drawn, mask, patch, minimum_valid)[:count]

    def cut(self, places: Sequence[Place], patch: int) -> Iterator[Patch]:
        """The patches at these places; ``shape`` in millimetres from the median position."""
        files = {kind: self.subject.open(kind) for kind in self.kinds}
        placed = self.placement
        for at in places:
            maps = {kind: file.read(at.y, at.x, patch, patch) for kind, file in files.items()}
            if placed is not None:
                maps["shape"] = placed.apply(maps["shape"])
            yield Patch(
                key=f"{key_of(self.subject.name)}-y{at.y:05d}-x{at.x:05d}",
                subject=self.subject.name,
                y=at.y,
                x=at.x,
                map_size=self.size,
                millimetres_per_texel=None if placed is None else placed.millimetres_per_texel,
                centre=(0.0, 0.0, 0.0) if placed is None else placed.centre,
                bits={kind: file.record.bits for kind, file in files.items()},
                maps=maps,
            )


def key_of(name: str) -> str:
    """A name as a shard key: WebDataset cuts keys at the first dot."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
