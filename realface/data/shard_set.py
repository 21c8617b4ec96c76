"""Shards as one set of samples, from one folder or several, on a disk or behind a URL."""

import logging
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from realface.data import storage
from realface.data.index import (
    INDEX_NAME,
    TABLE_NAME,
    Entry,
    Index,
    Shard,
    Terms,
    parse_index,
    parse_table,
)
from realface.data.remote import redacted
from realface.data.samples import ABOUT
from realface.errors import InputError
from realface.maps.kinds import KINDS

log = logging.getLogger(__name__)

_AT_ONCE = 16  # shards that are asked for at the same time


@dataclass(frozen=True, slots=True)
class Located:
    """A sample, and the folder that its shard lies in."""

    folder: str
    entry: Entry

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of its maps."""
        return tuple(m.name.partition(".")[0] for m in self.entry.members if m.name != ABOUT)

    def only(self, kinds: Collection[str]) -> "Located":
        """The same sample with no other maps than these."""
        wanted = (m for m in self.entry.members if m.name.partition(".")[0] in (ABOUT, *kinds))
        return Located(self.folder, replace(self.entry, members=tuple(wanted)))

    @property
    def where(self) -> str:
        """For messages: which sample of which shard."""
        return f"sample {self.entry.key} of {redacted(self.shard)}"

    @property
    def shard(self) -> str:
        """Location of the tar."""
        return storage.join(self.folder, self.entry.shard)

    def read(self) -> dict[str, bytes]:
        """Its members by name.

        Raises:
            InputError: If the bytes are not those that were packed.
            FailureError: If a server does not answer.
        """
        members = self.entry.members
        found = storage.read_spans(self.shard, [(one.offset, one.size) for one in members])
        for member, data in zip(members, found, strict=True):
            if zlib.crc32(data) != member.crc32:
                raise InputError(
                    f"{self.where}: the bytes of {member.name} are not those that were packed",
                    f"CRC-32 {member.crc32:08x}",
                    "run `realface verify` on the shards, then copy or pack them again",
                )
        return {member.name: data for member, data in zip(members, found, strict=True)}


@dataclass(frozen=True)
class ShardSet:
    """What one or several folders of shards hold together.

    Attributes:
        kinds: Of map, in every sample of every folder; but ``mask``, if any sample has one.
        millimetres_per_texel: Median over the folders; None where one does not know it.
        terms: Each on which some of the data is held.
        splits: Samples by split.
    """

    kinds: tuple[str, ...]
    millimetres_per_texel: float | None
    terms: tuple[Terms, ...]
    splits: Mapping[str, Sequence[Located]]

    def samples(self, split: str) -> Sequence[Located]:
        """The samples of a split, in the order in which they were packed.

        Raises:
            InputError: If there are none.
        """
        if not self.splits.get(split):
            raise InputError(
                f"shards without {split} samples",
                f"at least one {split} shard",
                "name the folder of the shards, not some of its tars; or pack again",
            )
        return self.splits[split]


def open_shards(locations: Sequence[str]) -> ShardSet:
    """Read the indices of folders of shards, and see that their shards are there.

    Args:
        locations: Folders or URLs of folders, or shards in them; brace patterns are expanded:
            ``s3://bucket/faces-{a,b}``, ``/data/faces/train-{000000..000007}.tar``.

    Raises:
        InputError: If an index is missing or damaged, a shard is missing or too short, or a
            location cannot be one.
        FailureError: If a server does not answer.
    """
    folders = _folders(locations)
    indices: list[Index] = []
    splits: dict[str, list[Located]] = {}
    for folder, chosen in folders.items():
        index = read_index(folder)
        _check_shards(folder, index, chosen)
        split_of = {shard.file: shard.split for shard in index.shards}
        for entry in read_table(folder, index):
            if not chosen or entry.shard in chosen:
                splits.setdefault(split_of[entry.shard], []).append(Located(folder, entry))
        indices.append(index)
    scales = [index.millimetres_per_texel for index in indices]
    known = [scale for scale in scales if scale is not None]
    _tell_of_shared_subjects(splits)
    shared = set(indices[0].kinds).intersection(*(index.kinds for index in indices))
    # What has no mask is valid everywhere; nothing else has such a meaning when it is missing.
    shared |= {"mask"}.intersection(*({*index.kinds} for index in indices if "mask" in index.kinds))
    if unshared := sorted(set().union(*(index.kinds for index in indices)) - shared):
        log.warning("%s left out: not every folder has it", ", ".join(unshared))
    return ShardSet(
        kinds=tuple(kind for kind in KINDS if kind in shared),
        millimetres_per_texel=median(known) if len(known) == len(scales) else None,
        terms=tuple(dict.fromkeys(one for index in indices for one in index.terms)),
        splits=splits,
    )


def _folders(locations: Sequence[str]) -> dict[str, set[str]]:
    """Folders, and the shards of each that are chosen; none: all."""
    whole: dict[str, bool] = {}
    folders: dict[str, set[str]] = {}
    for location in storage.expand(locations):
        folder, shard = split_location(location)
        folder = folder.rstrip("/") if storage.is_remote(folder) else os.path.abspath(folder)
        whole[folder] = whole.get(folder, False) or shard is None
        folders.setdefault(folder, set()).update({shard} if shard else ())
    if not folders:
        raise InputError("no shards", "at least one folder of shards", "give --data.shards FOLDER")
    return {folder: set() if whole[folder] else chosen for folder, chosen in folders.items()}


def _tell_of_shared_subjects(splits: Mapping[str, Sequence[Located]]) -> None:
    """A subject that one folder trains on and another validates with."""
    where = {
        split: {(one.entry.subject, one.folder) for one in splits.get(split, ())}
        for split in ("train", "val")
    }
    trained: dict[str | None, set[str]] = {}
    for subject, folder in where["train"]:
        trained.setdefault(subject, set()).add(folder)
    shared = sorted(
        {name for name, folder in where["val"] if name and trained.get(name, set()) - {folder}}
    )
    if shared:
        log.warning(
            "%d subjects of one folder's validation are in another's training: %s; unless they are "
            "other people of the same name, pack the folders together",
            len(shared), ", ".join(shared[:5]),
        )  # fmt: skip


def count_samples(locations: Sequence[str], split: str) -> int:
    """How many samples of a split there are, by the indices alone.

    Raises:
        InputError: If an index is missing or damaged.
    """
    return sum(
        shard.samples
        for folder, chosen in _folders(locations).items()
        for shard in read_index(folder).shards
        if shard.split == split and (not chosen or shard.file in chosen)
    )


def read_index(folder: str) -> Index:
    """The ``index.json`` of a folder or URL.

    Raises:
        InputError: If it is missing or damaged.
    """
    where = storage.join(folder, INDEX_NAME)
    if not storage.is_remote(folder) and not os.path.isfile(where):
        is_shard = folder.endswith(".tar")
        raise InputError(
            f"{folder}" + (f" without {INDEX_NAME}" if os.path.isdir(folder) else ", no folder"),
            "a folder of shards",
            "name the shard's folder"
            if is_shard
            else "check the path, or make shards with `realface pack SOURCE SHARDS`",
        )
    return parse_index(_text(where), redacted(where))


def read_table(folder: str, index: Index) -> list[Entry]:
    """The samples that an index counts, in its order.

    Raises:
        InputError: If the table is missing or damaged.
    """
    where = storage.join(folder, TABLE_NAME)
    return parse_table(_text(where), redacted(where), index)


def _text(where: str) -> str:
    try:
        return storage.read_file(where).decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{redacted(where)}, which is no text", "a folder of shards", "copy the folder again"
        ) from error


def split_location(location: str) -> tuple[str, str | None]:
    """A folder, and the shard in it that is meant, if only one is."""
    if not location.endswith(".tar") or os.path.isdir(location):
        return location, None
    folder, _, name = location.replace("\\", "/").rpartition("/")
    return folder or ".", name


def _check_shards(folder: str, index: Index, chosen: Collection[str]) -> None:
    """See that every shard is there as far as its last byte, and that its server gives parts."""
    names = {shard.file for shard in index.shards}
    if unknown := sorted(set(chosen) - names):
        raise InputError(
            f"{redacted(storage.join(folder, unknown[0]))}, which its index.json does not name",
            f"shards of this folder: {', '.join(sorted(names)[:3])}, ...",
            "name the folder instead",
        )
    wanted = [shard for shard in index.shards if not chosen or shard.file in chosen]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(partial(_check_shard, folder), wanted))


def _check_shard(folder: str, shard: Shard) -> None:
    storage.read_spans(storage.join(folder, shard.file), [(shard.bytes - 1, 1)])
