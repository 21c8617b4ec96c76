"""What the files of a source mean: what is said of them, else a sure guess, else the default."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from realface.data.discovery.axes import RIGHT
from realface.data.discovery.evidence import LIKELY, SURE, Guess
from realface.data.discovery.guesses import contradictions, guess
from realface.data.discovery.layouts import Entry
from realface.data.discovery.samples import Samples
from realface.data.packing.captures import PROPERTIES, Capture, SourceMap
from realface.errors import InputError
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.record import SIGNED_RANGE, UNIT_RANGE, Range

log = logging.getLogger(__name__)

Said = Mapping[str | None, Entry]
_RANGES: Mapping[str, Range] = {"unit": UNIT_RANGE, "signed": SIGNED_RANGE}


def settle(
    captures: Sequence[Capture], said: Said, samples: Samples
) -> tuple[list[Capture], tuple[str, ...]]:
    """Captures with what their files mean, and lines that tell people.

    What a flag says counts first, then ``subject.json``, a layout file or the names; where they
    say nothing, a guess from the pixels that is sure; else the kind's default. A sure guess that
    contradicts what somebody said is a warning, and so is a likely one of something that realface
    has no word for: swapped channels, flipped axes, 16 bits that hold 8.

    Args:
        captures: At least one.
        said: What flags say: of a kind, or under None of all kinds that have the property.
        samples: Pixels of some of the captures, for guesses.

    Raises:
        InputError: If a flag is for a kind that the source has not, or undeclared normals look
            as if they were in tangent space.
    """
    captures = _with_flags(captures, said)
    items = [item for capture in captures for item in capture.maps]
    guesses = guess({kind: samples[kind] for kind in captures[0].kinds if kind in samples})
    warnings = [_odd_line(one) for one in guesses if _is_odd(one) and one.confidence >= LIKELY]
    for line in (*contradictions(guesses, _declared(items)), *warnings):
        log.warning("%s", line)
    fresh = [one for one in guesses if one.confidence >= LIKELY]
    fresh = [one for one in fresh if any(_is_open(one, item) for item in items)]
    used = [one for one in fresh if one.confidence >= SURE]
    _refuse_tangent(used)
    _refuse_swapped(guesses)
    settled = [_mapped(capture, partial(_guessed, used)) for capture in captures]
    lines: list[str] = []
    for item in settled[0].maps:
        for one in fresh:
            if one not in used and _differs(one, item):
                log.warning("%s", _doubt_line(one, item))
        lines.append(_line(item, used))
        lines += [f"  guess: {one}" for one in fresh if one.kind == item.kind]
    return settled, tuple(lines)


def _with_flags(captures: Sequence[Capture], said: Said) -> list[Capture]:
    _check_flags(said, captures[0].kinds)
    told: set[tuple[str, str, str]] = set()

    def change(item: SourceMap) -> SourceMap:
        given = _given(said, item.kind)
        for name, value in given.items():
            if name in item.declared and (was := getattr(item.record, name)) != value:
                told.add((item.kind, was, value))
        declared = tuple(name for name in PROPERTIES if name in item.declared or name in given)
        return replace(item, record=replace(item.record, **given), declared=declared)

    changed = [_mapped(capture, change) for capture in captures]
    for kind, was, value in sorted(told):
        log.warning("%s: the source says %s, the flag says %s, which counts", kind, was, value)
    return changed


def _check_flags(said: Said, kinds: Sequence[str]) -> None:
    for kind, entry in said.items():
        if kind is None:
            continue
        if kind not in kinds:
            raise InputError(f"a flag for {kind}", f"one of {', '.join(kinds)}", "correct the flag")
        of_kind = {name: getattr(entry, name) for name in PROPERTIES}
        wrong = [name for name, value in of_kind.items() if value and name not in _own(kind)]
        if wrong:
            raise InputError(
                f"a flag for {' and '.join(wrong)} of {kind}",
                "encoding of colours, space and green of normals",
                "correct the flag",
            )


def _own(kind: str) -> tuple[str, ...]:
    """Properties that a kind's files can differ in."""
    if KINDS[kind].encoding == "unit_vector":
        return ("space", "green")
    return () if KINDS[kind].is_vector else ("encoding",)


def _given(said: Said, kind: str) -> dict[str, Any]:
    """What flags say of a kind: of itself, else of all normals or of all reflectance."""
    of_all = _own(kind) if KINDS[kind].is_vector or kind in REFLECTANCE else ()
    given = {name: getattr(said.get(None), name, None) for name in of_all}
    given |= {name: value for name in PROPERTIES if (value := getattr(said.get(kind), name, None))}
    return {name: value for name, value in given.items() if value}


