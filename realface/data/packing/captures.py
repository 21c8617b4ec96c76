"""What samples are made of: the files that show one face, or one lent patch of it.

Plain data that travels to worker processes; nothing is read but what names and headers say.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from realface.data.discovery.layouts import Entry, Layout
from realface.data.index import Terms
from realface.errors import InputError
from realface.maps.files import SUFFIXES
from realface.maps.io import MapFile, require_object_space
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.record import FILE_NAME, MapRecord, default_record, read_record
from realface.maps.subject import Subject, map_files

log = logging.getLogger(__name__)

PROPERTIES = ("encoding", "space", "green")
"""What can be said of a file besides what map it is."""


@dataclass(frozen=True)
class SourceMap:
    """One file of a source.

    Attributes:
        kind: What map it is.
        path: Where it lies.
        record: What its values mean.
        declared: What of ``encoding``, ``space`` and ``green`` somebody has said: ``subject.json``,
            a layout file, the file's name or a flag. The rest is the kind's default or a guess.
    """

    kind: str
    path: Path
    record: MapRecord
    declared: tuple[str, ...] = ()

    def open(self) -> MapFile:
        """Read it."""
        return MapFile(self.path, KINDS[self.kind], self.record)


@dataclass(frozen=True)
class Capture:
    """The maps of one subject, or of one lent patch.

    Attributes:
        name: Of the subject; a lent patch's key.
        maps: In the order of `KINDS`, all of one size.
        millimetres_per_unit: Of ``shape``; None where it is not known.
        terms: On which it is held.
    """

    name: str
    maps: tuple[SourceMap, ...] = field(repr=False)  # many samples share them
    millimetres_per_unit: float | None
    terms: Terms

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of its maps."""
        return tuple(item.kind for item in self.maps)

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.maps[0].record.size

    def map_of(self, kind: str) -> SourceMap | None:
        """Its map of a kind, if it has one."""
        return next((item for item in self.maps if item.kind == kind), None)


def subject_folders(source: Path) -> list[Path]:
    """The subject folders in a source, or the source itself; none if it holds something else.

    Raises:
        InputError: If the source is no folder.
    """
    if not source.is_dir():
        raise InputError(
            f"{source}, which is no folder",
            "a folder of this machine with subjects or patches",
            "check the path; copy what lies on a server first",
        )
    if _is_subject(source):
        return [source]
    return sorted(path for path in source.iterdir() if path.is_dir() and _is_subject(path))


def _is_subject(folder: Path) -> bool:
    """A hidden folder is one that is still being written."""
    if folder.name.startswith("."):
        return False
    return (folder / FILE_NAME).exists() or bool(map_files(folder))


def subject_capture(folder: Path) -> Capture:
    """A subject folder's maps, without its texture: training lights its own.

    Raises:
        InputError: If the maps differ in size, or ``subject.json`` is not what it should be.
    """
    subject = Subject(folder)
    subject.size()
    if "mask" not in subject:
        log.info("%s: no mask, every texel is taken as valid", folder)
    _tell_flaws(folder, subject.record.flaws)
    declared = read_record(folder).maps if (folder / FILE_NAME).exists() else {}
    records = subject.record.maps
    return Capture(
        name=subject.name,
        maps=tuple(
            SourceMap(
                kind,
                folder / records[kind].file,
                records[kind],
                PROPERTIES if kind in declared else (),
            )
            for kind in KINDS
            if kind in records and kind != "texture"
        ),
        millimetres_per_unit=subject.record.millimetres_per_unit,
        terms=Terms(subject.record.source, subject.record.licence, subject.record.expires),
    )


def layout_captures(layout: Layout, keys: Sequence[str]) -> list[Capture]:
    """The maps of a layout that share each of these keys."""
    return [
        Capture(
            name=key,
            maps=tuple(_layout_map(layout, kind, key) for kind in layout.files),
            millimetres_per_unit=None,
            terms=Terms(None, None, None),
        )
        for key in keys
    ]


def _layout_map(layout: Layout, kind: str, key: str) -> SourceMap:
    path = layout.files[kind][key]
    size, dtype = layout.forms[path]
    record = default_record(kind, path.name, *size, dtype.itemsize * 8, floats=dtype.kind == "f")
    said = layout.entries.get(kind, Entry())
    declared = {name: getattr(said, name) for name in PROPERTIES if getattr(said, name)}
    return SourceMap(kind, path, replace(record, **declared), tuple(declared))


def _tell_flaws(folder: Path, flaws: Sequence[str]) -> None:
    if not flaws:
        return
    from realface.synthetic.flaws import IN_INPUTS  # heavy, and few subjects have any

    spoilt = [name for name in flaws if name in IN_INPUTS]
    if spoilt:
        log.warning("%s: its maps have %s, which a network would learn", folder, ", ".join(spoilt))


def check_captures(captures: Sequence[Capture]) -> None:
    """Refuse what could not be batched or keyed, before any map is read.

    Raises:
        InputError: If a capture has no reflectance map, or other kinds than the others, or if two
            names make one key.
    """
    for capture in captures:
        if not set(REFLECTANCE) & set(capture.kinds):
            raise InputError(
                f"{capture.name} without a reflectance map",
                f"one of {', '.join(REFLECTANCE)}, as {', '.join(SUFFIXES)}",
                "add it, or take this folder out",
            )
    _check_kinds(captures)
    _check_keys(captures)


def check_spaces(captures: Sequence[Capture]) -> None:
    """Refuse normals that are not in object space: patches have no frame to convert them by.

    Raises:
        InputError: With the command that converts them.
    """
    for capture in captures:
        for item in capture.maps:
            require_object_space(item.path, KINDS[item.kind], item.record)


def _check_kinds(captures: Sequence[Capture]) -> None:
    everything = set().union(*(capture.kinds for capture in captures))
    lacking = [
        f"{capture.name} lacks {', '.join(sorted(everything - set(capture.kinds)))}"
        for capture in captures
        if everything - set(capture.kinds)
    ]
    if lacking:
        raise InputError(
            f"subjects with different maps: {'; '.join(lacking[:5])}",
            "the same kinds in every subject, since they are batched together",
            "complete these subjects, or leave the map out of the others",
        )


def _check_keys(captures: Sequence[Capture]) -> None:
    keys: dict[str, list[Capture]] = {}
    for capture in captures:
        keys.setdefault(key_of(capture.name), []).append(capture)
    for same in keys.values():
        names = [capture.name for capture in same]
        if len(same) > 1 and len(set(names)) == 1:
            folders = " and ".join(str(capture.maps[0].path.parent) for capture in same)
            raise InputError(
                f"subject {names[0]} in {folders}",
                "every subject once, a name for each",
                "remove the link to another, or rename one",
            )
        if len(same) > 1:
            raise InputError(
                f"subjects {' and '.join(names)}",
                "names that differ in letters and digits: dots and spaces are no part of a key",
                "rename one",
            )


def key_of(name: str) -> str:
    """A name as a shard key: WebDataset cuts keys at the first dot."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def fingerprint(captures: Iterable[Capture]) -> str:
    """A hash of what the captures are made of: each file's place, length, time and meaning."""
    digest = hashlib.sha256()
    for capture in captures:
        digest.update(repr((capture, capture.maps)).encode())
        for item in capture.maps:
            state = item.path.stat()
            digest.update(repr((state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()
