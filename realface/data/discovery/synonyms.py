"""What a file's path says of its map: the kind, and words on space, green and encoding.

A path is read from its file name outwards, folder by folder. One word says which part of the
light or surface is meant (diffuse, specular, shape), another which quantity (albedo, normals,
...); both are known by the names and abbreviations that people give them. What is not clear is
said, never chosen.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

from realface.maps.kinds import KINDS

_PARTS = {
    "diffuse": "diffuse diff dif",
    "specular": "specular spec spc",
    "shape": "shape shapes shp geometry geom geo mesh vertex vertices vert",
    "base": "base",
}
_QUANTITIES = {
    "albedo": "albedo albedos alb albd",
    "colour": "colour colours color colors col",
    "normals": "normals normal nrm nrms norm norms nor nml",
    "position": "position positions pos xyz coordinates coords points",
    "mask": "mask masks alpha valid validity",
    "occlusion": "occlusion occl ao",
    "translucency": "translucency translucence subsurface scattering sss",
    "exponent": "exponent shininess",
    "lit": "lit baked captured",
    "": "roughness rough displacement disp height bump depth metallic metalness gloss glossiness "
    "cavity curvature render rendered shading light lighting landmarks",
}  # the last are quantities that realface has no kind for
_FALLBACKS = {"texture": "texture textures tex raw photo photos"}
_SPACES = {"object": "object world", "tangent": "tangent", "offset": "offset"}
_GREENS = {"gl": "gl opengl", "dx": "dx directx"}
_ENCODINGS = {"srgb": "srgb", "linear": "linear lin"}
_PREVIEWS = ("preview", "previews", "thumbnail", "thumbnails", "thumb", "thumbs")
_FILLERS = "map maps space ambient image images img uv"

_VOCABULARY: dict[str, tuple[str, str]] = {
    word: (category, value)
    for category, table in (
        ("part", _PARTS), ("quantity", _QUANTITIES), ("fallback", _FALLBACKS),
        ("space", _SPACES), ("green", _GREENS), ("encoding", _ENCODINGS),
        ("filler", {"": _FILLERS}), ("preview", {"": " ".join(_PREVIEWS)}),
    )
    for value, words in table.items()
    for word in words.split()
}  # fmt: skip
_INITIALS = {
    "da": ("diffuse", "albedo"), "dn": ("diffuse", "normals"),
    "sa": ("specular", "albedo"), "sn": ("specular", "normals"),
}  # fmt: skip
_LETTERS = {"d": "diffuse", "s": "specular"}

_KIND_OF: dict[tuple[str, str], str] = {
    ("diffuse", "albedo"): "diffuse_albedo",
    ("", "albedo"): "diffuse_albedo",
    ("base", "albedo"): "diffuse_albedo",
    ("diffuse", ""): "diffuse_albedo",
    ("diffuse", "colour"): "diffuse_albedo",
    ("base", "colour"): "diffuse_albedo",
    ("specular", "albedo"): "specular_albedo",
    ("specular", ""): "specular_albedo",
    ("specular", "colour"): "specular_albedo",
    ("diffuse", "normals"): "diffuse_normals",
    ("specular", "normals"): "specular_normals",
    ("shape", "normals"): "shape_normals",
    ("shape", ""): "shape",
    ("shape", "position"): "shape",
    ("", "position"): "shape",
    ("", "lit"): "texture",
    **{("", kind): kind for kind in ("mask", "occlusion", "translucency", "exponent")},
}
_ALONE = ("mask", "occlusion", "translucency", "exponent", "lit", "")  # need no part
_UNCLEAR = {
    ("", "normals"): "normals of what? diffuse, specular or shape",
    ("", "colour"): "colour of what? diffuse albedo or texture",
}

_RUN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]")


@dataclass(frozen=True)
class Word:
    """A word of a path: which component it stands in (0: the outermost), and where."""

    text: str
    component: int
    start: int
    stop: int


@dataclass(frozen=True)
class Reading:
    """What a path says.

    Attributes:
        kind: The kind's name; None if the path does not say, or not clearly.
        reason: Why there is no kind; empty if there is one.
        unclear: Whether words of a kind are there and leave more than one choice.
        own: Words that name this kind, or its part or quantity.
        asides: Fillers, and what is said of space, green or encoding.
        space: ``object``, ``tangent`` or ``offset``; None if not said, or it has no normals.
        green: ``gl`` or ``dx``; None if not said, or it has no normals.
        encoding: ``srgb`` or ``linear``; None if not said, or it is no colour.
    """

    kind: str | None
    reason: str = ""
    unclear: bool = False
    own: tuple[Word, ...] = ()
    asides: tuple[Word, ...] = ()
    space: str | None = None
    green: str | None = None
    encoding: str | None = None


def components(path: PurePath) -> list[str]:
    """Folders and name of a relative path, outermost first, without the suffix."""
    return [*path.parts[:-1], path.stem]


def words(component: str, number: int = 0) -> list[Word]:
    """Words of one component: split at signs, at camelCase and between letters and digits.

    Letters that are made of known words only are split into these: ``diffusealbedo``, ``OpenGL``.
    """
    found = []
    for run in _RUN.finditer(component):
        at = run.start()
        for text in _known_words(_lower(run.group())) or _pieces(run.group()):
            found.append(Word(text, number, at, at + len(text)))
            at += len(text)
    return found


def _lower(text: str) -> str:
    """As long as the text, which not every alphabet's lower case is."""
    return text.lower() if text.isascii() else text


