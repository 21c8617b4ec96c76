"""Samples of whole maps: patches, where they lie, and the whole face at 1/8 size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.data.packing.captures import Capture, key_of
from realface.data.packing.whole_faces import REDUCTION, reduce_in_bands
from realface.data.samples import Patch
from realface.errors import InputError
from realface.geometry.placement import Placement, place
from realface.maps.io import MapFile


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


@dataclass(frozen=True)
class Measured:
    """What must be read of a subject before anything is cut from it.

    Attributes:
        placement: Of its shape; None where it has none.
        places: Where patches are cut.
    """

    placement: Placement | None
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Cutting:
    """How patches are cut from whole maps.

    Attributes:
        patch: Side of a patch [px].
        stride: Of the grid of places [px].
        count: Draw so many places of each subject at random instead.
        minimum_valid: Share of a patch that must lie inside the mask.
        seed: Of random places.
    """

    patch: int
    stride: int
    count: int | None
    minimum_valid: float
    seed: int


def measure(capture: Capture, cutting: Cutting) -> Measured:
    """Read a subject's shape and mask, and keep neither: 6144 x 4096 texels are 400 MB.

    Raises:
        InputError: If a file cannot be read, or the mask is empty.
    """
    shape, mask = (_opened(capture, kind) for kind in ("shape", "mask"))
    placement = None if shape is None else place(shape, mask, capture.millimetres_per_unit)
    patch, count = cutting.patch, cutting.count
    if count is None:
        places = grid_places(capture.size, patch, cutting.stride)
    else:  # drawn generously, so that the mask can refuse most of them
        places = random_places(capture.size, patch, 20 * count, cutting.seed)
    valid = None if mask is None else mask.whole()
    chosen = valid_places(places, valid, patch, cutting.minimum_valid)[:count]
    return Measured(placement, tuple(chosen))


def check_size(capture: Capture, patch: int) -> None:
    """Refuse a subject that no patch can be cut from."""
    if min(capture.size) < patch:
        raise InputError(
            f"{capture.name} of {capture.size[0]}x{capture.size[1]} (height x width)",
            f"maps of at least {patch}x{patch}",
            "give a smaller --patch",
        )


def _opened(capture: Capture, kind: str) -> MapFile | None:
    item = capture.map_of(kind)
    return None if item is None else item.open()


@dataclass(frozen=True)
class Cut:
    """A patch before it is cut.

    Attributes:
        capture: The subject.
        placement: Of its shape.
        place: Where the patch lies.
        patch: Its side [px].
    """

    capture: Capture
    placement: Placement | None
    place: Place
    patch: int

    def sample(self) -> Patch:
        """The patch; ``shape`` in millimetres from the subject's median position."""
        files, placed = _files_of(self.capture), self.placement
        y, x = self.place.y, self.place.x
        maps = {kind: file.read(y, x, self.patch, self.patch) for kind, file in files.items()}
        if placed is not None:
            maps["shape"] = placed.apply(maps["shape"])
        return Patch(
            key=f"{key_of(self.capture.name)}-y{y:05d}-x{x:05d}",
            subject=self.capture.name,
            y=y,
            x=x,
            map_size=self.capture.size,
            millimetres_per_texel=None if placed is None else placed.millimetres_per_texel,
            centre=(0.0, 0.0, 0.0) if placed is None else placed.centre,
            bits={kind: file.record.bits for kind, file in files.items()},
            maps=maps,
        )


@dataclass(frozen=True)
class WholeFace:
    """A subject at 1/8 size, before it is reduced.

    Attributes:
        capture: The subject.
        placement: Of its shape.
    """

    capture: Capture
    placement: Placement | None

    def sample(self) -> Patch:
        """The whole face; ``shape`` in millimetres from the subject's median position.

        Its place is that of a patch which is all of a smaller map.
        """
        files, placed = _files_of(self.capture), self.placement
        height, width = self.capture.size

        def read(y: int, rows: int) -> dict[str, Tensor]:
            maps = {kind: file.read(y, 0, rows, width) for kind, file in files.items()}
            return maps if placed is None else {**maps, "shape": placed.apply(maps["shape"])}

        maps = reduce_in_bands(read, height)
        return Patch(
            key=f"{key_of(self.capture.name)}-whole",
            subject=self.capture.name,
            y=0,
            x=0,
            map_size=_size(maps),
            millimetres_per_texel=(
                None if placed is None else placed.millimetres_per_texel * REDUCTION
            ),
            centre=(0.0, 0.0, 0.0) if placed is None else placed.centre,
            bits={kind: file.record.bits for kind, file in files.items()},
            maps=maps,
        )


def _size(maps: Mapping[str, Tensor]) -> tuple[int, int]:
    height, width = next(iter(maps.values())).shape[1:]
    return height, width


_held: dict[Capture, dict[str, MapFile]] = {}


def _files_of(capture: Capture) -> dict[str, MapFile]:
    """A subject's maps by kind, kept until those of another are asked for."""
    if capture not in _held:
        _held.clear()  # before the others are read: a subject may take a gigabyte
        _held[capture] = {item.kind: item.open() for item in capture.maps}
    return _held[capture]


def forget_maps() -> None:
    """Free the maps of the subject that was cut last."""
    _held.clear()
