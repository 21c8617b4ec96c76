"""A subject folder: one face as a folder of maps with ``subject.json``."""

import copy
import logging
from dataclasses import replace
from datetime import date
from pathlib import Path

from torch import Tensor

from realface.errors import InputError
from realface.maps.files import SUFFIXES, disk_failure, read_form
from realface.maps.io import MapFile, tight_range
from realface.maps.kinds import KINDS
from realface.maps.record import (
    FILE_NAME,
    MapRecord,
    SubjectRecord,
    default_record,
    read_record,
    write_record,
)
from realface.maps.resampled import ResampledMap
from realface.maps.writers import write_map

log = logging.getLogger(__name__)

_NOTICE = 30  # days before a subject's data must be destroyed


class Subject:
    """The maps of one face.

    Args:
        folder: ``<kind>.<png|tif|tiff|exr|jpg>`` files, with or without ``subject.json``. Files
            that the json does not name take the defaults of their kind, which is logged.

    Raises:
        InputError: If there is no such folder, no map in it, or a file that the json names is
            missing.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}, which is no folder", "a subject folder", "check the path")
        self.folder = folder
        self._size: tuple[int, int] | None = None  # that maps are resampled to, see `at`
        record = read_record(folder) if (folder / FILE_NAME).exists() else SubjectRecord()
        for kind, entry in record.maps.items():
            if not (folder / entry.file).is_file():
                raise InputError(
                    f"{folder} without {entry.file}",
                    f"the {kind} that its subject.json names",
                    "put the file back or take its entry out of subject.json",
                )
        for kind, found in map_files(folder).items():
            if kind not in record.maps:
                record = record.with_map(kind, _by_default(_only(folder, kind, found), kind))
        self.record = record
        self._tell_expiry()
        if not record.maps:
            raise InputError(
                f"{folder} without a single map",
                "files such as texture.png, shape.exr or diffuse_albedo.tif",
                f"name the files by kind: {', '.join(KINDS)}",
            )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def _tell_expiry(self) -> None:
        if self.record.expires is None:
            return
        left = (date.fromisoformat(self.record.expires) - date.today()).days
        if left < 0:
            log.warning("%s: its terms expired on %s: destroy it", self.folder, self.record.expires)
        elif left <= _NOTICE:
            log.warning("%s: its terms expire on %s", self.folder, self.record.expires)

    def __contains__(self, kind: str) -> bool:
        return kind in self.record.maps

    def open(self, kind: str) -> MapFile:
        """Open one map.

        Raises:
            InputError: If the subject has no such map, or its file is not what it should be.
        """
        if kind not in self.record.maps:
            raise InputError(
                f"{self.folder} without {kind}",
                f"a file {kind}.<{'|'.join(suffix[1:] for suffix in SUFFIXES)}>",
                f"add it, for example with `realface add {self.folder} {kind} FILE`",
            )
        record = self.record.maps[kind]
        path = self.folder / record.file
        if self._size is None:
            return MapFile(path, KINDS[kind], record)
        valid = self.record.maps.get("mask") if kind != "mask" else None
        mask = MapFile(self.folder / valid.file, KINDS["mask"], valid) if valid else None
        return ResampledMap(path, KINDS[kind], record, self._size, mask)

    def at(self, size: tuple[int, int]) -> "Subject":
        """The same subject, whose maps are opened as if they were of another size.

        Args:
            size: ``(height, width)`` [px].

        Raises:
            InputError: If its maps differ in size.
        """
        self.size()
        other = copy.copy(self)
        other._size = size
        return other

    def of_scale(self, millimetres_per_unit: float) -> "Subject":
        """The same subject, whose unit is known; nothing is written."""
        other = copy.copy(self)
        other.record = replace(self.record, millimetres_per_unit=millimetres_per_unit)
        return other

    def size(self, without: str | None = None) -> tuple[int, int]:
        """``(height, width)`` that all maps share.

        Args:
            without: A map that does not count, since it is about to be replaced.

        Raises:
            InputError: If they differ.
        """
        if self._size is not None:
            return self._size
        sizes = {kind: record.size for kind, record in self.record.maps.items() if kind != without}
        first_kind, first = next(iter(sizes.items()))
        for kind, size in sizes.items():
            if size != first:
                raise InputError(
                    f"{self.folder}: {kind} is {size[0]}x{size[1]} and {first_kind} is "
                    f"{first[0]}x{first[1]} (height x width)",
                    "maps of one size",
                    f"add {kind} again with `realface add ... --resample`",
                )
        return first


def map_files(folder: Path) -> dict[str, list[Path]]:
    """Images of a folder that are named after a kind, by kind; case does not matter to suffixes."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.stem in KINDS and path.suffix.lower() in SUFFIXES and path.is_file():
            found.setdefault(path.stem, []).append(path)
    return found


def _only(folder: Path, kind: str, found: list[Path]) -> Path:
    if len(found) > 1:
        raise InputError(
            f"{folder} with {' and '.join(path.name for path in found)}",
            f"one file for {kind}",
            "remove one, or name the right one in subject.json",
        )
    return found[0]


def _by_default(path: Path, kind: str) -> MapRecord:
    record = record_of(path, kind)
    log.info("%s: not in subject.json, taken as %s", path, record.meaning)
    return record


def record_of(path: Path, kind: str) -> MapRecord:
    """The default record of an image.

    Raises:
        InputError: If it cannot be read.
    """
    size, dtype = read_form(path)
    floats = dtype.kind == "f"  # by bits alone, a TIFF of halves looks like integers
    return default_record(kind, path.name, *size, dtype.itemsize * 8, floats=floats)


def save_map(
    folder: Path,
    kind: str,
    values: Tensor,
    *,
    bits: int = 16,
    derived: bool = False,
    about: SubjectRecord | None = None,
) -> None:
    """Write a map ``(C, H, W)`` into a subject folder as TIFF and enter it in ``subject.json``.

    Args:
        folder: The subject; made if it is not there.
        kind: What the map is; normals in object space.
        values: As in memory; positions in the subject's units.
        bits: 8 or 16.
        derived: Computed, not captured.
        about: What else the json says; None: what it says already.

    Raises:
        FailureError: If the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if about is None:
            about = read_record(folder) if (folder / FILE_NAME).exists() else SubjectRecord()
        height, width = values.shape[-2:]
        record = default_record(kind, f"{kind}.tif", height, width, bits)
        record = replace(record, derived=derived)
        if KINDS[kind].encoding == "position":
            record = replace(record, range=tight_range(values))
        write_map(folder / record.file, kind, record, values)
        # The json last: it never names a file that is not whole.
        write_record(folder, about.with_map(kind, record))
    except OSError as error:
        raise disk_failure(folder, error) from error
