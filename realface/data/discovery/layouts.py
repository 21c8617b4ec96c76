"""Which file of a folder is which kind of map, and which files belong to one patch.

RealFaceDB's folders and names were never published, so they are found: by the words in the
paths (`realface.data.discovery.synonyms`), or by a layout file that says where each kind lies
and, where it is not the kind's default, what it holds::

    diffuse_albedo: DiffuseAlbedo/{key}.png
    specular_normals: {files: "{key}/{key}_spec.png", space: object, green: dx}
    specular_albedo: {files: "SpecularAlbedo/{key}", encoding: srgb}

Nothing is dropped in silence: what is not taken is listed with its reason.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any, get_args

import yaml

from realface.data.discovery.faults import Form, Problem, odd_sizes, read_forms, unpaired
from realface.data.discovery.pairing import Paths, pair_names, pair_patterns
from realface.data.discovery.synonyms import Reading, read_path
from realface.errors import InputError
from realface.maps.files import SUFFIXES
from realface.maps.kinds import KINDS, Encoding, Green, Space

_EXAMPLES = 5


@dataclass(frozen=True)
class Entry:
    """What is said of one kind, by a layout file or by the names of its files.

    Attributes:
        files: Pattern relative to the source, with ``{key}`` once or more; without a suffix: any
            that an image has. Empty if the files were found by their names.
        space: Of normals; None: not said.
        green: Of normals; None: not said.
        encoding: Of colours; None: not said.
    """

    files: str = ""
    space: Space | None = None
    green: Green | None = None
    encoding: Encoding | None = None


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Attributes:
        source: The folder.
        files: Paths by kind and key, both sorted. Keys need not be in every kind.
        forms: Size and type of every path in ``files``.
        entries: By kind, what the layout file or the names say of space, green and encoding.
        problems: Everything that was not taken, or is not as it should be.
        notes: What was assumed to make names pair, for people.
    """

    source: Path
    files: Mapping[str, Mapping[str, Path]]
    forms: Mapping[Path, Form]
    entries: Mapping[str, Entry]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Keys that every kind has, sorted."""
        sets = [set(files) for files in self.files.values()]
        return sorted(set.intersection(*sets)) if sets else []


def discover(source: Path, entries: Mapping[str, Entry] | None = None) -> Layout:
    """Find the maps in a folder and its folders; links are followed, hidden files left out.

    Only headers are read (EXR and JPEG whole: see `realface.maps.files.read_form`), so 7,500
    PNG take seconds.

    Args:
        source: The folder.
        entries: As `read_layout` returns; None: found by names.

    Raises:
        InputError: If ``source`` is no folder, or a pattern of ``entries`` matches nothing.
    """
    if not source.is_dir():
        raise InputError(f"{source}, which is no folder", "a folder of maps", "check the path")
    images, problems = _list_images(source)
    notes: tuple[str, ...] = ()
    if entries is None:
        readings = {path: read_path(path) for path in images}
        problems += _without_kind(readings)
        known = {path: said for path, said in readings.items() if said.kind is not None}
        found, doubles, left_out = pair_names(known)
        entries, unclear = _entries(known, found)
        problems += [*unclear, *doubles]
        notes = tuple(
            f"{kind}: {', '.join(texts)} left out of the names so that they pair"
            for kind, texts in sorted(left_out.items())
        )
    else:
        found, doubles = pair_patterns(images, {k: entry.files for k, entry in entries.items()})
        problems += doubles
        _require_matches(source, entries, found, len(images))
    return _layout(source, found, entries, problems, notes)


def _layout(
    source: Path,
    found: Paths,
    entries: Mapping[str, Entry],
    problems: Sequence[Problem],
    notes: tuple[str, ...],
) -> Layout:
    """The paths with their headers read and checked; without textures, which nobody packs."""
    if textures := found.get("texture"):
        notes = (*notes, f"texture: {len(textures)} files, not packed: training lights its own")
        found = {kind: paths for kind, paths in found.items() if kind != "texture"}
    forms, unreadable = read_forms(source, [p for keys in found.values() for p in keys.values()])
    files = {
        kind: {key: source / path for key, path in sorted(found[kind].items()) if path in forms}
        for kind in KINDS
        if kind in found
    }
    whole = {source / path: form for path, form in forms.items()}
    more = (*unreadable, *unpaired(files), *odd_sizes(source, files, whole))
    return Layout(source, files, whole, entries, (*problems, *more), notes)


def describe(layout: Layout) -> list[str]:
    """Lines for people: what was found and paired, what not and why, with a few examples."""
    lines = [_kind_line(layout, kind) for kind in layout.files]
    lines += layout.notes
    names = ", ".join(layout.files)
    lines.append(f"{len(layout.keys)} keys have all of {names}" if names else "no maps were found")
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for problem in layout.problems:
        groups[problem.fault, problem.reason].append(problem.about)
    for (fault, reason), abouts in groups.items():
        more = f" and {len(abouts) - _EXAMPLES} more" if len(abouts) > _EXAMPLES else ""
        lines.append(f"{fault} ({len(abouts)}): {reason}: {', '.join(abouts[:_EXAMPLES])}{more}")
    return lines


def _kind_line(layout: Layout, kind: str) -> str:
    files = layout.files[kind]
    forms = Counter(layout.forms[path] for path in files.values()).most_common()
    shown = ", ".join(
        f"{height}x{width} {dtype}" + (f" ({count})" if len(forms) > 1 else "")
        for ((height, width), dtype), count in forms[:_EXAMPLES]
    )
    example = next((f", {key} is {_name(layout.source, path)}" for key, path in files.items()), "")
    said = layout.entries.get(kind, Entry())
    meaning = [value for value in (said.space, said.green, said.encoding) if value]
    hint = f", said to be {' '.join(meaning)}" if meaning else ""
    return f"{kind}: {len(files)} files, {shown or 'none readable'}{hint}{example}"


def _name(source: Path, path: PurePath) -> str:
    return path.relative_to(source).as_posix()


def _list_images(source: Path) -> tuple[list[PurePath], list[Problem]]:
    """Relative paths of images, sorted; and the other files."""
    images, others = [], []
    for path in sorted(_walk(source)):
        if path.suffix.lower() in SUFFIXES:
            images.append(path)
        else:
            reason = f"no image that realface reads ({path.suffix or 'no suffix'})"
            others.append(Problem("unrecognised", path.as_posix(), reason))
    return images, others


def _walk(source: Path) -> Iterator[PurePath]:
    seen: set[str] = set()
    for folder, folders, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and not name.endswith(".partial"):
                yield PurePath(os.path.relpath(os.path.join(folder, name), source))


def _without_kind(readings: Mapping[PurePath, Reading]) -> list[Problem]:
    return [
        Problem("ambiguous" if said.unclear else "unrecognised", path.as_posix(), said.reason)
        for path, said in readings.items()
        if said.kind is None
    ]


def _entries(
    readings: Mapping[PurePath, Reading], found: Paths
) -> tuple[dict[str, Entry], list[Problem]]:
    """What the names of each kind say, where they do not contradict each other."""
    entries, problems = {}, []
    for kind, keys in found.items():
        said: dict[str, Any] = {}
        for name in ("space", "green", "encoding"):
            values = {getattr(readings[path], name) for path in keys.values()}
            if len(values) == 1:
                [said[name]] = values
            elif values:
                words = sorted(value or "nothing" for value in values)
                reason = f"some names say {' and some '.join(words)} of its {name}"
                problems.append(Problem("ambiguous", kind, reason))
        entries[kind] = Entry(**said)
    return entries, problems


def _require_matches(source: Path, entries: Mapping[str, Entry], found: Paths, count: int) -> None:
    empty = [f"{kind}: {entry.files}" for kind, entry in entries.items() if not found[kind]]
    if empty:
        raise InputError(
            f"a layout with `{'`, `'.join(empty)}`, which no file matches once",
            f"patterns that match some of the {count} images in {source}",
            "correct these lines: paths are relative to the source, with / between folders; "
            "capitals count, and nothing but {key} stands for other letters",
        )


def read_layout(path: Path) -> dict[str, Entry]:
    """Entries by kind from a YAML file.

    Raises:
        InputError: If it is no mapping of kinds to patterns with ``{key}``, or an entry says
            what its kind does not have.
    """
    try:
        layout = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"layout {path}: {error.strerror}", "a YAML layout file", "check the path"
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: {error}",
            "a YAML layout file",
            'put patterns inside {...} in quotes: {files: "SpecNormals/{key}.png", green: dx}',
        ) from error
    if not isinstance(layout, dict) or not layout or not all(kind in KINDS for kind in layout):
        raise InputError(
            f"{path} with {layout!r}, which is no layout",
            "lines such as `diffuse_albedo: DiffuseAlbedo/{key}.png`",
            f"use the kinds {', '.join(KINDS)}",
        )
    return {kind: _entry(path, kind, said) for kind, said in layout.items()}


def _entry(path: Path, kind: str, said: Any) -> Entry:
    keys = said if isinstance(said, dict) else {"files": said}
    normals, vectors = KINDS[kind].encoding == "unit_vector", KINDS[kind].is_vector
    allowed = {
        "space": get_args(Space) if normals else (),
        "green": get_args(Green) if normals else (),
        "encoding": () if vectors else KINDS[kind].encodings,
    }
    files = keys.get("files")
    good = isinstance(files, str) and "{key}" in files
    good = good and keys.keys() <= {field.name for field in fields(Entry)}
    if not good or any(keys[name] not in allowed[name] for name in keys.keys() & allowed.keys()):
        choices = [f"{name}: {'|'.join(values)}" for name, values in allowed.items() if values]
        raise InputError(
            f"{path} with {kind}: {said!r}",
            f'a pattern with {{key}}, or {{files: "pattern", {", ".join(choices)}}}',
            "correct this line of the layout",
        )
    return Entry(**keys)
