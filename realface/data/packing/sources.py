"""What a folder holds: subjects, or lent patches, as captures; and what is left out of them."""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from realface.data.discovery.alignment import misaligned
from realface.data.discovery.faults import Problem
from realface.data.discovery.layouts import Layout, describe, discover, read_layout
from realface.data.discovery.samples import read_samples
from realface.data.packing.captures import (
    Capture,
    check_captures,
    check_spaces,
    layout_captures,
    subject_capture,
    subject_folders,
)
from realface.data.packing.meanings import Said, settle
from realface.data.packing.threads import in_threads
from realface.data.workers import cores
from realface.errors import InputError
from realface.maps.kinds import REFLECTANCE
from realface.maps.record import FILE_NAME

log = logging.getLogger(__name__)

_LISTED = 5  # of what is wrong, in an error
_PATCHES_READ, _MAPS_READ = 16, 2  # captures that guesses look at; a large map takes a second
_LARGE = 2048  # px, side of a map from which on few are read
_LARGEST_PATCH, _FEW = 1024, 20  # px; more squares of at most this side are patches, not maps
_NOT_TAKEN = ("unrecognised", "ambiguous")  # told, and no reason to stop


@dataclass(frozen=True)
class Source:
    """What is packed.

    Attributes:
        captures: In the order of their names.
        lent: They are lent patches, to be kept whole; else subjects, to be cut.
        report: What was found, lines for people.
    """

    captures: tuple[Capture, ...]
    lent: bool
    report: tuple[str, ...]


def find_source(
    source: Path,
    layout: Path | None,
    said: Said,
    leave_out: bool,
    patch: int,
) -> Source:
    """Find the captures in a folder and settle what their files mean.

    Args:
        source: The folder.
        layout: A layout file; None: subject folders, or else what the names say.
        said: What the user says of encoding, space and green.
        leave_out: Leave out what does not fit instead of refusing it.
        patch: Images of at most this side are lent patches [px].

    Raises:
        InputError: If nothing is found, or files do not fit together.
    """
    folders = [] if layout else subject_folders(source)
    if folders and not _are_lent(folders, patch):
        captures = [subject_capture(folder) for folder in folders]
        check_captures(captures)
        found = Source(tuple(captures), False, _subject_lines(source, folders))
        samples = read_samples(_layout_of(captures), _count(captures))
    else:
        paired = discover(source, read_layout(layout) if layout else None)
        found = _from_layout(paired, leave_out, patch)
        if leave_out and found.lent:
            found = _readable(found)
        check_captures(found.captures)
        samples = read_samples(paired, _count(found.captures))
        _tell_misaligned(misaligned(samples))
    captures, lines = settle(found.captures, said, samples)
    check_spaces(captures)
    return Source(tuple(captures), found.lent, (*found.report, *lines))


def _readable(found: Source) -> Source:
    """Without patches of which a file cannot be decoded: each is read for that, all of it."""
    errors = in_threads(_read_error, found.captures, cores())
    bad = [error for error in errors if error is not None]
    if not bad:
        return found
    captures = [one for one, error in zip(found.captures, errors, strict=True) if error is None]
    if len(captures) < 2:
        raise InputError(
            f"{len(bad)} captures that cannot be read: {bad[0]}", "at least two", "copy them again"
        )
    more = " ..." if len(bad) > _LISTED else ""
    line = f"left out: {len(bad)} that cannot be read: {'; '.join(bad[:_LISTED])}{more}"
    return replace(found, captures=tuple(captures), report=(*found.report, line))


def _read_error(capture: Capture) -> str | None:
    try:
        for item in capture.maps:
            item.open()
    except InputError as error:
        return error.given
    return None


def _layout_of(captures: Sequence[Capture]) -> Layout:
    """Subjects as the layout that their maps' pixels are read from."""
    files: dict[str, dict[str, Path]] = {}
    for capture in captures:
        for item in capture.maps:
            files.setdefault(item.kind, {})[capture.name] = item.path
    return Layout(Path(), files, forms={}, entries={}, problems=())


def _count(captures: Sequence[Capture]) -> int:
    """How many captures guesses look at."""
    return _PATCHES_READ if max(captures[0].size) < _LARGE else _MAPS_READ


def _are_lent(folders: Sequence[Path], patch: int) -> bool:
    """Whether folders named like subjects hold a patch each: no json, and nothing to cut."""
    if any((folder / FILE_NAME).exists() for folder in folders):
        return False
    return all(max(subject_capture(folder).size) <= patch for folder in folders)