def _pieces(run: str) -> list[str]:
    pieces = (_lower(piece) for piece in _CAMEL.findall(run))
    return [text for piece in pieces for text in _known_words(piece) or (piece,)]


@lru_cache(maxsize=4096)
def _known_words(text: str) -> tuple[str, ...]:
    """The known words that a text is made of, longest first; empty if it is not."""
    if text in _VOCABULARY:
        return (text,)
    for length in range(len(text) - 3, 2, -1):  # shorter words are in too many others
        rest = _known_words(text[length:]) if text[:length] in _VOCABULARY else ()
        if rest:
            return (text[:length], *rest)
    return ()


def read_path(path: PurePath) -> Reading:
    """What a relative path says of the map in the file."""
    all_words = [words(text, number) for number, text in enumerate(components(path))]
    preview = next((w.text for found in all_words for w in found if w.text in _PREVIEWS), None)
    if preview:
        return Reading(None, f"a {preview}, as its path says")
    part, quantity = "", None
    for inner in reversed(all_words):
        clash, own_part, own_quantity = _component(inner)
        if clash and not (part or quantity):
            return Reading(None, clash, unclear=True)
        part = part or own_part
        quantity = own_quantity if quantity is None else quantity
        if quantity in _ALONE or (part and quantity):
            break
    return _reading(all_words, part, quantity)


def _component(found: Sequence[Word]) -> tuple[str, str, str | None]:
    """(why it is unclear, part, quantity) of one component; a quantity of "" has no kind."""
    parts = _values(found, "part")
    quantities = _values(found, "quantity")
    clash = next((values for values in (parts, quantities) if len(values) > 1), None)
    if clash:
        return f"its name says {' and '.join(value or 'another' for value in clash)}", "", None
    quantity = quantities[0] if quantities else None
    part = parts[0] if parts else ""
    if not part and quantity in ("albedo", "normals", "colour"):
        part = next((_LETTERS[letter.text] for letter in _letters(found)), "")
    return "", part, quantity


def _values(found: Sequence[Word], category: str) -> list[str]:
    meanings = (_VOCABULARY.get(word.text, ("", "")) for word in found)
    return list(dict.fromkeys(value for name, value in meanings if name == category))


def _letters(found: Sequence[Word]) -> Iterator[Word]:
    """``d`` and ``s`` that stand for themselves beside albedo, colour or normals."""
    for at, word in enumerate(found):
        beside = [*found[max(at - 1, 0) : at], *found[at + 1 : at + 2]]
        numbered = any(other.text.isdigit() and other.start == word.stop for other in beside)
        near = any(_VOCABULARY.get(other.text, ("",))[0] == "quantity" for other in beside)
        if word.text in _LETTERS and near and not numbered:
            yield word


def _reading(all_words: Sequence[Sequence[Word]], part: str, quantity: str | None) -> Reading:
    flat = [word for found in all_words for word in found]
    foreign = quantity == ""
    if not part and quantity is None:
        part, quantity = _last_resort(flat)
    kind = None if foreign else _KIND_OF.get((part, quantity or ""))
    if quantity == "texture":
        kind = "texture"
    if kind is None:
        return _no_kind(flat, part, quantity)
    normals, vectors = KINDS[kind].encoding == "unit_vector", KINDS[kind].is_vector
    said = {
        "space": _values(flat, "space") if normals else [],
        "green": _values(flat, "green") if normals else [],
        "encoding": [] if vectors else _values(flat, "encoding"),
    }
    several = next((values for values in said.values() if len(values) > 1), None)
    if several:
        return Reading(None, f"its path says {' and '.join(several)}", unclear=True)
    categories = {"filler", *(name for name, values in said.items() if values)}
    return Reading(
        kind,
        own=tuple(word for word in flat if _names(word, kind)) + _own_letters(all_words, part),
        asides=tuple(w for w in flat if _VOCABULARY.get(w.text, ("",))[0] in categories),
        space=next(iter(said["space"]), None),
        green=next(iter(said["green"]), None),
        encoding=next(iter(said["encoding"]), None),
    )


def _last_resort(flat: Sequence[Word]) -> tuple[str, str | None]:
    """Of a path without a word of part or quantity: initials, then what any image is called."""
    for word in reversed(flat):
        if word.text in _INITIALS:
            return _INITIALS[word.text]
    fallback = _values(flat, "fallback")
    return "", fallback[0] if fallback else None


def _no_kind(flat: Sequence[Word], part: str, quantity: str | None) -> Reading:
    if quantity is None:
        if any(word.text in _LETTERS for word in flat):
            return Reading(None, "d and s alone may be many things", unclear=True)
        return Reading(None, "no word of a kind in its path")
    if quantity == "":
        other = next(w.text for w in reversed(flat) if w.text in _QUANTITIES[""].split())
        return Reading(None, f"no kind of realface is called {other}")
    reason = _UNCLEAR.get((part, quantity), f"its path says {part} and {quantity}")
    return Reading(None, reason, unclear=True)


def _names(word: Word, kind: str) -> bool:
    """Whether a word says this kind, or its part or quantity."""
    if word.text in _INITIALS:
        return _KIND_OF[_INITIALS[word.text]] == kind
    category, value = _VOCABULARY.get(word.text, ("", ""))
    if category == "fallback":
        return value == kind
    if category not in ("part", "quantity"):
        return False
    return any(value in pair for pair, named in _KIND_OF.items() if named == kind and value)


def _own_letters(all_words: Sequence[Sequence[Word]], part: str) -> tuple[Word, ...]:
    return tuple(
        word for found in all_words for word in _letters(found) if _LETTERS[word.text] == part
    )
