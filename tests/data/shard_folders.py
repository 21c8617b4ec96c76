"""Folders of shards made by hand, so that one thing at a time can be wrong in them."""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from realface.data.index import (
    INDEX_NAME,
    TABLE_NAME,
    Entry,
    Index,
    Member,
    Terms,
    index_text,
    parse_index,
    parse_table,
    table_hash,
    table_text,
)
from realface.data.packing.tar import TarWriter
from realface.data.samples import Patch, write_patch
from tests.faces import face_maps

SIZE = 24
Contents = list[tuple[tarfile.TarInfo, bytes]]


def patch(subject: str, y: int | None = 0, x: int | None = 0, size: int = SIZE) -> Patch:
    """A patch of a face that its subject and place alone decide."""
    maps = face_maps(size, size, phase=float(zlib.crc32(f"{subject} {y} {x}".encode()) % 7))
    return Patch(
        key=f"{subject}-y{y or 0:05d}-x{x or 0:05d}",
        subject=subject,
        y=y,
        x=x,
        map_size=(96, 96),
        millimetres_per_texel=0.1,
        centre=(0.0, 0.0, 0.0),
        bits=dict.fromkeys(maps, 16),
        maps=maps,
    )


def four_faces() -> dict[str, list[Patch]]:
    """Shards of three faces to train on and one to validate with, by file."""
    places = ((0, 0), (0, 24), (24, 24))
    train = [patch(f"face-{number}", *place) for number in range(3) for place in places]
    return {
        "train-000000.tar": train[:5],
        "train-000001.tar": train[5:],
        "val-000000.tar": [patch("face-3", *place) for place in places],
        "whole-train-000000.tar": [patch(f"face-{number}", size=12) for number in range(3)],
        "whole-val-000000.tar": [patch("face-3", size=12)],
    }


def write_folder(
    folder: Path, shards: Mapping[str, Sequence[Patch]], codec: str = "png",
    terms: Iterable[Terms] = (),
) -> Path:  # fmt: skip
    """A folder of shards, all of it well."""
    folder.mkdir(parents=True)
    entries: list[Entry] = []
    described = []
    maps: dict = {}
    for file, patches in shards.items():
        with (folder / file).open("wb") as out:
            writer = TarWriter(out, file)
            for one in patches:
                members = write_patch(one, codec)
                writer.write(one.key, one.subject, members)
                for kind, record in json.loads(members["json"])["maps"].items():
                    maps[kind] = {name: record[name] for name in ("encoding", "space", "green")}
                    maps[kind]["bits"] = [record["bits"]]
            described.append(writer.finish(file.rpartition("-")[0]))
        entries += writer.entries
    index = Index(
        kinds=tuple(maps), codec=codec, maps=maps, statistics={}, millimetres_per_texel=0.1,
        terms=tuple(terms), shards=tuple(described), table_sha256="",
    )  # fmt: skip
    write_listing(folder, index, entries)
    return folder


def write_listing(folder: Path, index: Index, entries: Sequence[Entry]) -> None:
    """Index and table of a folder."""
    table = table_text(entries)
    (folder / TABLE_NAME).write_text(table)
    (folder / INDEX_NAME).write_text(index_text(replace(index, table_sha256=table_hash(table))))


def read_listing(folder: Path) -> tuple[Index, list[Entry]]:
    index = parse_index((folder / INDEX_NAME).read_text(), "index")
    return index, parse_table((folder / TABLE_NAME).read_text(), "table", index)


def read_tar(path: Path) -> Contents:
    with tarfile.open(path) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]


def named(name: str, data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    """A member for a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def rewrite(folder: Path, file: str, contents: Contents, table: bool = False) -> None:
    """Other contents for a shard, which the index then calls right, and the table, if asked."""
    with tarfile.open(folder / file, "w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in contents:
            tar.addfile(info, io.BytesIO(data))
    index, entries = read_listing(folder)
    if table:
        entries = [entry for entry in entries if entry.shard != file] + _entries(folder / file)
    data = (folder / file).read_bytes()
    count = sum(entry.shard == file for entry in entries)
    digest = hashlib.sha256(data).hexdigest()
    shards = tuple(
        replace(shard, bytes=len(data), sha256=digest, samples=count)
        if shard.file == file
        else shard
        for shard in index.shards
    )
    write_listing(folder, replace(index, shards=shards), entries)


def _entries(path: Path) -> list[Entry]:
    """A table of what lies in a tar, in the order of its keys; subjects are those of the keys."""
    found: dict[str, list[Member]] = {}
    with tarfile.open(path) as tar:
        for info in tar:
            key, _, name = info.name.partition(".")
            data = tar.extractfile(info).read()
            found.setdefault(key, []).append(
                Member(name, info.offset_data, info.size, zlib.crc32(data))
            )
    return [
        Entry(path.name, key, key.partition("-y")[0], tuple(members))
        for key, members in found.items()
    ]
