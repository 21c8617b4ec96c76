"""``subject.json``: what each file of a subject folder means, versioned and validated."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

from realface.errors import InputError
from realface.maps.files import partial_path
from realface.maps.kinds import KINDS, Encoding, Green, Space

VERSION = 1
FILE_NAME = "subject.json"


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
        if self.encoding == "unit_vector":
            _require("space", self.space, get_args(Space))
            _require("green", self.green, get_args(Green))
        if self.height < 1 or self.width < 1:
            raise ValueError(f"height={self.height}, width={self.width} must be positive")
        if Path(self.file).name != self.file:
            raise ValueError(f"file={self.file!r} must be a plain name inside the folder")

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.height, self.width


def default_record(kind: str, file: str, height: int, width: int, bits: int) -> MapRecord:
    """What a file of this kind means where nothing else is said."""
    encoding = KINDS[kind].encoding
    normals = encoding == "unit_vector"
    return MapRecord(
        file=file,
        encoding=encoding,
        height=height,
        width=width,
        bits=bits,
        space="object" if normals else None,
        green="gl" if normals else None,
        range=UNIT_RANGE if KINDS[kind].is_vector else None,
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
        version: Of this format.
    """

    maps: Mapping[str, MapRecord] = field(default_factory=dict)
    millimetres_per_unit: float | None = None
    source: str | None = None
    licence: str | None = None
    expires: str | None = None
    seed: int | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"version={self.version}, and this realface reads {VERSION}")
        for kind in self.maps:
            _require("map kind", kind, tuple(KINDS))
        scale = self.millimetres_per_unit
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"millimetres_per_unit={scale} must be a positive number")

    def with_map(self, kind: str, record: MapRecord) -> "SubjectRecord":
        """The same subject with one map added or replaced."""
        return replace(self, maps={**self.maps, kind: record})


def _require(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(str, allowed))}")


def read_record(folder: Path) -> SubjectRecord:
    """Read and validate ``subject.json``.

    Raises:
        InputError: If it is no JSON, has unknown or missing keys, or values out of bounds.
    """
    path = folder / FILE_NAME
    try:
        return _subject_from(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: {error}",
            f"a subject.json of version {VERSION}",
            "mend the file, or delete it to fall back on the defaults of each kind",
        ) from error


def write_record(folder: Path, record: SubjectRecord) -> None:
    """Write ``subject.json`` to a temporary name and rename it into place."""
    path = folder / FILE_NAME
    partial = partial_path(path)
    partial.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _subject_from(data: dict[str, Any]) -> SubjectRecord:
    _refuse_unknown(data, SubjectRecord)
    maps = {kind: map_record_from(kind, entry) for kind, entry in data.get("maps", {}).items()}
    return SubjectRecord(**{**data, "maps": maps})


def map_record_from(kind: str, data: dict[str, Any]) -> MapRecord:
    """One entry of ``maps``, validated; ValueError says what is wrong with it."""
    _refuse_unknown(data, MapRecord)
    if (span := data.get("range")) is not None:
        _refuse_unknown(span, Range)
        data = {**data, "range": Range(float(span["scale"]), tuple(span["offset"]))}
    try:
        return MapRecord(**data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"maps.{kind}: {error}") from error


def _refuse_unknown(data: dict[str, Any], of: type) -> None:
    unknown = sorted(set(data) - {item.name for item in fields(of)})
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)}")
