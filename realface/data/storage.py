"""Bytes from folders, web servers and object stores: small files whole, shards by spans.

A location is a local path or a URL: ``http(s)://``, ``s3://``, ``gs://``, ``file://``, or fsspec's
``memory://``. Nothing that runs a program is one.
"""

import errno
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from realface.data.remote import REMEDIES, patiently, redacted, too_short, unreadable
from realface.errors import InputError
from realface.maps.files import disk_failure

GAP = 64 * 1024  # bytes between two spans that are cheaper to read than to ask for twice

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # a single letter is a Windows drive
_DISK = {errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


def expand(patterns: Sequence[str]) -> list[str]:
    """Locations from brace patterns: ``s3://bucket/faces-{a,b}``, ``/data/part-{00..07}``.

    A local path that exists is taken as it stands. ``file://`` URLs become paths.

    Raises:
        InputError: If the braces of a pattern do not match, a scheme is not one that is read, or
            a URL has a query.
    """
    return [checked(location) for pattern in patterns for location in _expand(pattern)]


def _expand(pattern: str) -> list[str]:
    from braceexpand import braceexpand

    if not is_remote(pattern) and os.path.exists(pattern):
        return [pattern]
    try:
        return list(braceexpand(pattern, escape=False))  # a backslash is Windows' slash
    except ValueError as error:
        raise InputError(
            f"{redacted(pattern)}, whose braces do not match",
            "a pattern like faces-{000..007} or faces-{a,b}",
            "close each brace, or name the locations one by one",
        ) from error


def checked(location: str) -> str:
    """The location, if it is one that is read; of a ``file://`` URL its path.

    Raises:
        InputError: If it is of another scheme, or has a query or a password.
    """
    scheme = _SCHEME.match(location)
    if scheme is None:
        return location
    location = scheme[0].lower() + location[scheme.end() :]
    scheme = _SCHEME.match(location)
    assert scheme is not None
    if location.startswith("file://"):
        return url2pathname(urlsplit(location).path)
    if scheme[1] not in REMEDIES or not is_remote(location):
        raise InputError(
            f"{redacted(location)}, whose scheme {scheme[0]!r} is not read",
            f"a local path, or a URL of {', '.join(REMEDIES)} or file",
            "copy the data to one of these; a path with a colon is written ./like:this",
        )
    if "@" in urlsplit(location).netloc:
        raise InputError(
            f"{redacted(location)}, with a name or password in it",
            "a URL without: it is kept in configs and logs",
            "put them into ~/.netrc, or into the environment as your store has it",
        )
    if scheme[1].startswith("http") and any(letter in location for letter in "?#"):
        raise InputError(
            f"{redacted(location)}, a URL with a query",
            "the URL of a folder, to which the names of files are added",
            "serve the folder without signed links, or use s3:// with your credentials",
        )
    return location


def join(folder: str, name: str) -> str:
    """Location of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)


def is_remote(location: str) -> bool:
    """Whether it is a URL of something other than this machine's disks."""
    return "://" in location and not location.startswith("file://")


def read_file(location: str) -> bytes:
    """A small file whole.

    Raises:
        InputError: If it is not there or may not be read.
        FailureError: If a server does not answer.
    """
    where = checked(location)
    if is_remote(where):
        return patiently(where, lambda files: files.cat_file(where))
    try:
        return Path(where).read_bytes()
    except OSError as error:
        raise unreadable(where, error) from error


def read_spans(location: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """Parts of a file, in the order asked for; over a network in as few requests as pay.

    Args:
        location: Of a file.
        spans: ``(offset, size)`` each [bytes].

    Raises:
        InputError: If the file is not there, is too short, or lies on a server that sends whole
            files only (nothing of it has been fetched then).
        FailureError: If a server does not answer.
    """
    if "://" in location:
        where = checked(location)
        return _remote_spans(where, spans) if is_remote(where) else _local_spans(where, spans)
    return _local_spans(location, spans)


def _local_spans(path: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    found = []
    try:
        with open(path, "rb") as file:
            for offset, size in spans:
                file.seek(offset)
                data = file.read(size)
                if len(data) != size:
                    raise too_short(path)
                found.append(data)
    except OSError as error:
        raise unreadable(path, error) from error
    return found


def _remote_spans(location: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    starts, ends = requests(spans)
    chunks = patiently(
        location,
        lambda files: files.cat_ranges([location] * len(starts), starts, ends, on_error="raise"),
    )
    for start, end, chunk in zip(starts, ends, chunks, strict=True):
        if len(chunk) != end - start:
            raise too_short(location)
    found = []
    for offset, size in spans:
        number = bisect_right(starts, offset) - 1
        first = offset - starts[number] if size else 0
        found.append(chunks[number][first : first + size] if size else b"")
    return found


def requests(spans: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Starts and ends of the ranges that cover ``(offset, size)`` spans at most `GAP` apart."""
    starts: list[int] = []
    ends: list[int] = []
    for offset, size in sorted(span for span in spans if span[1]):
        if ends and offset - ends[-1] <= GAP:
            ends[-1] = max(ends[-1], offset + size)
        else:
            starts.append(offset)
            ends.append(offset + size)
    return starts, ends


def download(location: str, to: Path, advance: Callable[[int], None] | None = None) -> None:
    """Copy a file to a local one, block by block.

    Args:
        location: What to copy.
        to: Written over. After an error it may hold a part.
        advance: Called with the bytes of this try so far, maybe from another thread.

    Raises:
        InputError: If there is no such file or it may not be read.
        FailureError: If a server does not answer, or the disk refuses.
    """
    import fsspec

    where = checked(location)
    hooks = {"bytes": lambda size, value, **_: advance(value)} if advance else {}

    def copy(files: Any) -> None:
        files.get_file(where, str(to), callback=fsspec.Callback(hooks=hooks))

    def raise_full(error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise disk_failure(to, error)

    patiently(where if is_remote(where) else f"file://{where}", copy, raise_full)
