"""What a folder of shards says of itself: ``index.json`` and its table of samples.

Shards are plain WebDataset tars. The table says where in them every member lies and what its
CRC-32 is, so that a sample is read by its bytes alone, from a disk or over a network, in any order.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from sys import intern
from typing import Any

from realface.errors import InputError
from realface.maps.kinds import KINDS

INDEX_NAME = "index.json"
TABLE_NAME = "samples.jsonl"
VERSION = 2
SPLITS = ("train", "val", "whole-train", "whole-val")
"""Patches to train on and to validate with, and the whole faces that they are of, at 1/8 size."""

WARN_DAYS = 30  # before data must be destroyed


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar.

    Attributes:
        file: Its name.
        split: One of `SPLITS`.
        samples: How many it holds.
        bytes: Its size.
        sha256: Of all its bytes, in hexadecimal.
    """

    file: str
    split: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a tar.

    Attributes:
        name: ``<kind>.<suffix>`` or ``json``: what follows the key and its dot.
        offset: Of its first byte in the tar.
        size: In bytes.
        crc32: Of its bytes.
    """

    name: str
    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One sample of the table.

    Attributes:
        shard: File name of the tar.
        key: Unique in its split, no dots.
        subject: Whose face; None where the source does not say.
        members: In the order of their bytes.
    """

    shard: str
    key: str
    subject: str | None
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Terms:
    """On what terms some of the data is held.

    Attributes:
        source: Where it comes from.
        licence: On what terms.
        expires: ISO date after which it must be destroyed, or None.
    """

    source: str | None
    licence: str | None
    expires: str | None

    def __post_init__(self) -> None:
        if self.expires is not None:
            date.fromisoformat(self.expires)


@dataclass(frozen=True)
class Index:
    """The whole of ``index.json``.

    Attributes:
        kinds: Of map, in every sample.
        codec: Of the maps, a name of `realface.data.codecs.CODECS`.
        maps: By kind, what its stored values mean: ``encoding``, ``space``, ``green``, and the
            list of ``bits`` per channel that occur.
        statistics: By kind, ``mean``, ``std``, ``min`` and ``max`` per channel as in memory, over
            the valid texels of the training patches.
        millimetres_per_texel: Median over the patches; None where it is not known.
        terms: Each on which some of the data is held.
        shards: In the order of the table.
        table_sha256: Of ``samples.jsonl``.
    """

    kinds: tuple[str, ...]
    codec: str
    maps: Mapping[str, Mapping[str, Any]]
    statistics: Mapping[str, Mapping[str, Any]]
    millimetres_per_texel: float | None
    terms: tuple[Terms, ...]
    shards: tuple[Shard, ...]
    table_sha256: str

    @property
    def samples(self) -> dict[str, int]:
        """Samples by split, those that are there."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            counts[shard.split] = counts.get(shard.split, 0) + shard.samples
        return counts


def index_text(index: Index) -> str:
    """``index.json``."""
    about = {"version": VERSION, "samples": index.samples, **asdict(index)}
    return json.dumps(about, indent=2) + "\n"


def parse_index(text: str, where: str) -> Index:
    """An ``index.json``, validated.

    Raises:
        InputError: Naming ``where`` and what is wrong.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("version") != VERSION:
            found = data.get("version") if isinstance(data, dict) else data
            raise ValueError(f"version {found!r}, and this realface reads {VERSION}")
        index = Index(
            kinds=tuple(data["kinds"]),
            codec=str(data["codec"]),
            maps=data["maps"],
            statistics=data["statistics"],
            millimetres_per_texel=data["millimetres_per_texel"],
            terms=tuple(Terms(**one) for one in data["terms"]),
            shards=tuple(_shard(**one) for one in data["shards"]),
            table_sha256=str(data["table_sha256"]),
        )
        _check_index(index)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(where, error) from error
    return index


def _shard(file: str, split: str, samples: int, bytes: int, sha256: str) -> Shard:
    return Shard(str(file), str(split), int(samples), int(bytes), str(sha256))


