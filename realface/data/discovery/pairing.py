"""Keys: what is left of a path without the words of its kind, and which files share one.

What people write around a number differs from kind to kind (`da_0001`, `0001_object`, `1`), so a
few ways to cut a key are tried on all files and the one that pairs the most is taken.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePath

from realface.data.discovery.faults import Fault, Problem
from realface.data.discovery.synonyms import Reading, Word, components, words
from realface.maps.files import SUFFIXES

Paths = dict[str, dict[str, PurePath]]
"""One path by kind and key."""

_Groups = Mapping[str, Mapping[str, Sequence[PurePath]]]
_Way = Callable[[PurePath, Reading], str]


def pair_names(
    readings: Mapping[PurePath, Reading],
) -> tuple[Paths, list[Problem], dict[str, tuple[str, ...]]]:
    """Pair files by what their names leave without the words of their kinds.

    Args:
        readings: Of relative paths, each with a kind.

    Returns:
        The paths; keys for which a kind has several files, none of which is taken; and by kind
        the words that no dictionary knows, which all names of the kind share and whose leaving
        out made keys pair (``RFDB_x_0001`` and ``RFDB_y_0001``), for people to check.
    """
    shared = _shared_words(readings)
    ways: list[tuple[_Way, bool]] = [
        (_without_own_and_asides, False),
        (_without_own, False),
        (lambda path, said: _numbered(_without_own_and_asides(path, said)), False),
        (lambda path, said: _numbered(_without_own(path, said)), False),
        (lambda path, said: _numbered(_without(path, said, shared[str(said.kind)])), True),
    ]
    tries = [(_group(readings, way), cuts_shared) for way, cuts_shared in ways]
    best, cuts_shared = max(tries, key=lambda one: _score(one[0]))  # the first of equal ones
    left_out = {kind: tuple(sorted(texts)) for kind, texts in shared.items() if texts}
    found, problems = _singles(_shortened(best))
    return found, problems, left_out if cuts_shared else {}


def pair_patterns(
    images: Iterable[PurePath], patterns: Mapping[str, str]
) -> tuple[Paths, list[Problem]]:
    """Pair files by patterns.

    Args:
        images: Relative paths.
        patterns: By kind, with ``{key}`` once or more; without an image's suffix: any.

    Returns:
        The paths; and files that no pattern, several patterns or several files of one kind and
        key match, which are not taken.
    """
    compiled = {kind: _compile(pattern) for kind, pattern in patterns.items()}
    files: dict[str, dict[str, list[PurePath]]] = {kind: defaultdict(list) for kind in patterns}
    problems = []
    for path in images:
        tries = {kind: pattern.fullmatch(path.as_posix()) for kind, pattern in compiled.items()}
        matches = {kind: match["key"] for kind, match in tries.items() if match}
        if len(matches) == 1:
            [(kind, key)] = matches.items()
            files[kind][key].append(path)
        else:
            several = f"the patterns of {' and '.join(matches)} match"
            reason = several if matches else "no pattern of the layout matches"
            fault: Fault = "ambiguous" if matches else "unrecognised"
            problems.append(Problem(fault, path.as_posix(), reason))
    found, doubles = _singles(files)
    return found, [*problems, *doubles]


def _compile(pattern: str) -> re.Pattern[str]:
    """A key may hold folders; where it stands twice, it is the same text."""
    first, *others = pattern.split("{key}")
    text = re.escape(first) + "(?P<key>.+)" + "(?P=key)".join(re.escape(part) for part in others)
    if PurePath(pattern).suffix.lower() not in SUFFIXES:
        text += rf"(?i:{'|'.join(re.escape(suffix) for suffix in SUFFIXES)})"
    return re.compile(text)


def _singles(files: _Groups) -> tuple[Paths, list[Problem]]:
    """Files that are alone for their kind and key, and the others."""
    found: Paths = {}
    problems = []
    for kind, keys in files.items():
        found[kind] = {key: paths[0] for key, paths in keys.items() if len(paths) == 1}
        for key, paths in keys.items():
            if len(paths) > 1:
                names = ", ".join(path.as_posix() for path in sorted(paths))
                reason = f"several files of {kind} for one key, none is taken"
                problems.append(Problem("duplicate", f"{key} ({names})", reason))
    return found, problems


def _without_own(path: PurePath, said: Reading) -> str:
    return _cut(path, said.own)


def _without_own_and_asides(path: PurePath, said: Reading) -> str:
    return _cut(path, (*said.own, *said.asides))


def _without(path: PurePath, said: Reading, texts: Collection[str]) -> str:
    more = [
        word
        for number, component in enumerate(components(path))
        for word in words(component, number)
        if word.text in texts
    ]
    return _cut(path, (*said.own, *said.asides, *more))


def _cut(path: PurePath, gone: Iterable[Word]) -> str:
    """A path's components without some words, signs between the others as underscores."""
    left = [list(text) for text in components(path)]
    for word in gone:
        for at in range(word.start, word.stop):
            left[word.component][at] = " "
    kept = ("".join(c if c.isalnum() else " " for c in text).split() for text in left)
    return "/".join("_".join(parts) for parts in kept if parts)


def _numbered(key: str) -> str:
    """A key with numbers without padding, in lower case."""
    names = ("_".join(_unpadded(name)) for name in key.split("/"))
    return "/".join(names)


def _unpadded(name: str) -> list[str]:
    return [
        "".join(str(int(w.text)) if w.text.isdecimal() else w.text for w in words(chunk))
        for chunk in name.split("_")
    ]


def _shared_words(readings: Mapping[PurePath, Reading]) -> dict[str, set[str]]:
    """By kind: words of letters in every file name of a kind, where there are several files.

    Words with digits are kept: ``s01`` may be the subject.
    """
    found: dict[str, list[set[str]]] = defaultdict(list)
    for path, said in readings.items():
        mine = {word.text for word in words(path.stem) if word.text.isalpha()}
        numbered = _beside_digits(path.stem)
        found[str(said.kind)].append(mine - numbered)
    return {kind: set.intersection(*sets) if len(sets) > 1 else set()
            for kind, sets in found.items()}  # fmt: skip


def _beside_digits(stem: str) -> set[str]:
    found = words(stem)
    return {
        first.text
        for first, second in itertools.pairwise(found)
        if first.stop == second.start and second.text.isdecimal()
    }


def _group(readings: Mapping[PurePath, Reading], way: _Way) -> _Groups:
    files: dict[str, dict[str, list[PurePath]]] = defaultdict(lambda: defaultdict(list))
    for path, said in readings.items():
        files[str(said.kind)][way(path, said)].append(path)
    return files


def _score(files: _Groups) -> int:
    """Files that share a key with all other kinds, less those that share one with their own."""
    counts = Counter(key for keys in files.values() for key in keys)
    whole = sum(count == len(files) for count in counts.values())
    partly = sum(count - 1 for count in counts.values())
    doubles = sum(len(paths) - 1 for keys in files.values() for paths in keys.values())
    return whole * len(files) + partly - 2 * len(files) * doubles


def _shortened(files: _Groups) -> _Groups:
    """Keys without the folders that all of them start with; an empty key is ``-``."""
    split = [key.split("/") for keys in files.values() for key in keys]
    shared = 0
    while split and all(len(parts) > shared + 1 for parts in split):
        if len({parts[shared] for parts in split}) > 1:
            break
        shared += 1
    return {
        kind: {"/".join(key.split("/")[shared:]) or "-": paths for key, paths in keys.items()}
        for kind, keys in files.items()
    }
