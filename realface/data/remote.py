"""Clients of web servers and object stores, through fsspec: patient, and safe in worker processes.

What may pass (a lost connection, a busy server) is tried again; what will not (a missing file, a
refusal) is said at once. Every message names the location, without the password that its URL may
hold.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from realface.errors import FailureError, InputError, RealfaceError

log = logging.getLogger(__name__)

TRIES = 5
FIRST_WAIT = 1.0  # s before the second try, doubled before each further one: 15 s in all
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0  # without a single byte

REMEDIES = {
    "http": "pip install aiohttp",
    "https": "pip install aiohttp",
    "s3": "pip install 'realface[cloud]'",
    "gs": "pip install 'realface[cloud]'",
    "memory": "pip install fsspec",
}
"""The schemes that are read, each with how to get the package that it needs."""

_SECRET = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"\?\S*")
_PASSING = (408, 425, 429)  # HTTP statuses below 500 that ask for another try
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, ValueError, TypeError)

_T = TypeVar("_T")


def redacted(text: str) -> str:
    """For messages: without the users, passwords and queries of URLs."""
    return _QUERY.sub("?...", _SECRET.sub("", text)) if "://" in text else text


def patiently(
    location: str, attempt: Callable[[Any], _T], stop: Callable[[Exception], None] | None = None
) -> _T:
    """What an attempt gives, tried again while that may help.

    Args:
        location: A URL, of a scheme in `REMEDIES` or ``file``.
        attempt: Called with the location's file system (`fsspec.AbstractFileSystem`).
        stop: Called with each error; may raise what the caller makes of it.

    Raises:
        InputError: If the location cannot be read.
        FailureError: If every try failed.
    """
    wait = FIRST_WAIT
    for left in range(TRIES - 1, -1, -1):
        try:
            return attempt(_client(location.partition("://")[0], os.getpid()))
        except RealfaceError:
            raise
        except Exception as caught:  # each store raises types of its own
            error = _cause(caught)
        # From here on no exception may chain: its text may hold the password.
        if stop is not None:
            stop(error)
        if not _may_pass(error):
            raise _refused(location, error)
        if left:
            log.warning("%s: %s; trying again in %g s", redacted(location), _words(error), wait)
            time.sleep(wait)
            wait *= 2
    raise FailureError(
        f"{redacted(location)}, asked for {TRIES} times: {_words(error)}",
        "a server that answers",
        "check the network and the server, then run the same command again",
    )


@cache
def _client(scheme: str, process: int) -> Any:
    """A client of this process's own.

    A process forked from one that has a client must not touch it, not even to close it: the
    event loop's epoll and the sockets are shared with the parent, whose next request then hangs.
    fsspec's own cache drops the parent's clients, which closes them; this one keeps them, unused.
    """
    import fsspec

    options: dict[str, Any] = {}
    try:
        if scheme.startswith("http"):
            options["client_kwargs"] = _http_options()
        return fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError as error:
        raise InputError(
            f"{scheme}:// locations without the package that reads them ({error})",
            "the package installed",
            REMEDIES[scheme],
        ) from error


def _http_options() -> dict[str, Any]:
    """What every session of the HTTP client is made with."""
    import aiohttp

    return {
        "timeout": aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
        ),
        "trust_env": True,  # proxies, and passwords from ~/.netrc
        "headers": {"Accept-Encoding": "identity"},  # spans count the bytes as they are stored
        "raise_for_status": _check_answer,
    }


class _RangeIgnoredError(ValueError):
    """A whole file came where a part of it was asked for."""


async def _check_answer(response: Any) -> None:
    """Refuse an answer by its head: fsspec would read the body first, a whole shard at worst."""
    asked = response.request_info.headers.get("Range")
    if asked is not None and response.status in (200, 206) and not _is_part(response, asked):
        response.close()
        raise _RangeIgnoredError
    if response.status in (404, 410):
        raise FileNotFoundError(response.reason)
    response.raise_for_status()


def _is_part(response: Any, asked: str) -> bool:
    """Whether an answer is the part that was asked for, of the bytes as they are stored."""
    encoding = response.headers.get("Content-Encoding", "identity")
    first = asked.removeprefix("bytes=").partition("-")[0]
    span = response.headers.get("Content-Range", f"bytes {first}-")
    return response.status == 206 and encoding == "identity" and span.startswith(f"bytes {first}-")


def _cause(error: Exception) -> Exception:
    """The HTTP client calls every failure to learn a size a missing file."""
    import aiohttp

    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, (OSError, aiohttp.ClientError)):
        return cause
    return error


def _status(error: Exception) -> int | None:
    """Of an HTTP answer (`aiohttp.ClientResponseError`)."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) and status else None


def _may_pass(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status >= 500 or status in _PASSING
    return not isinstance(error, _LASTING)


def _words(error: Exception) -> str:
    status = _status(error)
    if status is not None:
        return f"the server says {status} {getattr(error, 'message', '')}".strip()
    return redacted(f"{type(error).__name__} {error}".strip())


def _refused(location: str, error: Exception) -> InputError:
    if isinstance(error, _RangeIgnoredError):
        return no_ranges(location)
    return too_short(location) if _status(error) == 416 else unreadable(location, error)


def unreadable(location: str, error: Exception) -> InputError:
    """For a file, here or elsewhere, that cannot be opened."""
    missing = isinstance(error, FileNotFoundError)
    return InputError(
        f"{redacted(location)}, which "
        + ("is not there" if missing else f"cannot be read ({_words(error)})"),
        "a file that you may read",
        "check the location and your rights to it; if it is lost, copy or pack the shards again",
    )


def too_short(location: str) -> InputError:
    """For a shard that ends before its index says so."""
    return InputError(
        f"{redacted(location)}, which is cut short",
        "the length that its index.json says",
        "run `realface verify` on the folder, then copy or pack it again",
    )


def no_ranges(location: str) -> InputError:
    """For a server that training cannot read from sample by sample."""
    return InputError(
        f"{redacted(location)}, on a server that does not send the parts of files it is asked for",
        "a server that answers Range requests, as nginx, Apache and object stores do",
        "fetch the shards once with --data.cache DIR, or serve them by one of these",
    )