def _check_index(index: Index) -> None:
    if unknown := set(index.kinds) - KINDS.keys():
        raise ValueError(f"kinds {', '.join(sorted(unknown))} are not known")
    for shard in index.shards:
        if shard.split not in SPLITS:
            raise ValueError(f"{shard.file}: split {shard.split!r} is none of {', '.join(SPLITS)}")
        _check_name(shard.file)
        if min(shard.samples, shard.bytes) < 1:
            raise ValueError(f"{shard.file} of {shard.samples} samples and {shard.bytes} bytes")
    names = [shard.file for shard in index.shards]
    if len(set(names)) < len(names):
        raise ValueError("a shard is named twice")


def _check_name(name: str) -> None:
    """A shard lies in the folder itself: an index must not lead a reader anywhere else."""
    if not name or any(letter in name for letter in "/\\:?#") or name.startswith("."):
        raise ValueError(f"shard {name!r} must be a plain name inside the folder")


def table_text(entries: Sequence[Entry]) -> str:
    """``samples.jsonl``: a line per sample."""
    return "".join(
        json.dumps(
            {
                "shard": entry.shard,
                "key": entry.key,
                "subject": entry.subject,
                "members": {m.name: [m.offset, m.size, m.crc32] for m in entry.members},
            }
        )
        + "\n"
        for entry in entries
    )


def parse_table(text: str, where: str, index: Index) -> list[Entry]:
    """The samples of a table, checked against the index.

    Raises:
        InputError: Naming ``where`` and what is wrong.
    """
    try:
        if table_hash(text) != index.table_sha256:
            raise ValueError("its SHA-256 is not the one in index.json")
        entries = [_entry(json.loads(line)) for line in text.splitlines()]
        _check_table(entries, index)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad(where, error) from error
    return entries


def table_hash(text: str) -> str:
    """SHA-256 of a table's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(data: Mapping[str, Any]) -> Entry:
    # Interned: a table of many samples has few names.
    members = tuple(Member(intern(name), *map(int, span)) for name, span in data["members"].items())
    subject = data["subject"]
    subject = None if subject is None else intern(str(subject))
    return Entry(intern(str(data["shard"])), str(data["key"]), subject, members)


def _check_table(entries: Sequence[Entry], index: Index) -> None:
    shards = {shard.file: shard for shard in index.shards}
    counts = dict.fromkeys(shards, 0)
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        shard = shards.get(entry.shard)
        if shard is None:
            raise ValueError(f"sample {entry.key}: shard {entry.shard} is not in index.json")
        if (shard.split, entry.key) in seen:
            raise ValueError(f"key {entry.key} occurs twice in {shard.split}")
        seen.add((shard.split, entry.key))
        counts[entry.shard] += 1
        for member in entry.members:
            if member.offset < 0 or member.size < 0 or member.offset + member.size > shard.bytes:
                raise ValueError(f"sample {entry.key}: {member.name} lies outside {entry.shard}")
    for name, shard in shards.items():
        if counts[name] != shard.samples:
            raise ValueError(f"{name}: {counts[name]} samples, index.json says {shard.samples}")


def expiry_warnings(terms: Sequence[Terms], today: date, where: str) -> list[str]:
    """A line for each source that must be destroyed within `WARN_DAYS` days, or should be gone."""
    lines = []
    for one in terms:
        if one.expires is None:
            continue
        left = (date.fromisoformat(one.expires) - today).days
        what = f"{where}: {one.source or 'its source'} must be destroyed by {one.expires}"
        if left < 0:
            lines.append(f"{what}, {_days(-left)} ago; delete these shards and what they came from")
        elif left <= WARN_DAYS:
            lines.append(f"{what}, in {_days(left)}")
    return lines


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _bad(where: str, error: Exception) -> InputError:
    what = f"{error} missing" if isinstance(error, KeyError) else str(error)
    return InputError(
        f"{where}: {what}",
        "a folder of shards as `realface pack` wrote it",
        "copy the folder again, or pack again",
    )
