"""A web server on this machine that behaves as it is told, request by request."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_BLOCK = 64 * 1024


@dataclass
class Server:
    """What came in and went out.

    Attributes:
        url: Of the served folder.
        faults: What happens to the next requests, one each: ``stall`` (no answer until the end),
            ``drop`` (the connection is closed), ``truncate`` (half the body), ``damage`` (a
            flipped bit), or an HTTP status.
        then: What happens once they are used up, ``None``: nothing bad.
        requests: ``(method, path, Range header or None)``, in order.
        sent: Bytes of bodies that were handed to the network.
    """

    url: str
    faults: list[str | int]
    then: str | int | None
    ranges: bool
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    sent: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self) -> str | int | None:
        with self.lock:
            return self.faults.pop(0) if self.faults else self.then


@contextmanager
def serve(
    folder: Path, faults: Sequence[str | int] = (), then: str | int | None = None,
    ranges: bool = True,
) -> Iterator[Server]:  # fmt: skip
    """Serve a folder; without ``ranges``, whole files are sent whatever is asked for."""
    state = Server("", list(faults), then, ranges)
    handler = type("Handler", (_Handler,), {"folder": folder, "state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as a real server's do
    folder: Path
    state: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        state = self.state
        with state.lock:
            state.requests.append((self.command, self.path, self.headers.get("Range")))
        fault = state.next_fault()
        path = self.folder / self.path.lstrip("/")
        if fault == "stall":
            state.ended.wait(60)
        if fault in ("stall", "drop") or state.ended.is_set():  # connections outlive their server
            self.close_connection = True
            return
        if isinstance(fault, int) or not path.is_file():
            self._say(fault if isinstance(fault, int) else 404)
            return
        data = path.read_bytes()
        whole = len(data)
        wanted = self.headers.get("Range") if state.ranges else None
        if wanted is None:
            self.send_response(200)
        else:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if int(first) >= whole:
                self._say(416)
                return
            data = data[int(first) : int(last) + 1 if last else None]
            self.send_response(206)
            end = int(first) + len(data) - 1
            self.send_header("Content-Range", f"bytes {first}-{end}/{whole}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "truncate":
            data = data[: len(data) // 2]
            self.close_connection = True
        if fault == "damage":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if body:
            self._send(data)

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, data: bytes) -> None:
        try:
            for first in range(0, len(data), _BLOCK):
                self.wfile.write(data[first : first + _BLOCK])
                with self.state.lock:
                    self.state.sent += len(data[first : first + _BLOCK])
        except OSError:  # the client has gone
            self.close_connection = True


def wait_for(condition, seconds: float = 5.0) -> None:
    """Until something that happens in another thread has happened."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