def _mapped(capture: Capture, change: Callable[[SourceMap], SourceMap]) -> Capture:
    return replace(capture, maps=tuple(change(item) for item in capture.maps))


def _declared(items: Sequence[SourceMap]) -> dict[str, Entry]:
    """By kind, what the first file that says anything of itself says."""
    declared: dict[str, Entry] = {}
    for item in items:
        if item.declared and item.kind not in declared:
            said = {name: getattr(item.record, name) for name in item.declared}
            declared[item.kind] = Entry(**said)
    return declared


def _is_open(one: Guess, item: SourceMap) -> bool:
    """Whether a guess is of something that nobody has said of a file."""
    if one.kind != item.kind:
        return False
    if one.subject == "range":  # of the two that are usual, the other one; others are measured
        other = one.value in _RANGES and item.record.range in _RANGES.values()
        other = other and _RANGES[one.value] != item.record.range
        return other and "encoding" not in item.declared
    return one.subject in PROPERTIES and one.subject not in item.declared


def _is_odd(one: Guess) -> bool:
    """Whether a guess is of something that realface has no word for, and that nobody wants."""
    made_deep = one.subject == "depth" and one.kind != "mask"  # a mask has two values
    other_axes = one.subject == "axes" and one.value != RIGHT
    return made_deep or other_axes or one.value in ("bgr", "none")


def _odd_line(one: Guess) -> str:
    """With what to do, where that is not plain."""
    remedy = f"; write it as {RIGHT}, x to the right, y up, z to the viewer, or leave it out"
    return str(one) + (remedy if one.subject == "axes" else "")


def _guessed(used: Sequence[Guess], item: SourceMap) -> SourceMap:
    """A file with the guesses that are of something that it does not say."""
    record = item.record
    for one in used:
        if _is_open(one, item):
            value: Any = _RANGES[one.value] if one.subject == "range" else one.value
            change: dict[str, Any] = {one.subject: value}
            record = replace(record, **change)
    return replace(item, record=record)


def _refuse_tangent(used: Sequence[Guess]) -> None:
    for one in used:
        if one.subject == "space" and one.value != "object":
            raise InputError(
                f"{one.kind} that nobody has declared, and that look as if they were in "
                f"{one.value} space: {one.evidence}",
                "object-space normals: a patch alone has no frame to convert them by",
                f"convert whole maps with `realface add SUBJECT {one.kind} FILE --space "
                f"{one.value} --mesh MESH`; give --space {one.kind}=object if they are; or leave "
                f"{one.kind} out with a --layout file",
            )


def _refuse_swapped(guesses: Sequence[Guess]) -> None:
    for one in guesses:
        if one.confidence < SURE:
            continue
        if one.subject == "axes" and one.value != RIGHT and one.kind != "shape":
            raise InputError(
                f"{one.kind} whose channels seem to be {one.value}: {one.evidence}",
                f"{RIGHT} in red, green and blue, as the other normals have it",
                "write these files again, or leave the kind out with a --layout file",
            )
        if one.value == "bgr":
            raise InputError(
                f"{one.kind} whose red and blue are swapped: {one.evidence}",
                "skin in red, green and blue",
                "write the files again as RGB (OpenCV writes what it calls BGR as RGB)",
            )


def _differs(one: Guess, item: SourceMap) -> bool:
    """Whether a guess that is not sure enough to be used is of something else than the default."""
    if one.subject == "range" or not _is_open(one, item):
        return False
    return one.value != getattr(item.record, one.subject)


def _doubt_line(one: Guess, item: SourceMap) -> str:
    taken = getattr(item.record, one.subject)
    return (
        f"{one.kind} is taken as {taken} by default, but looks {one.value} ({one.word}, "
        f"{one.confidence:.2f}): say which with --{one.subject} {one.kind}={taken}|{one.value}"
    )


def _line(item: SourceMap, used: Sequence[Guess]) -> str:
    """What a kind is taken as, and which part of it nobody has said."""
    kind = item.kind
    guessed = [one.subject for one in used if one.kind == kind and one.subject in PROPERTIES]
    mine = [name for name in PROPERTIES if getattr(item.record, name) is not None]
    if item.record.encoding not in ("srgb", "linear"):
        mine.remove("encoding")
    default = [name for name in mine if name not in item.declared and name not in guessed]
    whence = [
        f"{', '.join(names)} {how}"
        for names, how in ((guessed, "guessed"), (default, "by default"))
        if names
    ]
    return f"{kind}: taken as {item.record.meaning}" + (f" ({'; '.join(whence)})" if whence else "")
