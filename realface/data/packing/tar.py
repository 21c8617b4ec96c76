"""A shard while it is written: a plain WebDataset tar, of which every byte's place is known."""

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

from realface.data.index import Entry, Member, Shard
from realface.errors import InputError


class TarWriter:
    """Writes samples one after the other; hashes them on the way.

    Times, owners and modes are fixed, so the same samples give the same bytes; long names are
    written as GNU's tar does.

    Args:
        file: Open for writing, at its start.
        name: Of the shard, for the entries.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.entries: list[Entry] = []
        self._file, self._name = file, name
        self._digest = hashlib.sha256()
        self._at = 0

    def write(self, key: str, subject: str | None, members: Mapping[str, bytes]) -> None:
        """Append a sample.

        Args:
            key: Its members are ``<key>.<name>``.
            subject: For its entry.
            members: By name; a name may hold dots, but no capitals.

        Raises:
            InputError: If a reader of WebDataset would see another key or another name.
            OSError: If the disk refuses.
        """
        _check_names(key, members)
        written = tuple(self._member(key, name, data) for name, data in members.items())
        self.entries.append(Entry(self._name, key, subject, written))

    def _member(self, key: str, name: str, data: bytes) -> Member:
        info = tarfile.TarInfo(f"{key}.{name}")
        info.size, info.mode = len(data), 0o644
        self._append(info.tobuf(tarfile.GNU_FORMAT))
        offset = self._at
        self._append(data)
        self._append(bytes(-len(data) % tarfile.BLOCKSIZE))
        return Member(name, offset, len(data), zlib.crc32(data))

    def finish(self, split: str) -> Shard:
        """Write the end of the tar; what the index says of it."""
        self._append(bytes(2 * tarfile.BLOCKSIZE))
        self._append(bytes(-self._at % tarfile.RECORDSIZE))
        digest = self._digest.hexdigest()
        return Shard(self._name, split, len(self.entries), self._at, digest)

    def _append(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._at += len(data)


def _check_names(key: str, members: Mapping[str, bytes]) -> None:
    """A key ends at the first dot of a name, and WebDataset makes capitals small behind it."""
    spoilt = [name for name in members if name != name.lower() or not name]
    if not key or any(letter in key for letter in "./\\") or not key.isprintable():
        raise InputError(
            f"a sample named {key!r}", "letters, digits, - and _", "rename it: dots end a key"
        )
    if spoilt:
        raise InputError(
            f"sample {key} with {spoilt[0]!r}", "names in small letters", "rename this map"
        )
