"""What is wrong with the files of a layout: unreadable, unpaired, of another size."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np

from realface.errors import InputError
from realface.maps.files import read_form

Form = tuple[tuple[int, int], np.dtype]
"""``(height, width)`` and type of a file's values."""

Fault = Literal[
    "unrecognised", "ambiguous", "duplicate", "unreadable", "unpaired", "size", "misaligned"
]

_READERS = 8  # threads: reading a header is waiting for the disk


@dataclass(frozen=True)
class Problem:
    """A file or key that something is wrong with.

    Attributes:
        fault: What sort it is. Files that are ``unrecognised``, ``ambiguous``, ``duplicate`` or
            ``unreadable`` are not in `Layout.files`; the others are.
        about: The file, relative to the source, or the key, or for ``misaligned`` the kinds.
        reason: In words, equal for equal causes.
    """

    fault: Fault
    about: str
    reason: str


def read_forms(
    source: Path, paths: Sequence[PurePath]
) -> tuple[dict[PurePath, Form], list[Problem]]:
    """Sizes and types of images, by relative path; and those that cannot be read."""
    with ThreadPoolExecutor(_READERS) as pool:
        results = list(pool.map(_form, [source / path for path in paths]))
    forms, problems = {}, []
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, InputError):
            reason = result.given.replace(str(source / path), "the file")
            problems.append(Problem("unreadable", path.as_posix(), reason))
        else:
            forms[path] = result
    return forms, problems


def _form(path: Path) -> Form | InputError:
    try:
        return read_form(path)
    except InputError as error:
        return error


def unpaired(files: Mapping[str, Mapping[str, Path]]) -> list[Problem]:
    """Keys that some kinds lack."""
    everything = sorted(set().union(*files.values()))
    lacking = {key: [kind for kind, keys in files.items() if key not in keys] for key in everything}
    return [
        Problem("unpaired", key, f"lacks {', '.join(kinds)}")
        for key, kinds in lacking.items()
        if kinds
    ]


def odd_sizes(
    source: Path, files: Mapping[str, Mapping[str, Path]], forms: Mapping[Path, Form]
) -> list[Problem]:
    """Keys whose maps differ in size; and files, of keys that do not, of an unusual one."""
    sizes: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for kind, keys in files.items():
        for key, path in keys.items():
            sizes[key][kind] = forms[path][0]
    mixed = {key for key, of_kinds in sizes.items() if len(set(of_kinds.values())) > 1}
    problems = [
        Problem("size", key, "its maps differ: " + ", ".join(
            f"{kind} {height}x{width}" for kind, (height, width) in sizes[key].items()))
        for key in sorted(mixed)
    ]  # fmt: skip
    counts = Counter(size for of_kinds in sizes.values() for size in of_kinds.values())
    if not counts:
        return problems
    (usual, count), total = counts.most_common(1)[0], counts.total()
    usually = f"where {count} of {total} files are {usual[0]}x{usual[1]}"
    for keys in files.values():
        for key, path in keys.items():
            height, width = forms[path][0]
            if key not in mixed and (height, width) != usual:
                reason = f"{height}x{width} {usually}"
                problems.append(Problem("size", path.relative_to(source).as_posix(), reason))
    return problems