def _subject_lines(source: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    lines = [f"{len(folders)} subject folders"]
    others = sorted(
        path.name
        for path in source.iterdir()
        if path.is_dir() and path not in folders and not path.name.startswith(".")
    )
    if others and folders != [source]:
        lines.append(
            f"not taken ({len(others)}): no subject.json and no map named after its kind: "
            f"{', '.join(others[:_LISTED])}{' ...' if len(others) > _LISTED else ''}"
        )
    return tuple(lines)


def _from_layout(layout: Layout, leave_out: bool, patch: int) -> Source:
    lines = describe(layout)
    if not set(REFLECTANCE) & layout.files.keys():
        raise InputError(
            f"{layout.source} without patches of any reflectance map: {'; '.join(lines)}",
            f"subject folders, or files or folders named like {', '.join(REFLECTANCE)}",
            "give a --layout file that says where each kind lies",
        )
    lent = _is_lent(layout, patch)
    keys, faults = _whole_keys(layout, lent)
    if faults and not leave_out:
        for line in lines:
            log.warning("%s", line)
        raise InputError(
            f"{layout.source} with {len(faults)} files or keys that do not fit: "
            f"{'; '.join(faults[:_LISTED])}{'; ...' if len(faults) > _LISTED else ''}",
            "the same keys for every kind, in one size, that can be read",
            "complete or remove these, say which files are meant in a --layout file, or pack "
            "without them: --leave-out"
            if keys
            else "give a --layout file that says how they pair",
        )
    if len(keys) < (2 if lent else 1):
        raise InputError(
            f"{layout.source} with one patch" if keys else f"no maps of one key in {layout.source}",
            "at least two patches: training and validation",
            "add patches, or give a --layout file that says how they pair",
        )
    if faults:
        lines.append(f"left out: {len(faults)} files or keys that do not fit")
    return Source(tuple(layout_captures(layout, keys)), lent, tuple(lines))


def _tell_misaligned(problems: Sequence[Problem]) -> None:
    """A hint and no proof, so what seems misaligned is packed."""
    abouts: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        abouts[problem.reason].append(problem.about)
    for reason, found in abouts.items():
        more = " ..." if len(found) > _LISTED else ""
        log.warning("misaligned? %s: %s%s", reason, ", ".join(found[:_LISTED]), more)


def _is_lent(layout: Layout, patch: int) -> bool:
    """Whether the images are patches, not maps that patches are cut from."""
    sides = [max(layout.forms[path][0]) for keys in layout.files.values() for path in keys.values()]
    small = sum(side <= patch for side in sides)
    if 0 < small < len(sides) and min(small, len(sides) - small) * 10 > len(sides):
        raise InputError(
            f"{layout.source} with {small} images up to {patch}x{patch} and "
            f"{len(sides) - small} larger ones",
            "patches, or whole maps to cut them from",
            "pack them separately, or give the side of the patches as --patch",
        )
    lent = 2 * small > len(sides)
    _check_cut(layout, patch, lent)
    return lent


def _check_cut(layout: Layout, patch: int, lent: bool) -> None:
    """Refuse to cut patches out of what looks like patches: many small squares of one size."""
    sizes = {layout.forms[path][0] for keys in layout.files.values() for path in keys.values()}
    height, width = next(iter(sizes))
    is_square = len(sizes) == 1 and height == width <= _LARGEST_PATCH
    if not lent and is_square and len(layout.keys) > _FEW:
        raise InputError(
            f"--patch {patch} for {len(layout.keys)} patches of {height}x{width}",
            "patches that are kept whole",
            f"leave --patch out, and train with --data.crop {patch}",
        )


def _whole_keys(layout: Layout, lent: bool) -> tuple[list[str], list[str]]:
    """Keys that can be packed; and what is wrong with the other files, in words."""
    faults = [
        f"{problem.about}: {problem.reason}"
        for problem in layout.problems
        if problem.fault not in (*_NOT_TAKEN, "size", "misaligned")
    ]
    sizes = {
        key: {layout.forms[files[key]][0] for files in layout.files.values()} for key in layout.keys
    }
    if not sizes:
        return [], faults
    usual = Counter(size for found in sizes.values() for size in found).most_common(1)[0][0]
    keys = []
    for key, found in sizes.items():
        if len(found) > 1:
            faults.append(f"{key}: its maps differ in size")
        elif lent and found != {usual}:
            faults.append(f"{key}: not {usual[0]}x{usual[1]} as the others")
        else:
            keys.append(key)
    return keys, faults
