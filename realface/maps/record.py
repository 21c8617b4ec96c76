"""``subject.json``: what each file of a subject folder means, versioned and validated."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

from realface.errors import InputError
from realface.maps.files import whole_file
from realface.maps.kinds import KINDS, Encoding, Green, Space

VERSION = 1
FILE_NAME = "subject.json"


def _require(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(str, allowed))}")


def _require_type(name: str, value: object, *types: type) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join("null" if item is type(None) else item.__name__ for item in types)
        raise ValueError(f"{name}={value!r} must be {wanted}")


@dataclass(frozen=True)
class Range:
    """How stored values become coordinates: ``scale * stored + offset``, one scale.

    Attributes:
        scale: Units per stored 1.0.
        offset: Added per channel (x, y, z).
    """

    scale: float = 2.0
    offset: tuple[float, float, float] = (-1.0, -1.0, -1.0)

    def __post_init__(self) -> None:
        for name, value in (("scale", self.scale), *(("offset", item) for item in self.offset)):
            _require_type(f"range.{name}", value, int, float)
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"range.scale={self.scale} must be a positive number")
        if len(self.offset) != 3 or not all(math.isfinite(value) for value in self.offset):
            raise ValueError(f"range.offset={self.offset} must be three finite numbers")


UNIT_RANGE = Range()
"""0.5 n + 0.5, the usual encoding of normals; pytorch3d-me reads positions the same way."""

SIGNED_RANGE = Range(1.0, (0.0, 0.0, 0.0))
"""Vectors stored as they are, in float files."""


@dataclass(frozen=True)
class MapRecord:
    """What one file of a subject means.

    Attributes:
        file: Name inside the subject folder.
        encoding: How values are stored.
        space: Of normals: ``object``, ``tangent`` (a TBN frame) or ``offset`` (AvatarMe's).
        green: Of normals: ``gl`` (+Y up) or ``dx``.
        range: Of vectors: from stored values to coordinates; None for colours.
        height: Rows [px].
        width: Columns [px].
        bits: Per channel: 8 or 16 for integers, 16 (half) or 32 for floats.
        derived: Computed, not captured.
    """

    file: str
    encoding: Encoding
    height: int
    width: int
    bits: int
    space: Space | None = None
    green: Green | None = None
    range: Range | None = None
    derived: bool = False

    def __post_init__(self) -> None:
        _require("encoding", self.encoding, get_args(Encoding))
        _require("bits", self.bits, (8, 16, 32))
        _require_type("derived", self.derived, bool)
        normals = self.encoding == "unit_vector"
        _require("space", self.space, get_args(Space) if normals else (None,))
        _require("green", self.green, get_args(Green) if normals else (None,))
        if (self.range is None) == (self.encoding in ("unit_vector", "position")):
            raise ValueError(f"range={self.range}: vectors have one, colours have none")
        for name, side in (("height", self.height), ("width", self.width)):
            _require_type(name, side, int)
            if side < 1:
                raise ValueError(f"{name}={side} must be positive")
        _require_type("file", self.file, str)
        if not self.file or Path(self.file).name != self.file:
            raise ValueError(f"file={self.file!r} must be a plain name inside the folder")

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.height, self.width

    @property
    def meaning(self) -> str:
        """Encoding, and space and green direction of normals, for people."""
        return ", ".join(item for item in (self.encoding, self.space, self.green) if item)


def default_record(
    kind: str, file: str, height: int, width: int, bits: int, *, floats: bool | None = None
) -> MapRecord:
    """What a file of this kind means where nothing else is said.

    Integers hold the kind's own encoding, vectors as 0.5 v + 0.5. Floats hold scene-linear
    colour, as renderers and photographers write it, and plain vectors.

    Args:
        kind: What the map is.
        file: Name inside the subject folder.
        height: Rows [px].
        width: Columns [px].
        bits: Per channel.
        floats: The file holds floats; None: where it is an EXR or has 32 bits.
    """
    encoding = KINDS[kind].encoding
    normals = encoding == "unit_vector"
    if floats is None:
        floats = bits == 32 or file.lower().endswith(".exr")
    return MapRecord(
        file=file,
        encoding="linear" if floats and not KINDS[kind].is_vector else encoding,
        height=height,
        width=width,
        bits=bits,
        space="object" if normals else None,
        green="gl" if normals else None,
        range=(SIGNED_RANGE if floats else UNIT_RANGE) if KINDS[kind].is_vector else None,
    )


@dataclass(frozen=True)
class SubjectRecord:
    """The whole of ``subject.json``.

    Attributes:
        maps: By kind.
        millimetres_per_unit: Of ``shape``; None where it is not known.
        source: Where the subject comes from.
        licence: On what terms.
        expires: ISO date after which the data must be destroyed, or None.
        seed: Of a procedural subject, or None.
        flaws: Of captures, put on the maps of a procedural subject, in the order they were put
            on; what was written before this was recorded has none.
        version: Of this format.
    """

    maps: Mapping[str, MapRecord] = field(default_factory=dict)
    millimetres_per_unit: float | None = None
    source: str | None = None
    licence: str | None = None
    expires: str | None = None
    seed: int | None = None
    flaws: tuple[str, ...] = ()
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"version={self.version!r}, and this realface reads {VERSION}")
        for kind, record in self.maps.items():
            _require("map kind", kind, tuple(KINDS))
            _require(f"maps.{kind}: encoding", record.encoding, KINDS[kind].encodings)
        scale = self.millimetres_per_unit
        if scale is not None:
            _require_type("millimetres_per_unit", scale, int, float)
            if not (math.isfinite(scale) and scale > 0):
                raise ValueError(f"millimetres_per_unit={scale} must be a positive number")
        for name in ("source", "licence", "expires"):
            _require_type(name, getattr(self, name), str, type(None))
        _require_type("seed", self.seed, int, type(None))
        for name in self.flaws:
            _require_type("flaws", name, str)
        if self.expires is not None:
            try:
                date.fromisoformat(self.expires)
            except ValueError as error:
                raise ValueError(f"expires={self.expires!r} must be an ISO date") from error

    def with_map(self, kind: str, record: MapRecord) -> "SubjectRecord":
        """The same subject with one map added or replaced."""
        return replace(self, maps={**self.maps, kind: record})


def read_record(folder: Path) -> SubjectRecord:
    """Read and validate ``subject.json``.

    Raises:
        InputError: If it is no JSON, has unknown or missing keys, or values out of bounds.
    """
    path = folder / FILE_NAME
    try:
        return _subject_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: {error}",
            f"a subject.json of version {VERSION}",
            "mend the file, or delete it to fall back on the defaults of each kind",
        ) from error


def write_record(folder: Path, record: SubjectRecord) -> None:
    """Write ``subject.json`` to a temporary name and rename it into place.

    Raises:
        FailureError: If the disk refuses.
    """
    with whole_file(folder / FILE_NAME) as partial:
        partial.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def _subject_from(data: Any) -> SubjectRecord:
    _require_keys(data, SubjectRecord)
    maps = data.get("maps", {})
    _require_type("maps", maps, dict)
    records = {kind: map_record_from(kind, entry) for kind, entry in maps.items()}
    flaws = data.get("flaws", [])
    _require_type("flaws", flaws, list)
    return SubjectRecord(**{**data, "maps": records, "flaws": tuple(flaws)})


def map_record_from(kind: str, data: Any) -> MapRecord:
    """One entry of ``maps``, validated; ValueError says what is wrong with it."""
    try:
        _require_keys(data, MapRecord)
        if (span := data.get("range")) is not None:
            _require_keys(span, Range)
            data = {**data, "range": Range(**{**span, "offset": tuple(span["offset"])})}
        return MapRecord(**data)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"maps.{kind}: {error}") from error


def _require_keys(data: Any, of: type) -> None:
    if not isinstance(data, dict):
        raise ValueError(f"{data!r} must be an object with keys and values")
    known = {item.name for item in fields(of)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"unknown keys {', '.join(unknown)}; there are {', '.join(sorted(known))}")
