"""Keys: what is left of a path without the words of its kind, and which files share one.

What people write around a number differs from kind to kind (`da_0001`, `0001_object`, `1`), so a
few ways to cut a key, and to compare keys, are tried on all files and the one that pairs the most
is taken. Keys keep a spelling of their files: a person must recognise them.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from realface.data.discovery.faults import Fault, Problem
from realface.data.discovery.synonyms import Reading, Word, components, words
from realface.maps.files import SUFFIXES

Paths = dict[str, dict[str, PurePath]]
"""One path by kind and key."""

_Groups = Mapping[str, Mapping[str, Sequence[PurePath]]]
_Cut = Callable[[PurePath, Reading], str]
_Compared = Callable[[str], str]
_REMOVED = "\0"
_GAP = re.compile(rf"[\W_]*{_REMOVED}[\W_]*")


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
    cuts: tuple[_Cut, _Cut] = (_without_own_and_asides, _without_own)
    ways: list[tuple[_Cut, _Compared]] = list(itertools.product(cuts, (_exactly, _worded)))
    ways.sort(key=lambda way: way[1] is _worded)
    ways += [(cut, _numbered) for cut in cuts]
    ways.append((lambda path, said: _without(path, said, shared[str(said.kind)]), _numbered))
    tries = [_group(readings, *way) for way in ways]
    best = max(tries, key=_score)  # the first of equal ones
    left_out = {kind: tuple(sorted(texts)) for kind, texts in shared.items() if texts}
    found, problems = _singles(_shortened(_spelled(best)))
    return found, problems, left_out if best is tries[-1] else {}


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
                reason = f"several files of {kind} for one key, none is taken{_remedy(paths)}"
                problems.append(Problem("duplicate", f"{key} ({names})", reason))
    return found, problems


def _remedy(paths: Sequence[PurePath]) -> str:
    """Previews beside the maps are told apart by a layout."""
    suffixes = sorted({path.suffix for path in paths})
    if len(suffixes) < 2:
        return ""
    return f" (a --layout file whose patterns end in {' or '.join(suffixes)} chooses)"


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
    """A path's components without some words; signs around them become one, or none at an end."""
    left = [list(text) for text in components(path)]
    for word in gone:
        for at in range(word.start, word.stop):
            left[word.component][at] = _REMOVED
    kept = ("".join(letters) for letters in left)
    return "/".join(text for one in kept if (text := _GAP.sub(_joint, one)))


def _joint(gap: re.Match[str]) -> str:
    """What stands where words were: the first sign beside them."""
    if gap.start() == 0 or gap.end() == len(gap.string):
        return ""
    return next((sign for sign in gap.group() if sign != _REMOVED), "_")


def _exactly(spelling: str) -> str:
    return spelling


def _worded(spelling: str) -> str:
    """Any signs between words are the same."""
    names = ("".join(c if c.isalnum() else " " for c in name) for name in spelling.split("/"))
    return "/".join("_".join(name.split()) for name in names)


def _numbered(spelling: str) -> str:
    """Also without padding of numbers, in lower case."""
    names = ("_".join(_unpadded(name)) for name in _worded(spelling).split("/"))
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


@dataclass(frozen=True)
class _Grouped:
    """Files by kind and compared key, and how each key is written."""

    files: _Groups
    spellings: Mapping[str, Counter[str]]


def _group(readings: Mapping[PurePath, Reading], cut: _Cut, compared: _Compared) -> _Grouped:
    files: dict[str, dict[str, list[PurePath]]] = defaultdict(lambda: defaultdict(list))
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for path, said in readings.items():
        spelling = cut(path, said)
        files[str(said.kind)][compared(spelling)].append(path)
        spellings[compared(spelling)][spelling] += 1
    return _Grouped(files, spellings)


def _spelled(grouped: _Grouped) -> _Groups:
    """Files by keys as they are written; of several ways the longest, 0001 rather than 1."""
    names = {
        key: max(counts, key=lambda spelling: (len(spelling), counts[spelling], spelling))
        for key, counts in grouped.spellings.items()
    }
    return {
        kind: {names[key]: paths for key, paths in keys.items()}
        for kind, keys in grouped.files.items()
    }


def _score(grouped: _Grouped) -> int:
    """Files that share a key with all other kinds, less those that share one with their own."""
    files = grouped.files
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
