"""Map -> file: sinks that take a map window by window and leave a whole file or none."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
from torch import Tensor

from realface.errors import FailureError, InputError
from realface.maps.files import Array, disk_failure, partial_path, whole_file, write_image
from realface.maps.io import check_window, encode
from realface.maps.kinds import KINDS, MapKind
from realface.maps.record import MapRecord

Compression = Literal["zlib", "zstd", "none"]
_TILE = 256  # px; every reader of tiled TIFF takes it


class MapWriter(Protocol):
    """A sink: takes the windows of one map in any order that fills it once."""

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take a finished window ``(C, h, w)``."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_writer(
    path: Path, kind: str, record: MapRecord, compression: Compression = "zlib"
) -> "MapWriter":
    """A writer for ``path`` by its suffix: tiled TIFF as windows come, PNG or EXR at the end.

    The file appears under its name only when the ``with`` block ends well; else nothing does.

    Raises:
        InputError: If the suffix cannot be written, or cannot hold the record's bit depth.
    """
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff") and record.bits in (8, 16):
        return TiffWriter(path, KINDS[kind], record, compression)
    if suffix == ".png" and record.bits in (8, 16):
        return ImageWriter(path, KINDS[kind], record, np.dtype(f"u{record.bits // 8}"))
    if suffix == ".exr" and record.bits in (16, 32):
        return ImageWriter(path, KINDS[kind], record, np.dtype(f"f{record.bits // 8}"))
    raise InputError(
        f"{path} at {record.bits} bits",
        "TIFF or PNG at 8 or 16 bits, EXR at 16 (half) or 32 (float)",
        "choose another format or bit depth",
    )


def write_map(path: Path, kind: str, record: MapRecord, values: Tensor) -> None:
    """Write a whole map ``(C, H, W)``."""
    with open_writer(path, kind, record) as writer:
        writer.write(0, 0, values)


class ImageWriter:
    """Collects the windows in memory and writes PNG or EXR at the end."""

    def __init__(self, path: Path, kind: MapKind, record: MapRecord, dtype: np.dtype) -> None:
        self.path, self.kind, self.record = path, kind, record
        self._pixels = np.zeros((*record.size, kind.channels), dtype)
        self._missing = record.height * record.width

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take a window ``(C, h, w)``."""
        _check_values(self.kind, self.record.size, y, x, values)
        height, width = values.shape[-2:]
        pixels = encode(values, self.kind, self.record, self._pixels.dtype)
        self._pixels[y : y + height, x : x + width] = pixels
        self._missing -= height * width

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            _check_filled(self.path, self._missing)
            write_image(self.path, self._pixels)


class TiffWriter:
    """Writes a tiled TIFF while windows come; a thread compresses behind the caller's back.

    Only the tile rows that are not yet full are held, so memory does not grow with the map's
    height when windows come roughly from top to bottom.
    """

    def __init__(
        self, path: Path, kind: MapKind, record: MapRecord, compression: Compression
    ) -> None:
        self.path, self.kind, self.record = path, kind, record
        self._dtype = np.dtype(f"u{record.bits // 8}")
        self._compression = compression
        self._open_rows: dict[int, tuple[Array, int]] = {}  # tile row -> pixels, texels missing
        self._next = 0
        self._queue: queue.Queue[Array | None] = queue.Queue(maxsize=2)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._thread.start()

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take a window ``(C, h, w)``.

        Raises:
            FailureError: If the disk has refused what came before.
            ValueError: If the window leaves the map or covers what is written already.
        """
        _check_values(self.kind, self.record.size, y, x, values)
        pixels = encode(values, self.kind, self.record, self._dtype)
        bottom = y + pixels.shape[0]
        for row in range(y // _TILE, -(-bottom // _TILE)):
            top = row * _TILE
            start, stop = max(y, top), min(bottom, top + _TILE)
            self._fill(row, start - top, x, pixels[start - y : stop - y])
        while self._next in self._open_rows and self._open_rows[self._next][1] == 0:
            self._put(self._open_rows.pop(self._next)[0])
            self._next += 1
        self._raise_failure()

    def _fill(self, row: int, y: int, x: int, pixels: Array) -> None:
        if row < self._next:
            raise ValueError(f"{self.kind.name}: tile row {row} is written already")
        if row not in self._open_rows:
            height = min(_TILE, self.record.height - row * _TILE)
            blank = np.zeros((height, self.record.width, self.kind.channels), self._dtype)
            self._open_rows[row] = blank, height * self.record.width
        held, missing = self._open_rows[row]
        held[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        self._open_rows[row] = held, missing - pixels.shape[0] * pixels.shape[1]

    def _put(self, rows: Array | None) -> None:
        while self._thread.is_alive():  # one that has failed takes nothing more
            try:
                return self._queue.put(rows, timeout=0.2)
            except queue.Full:
                continue

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            raise disk_failure(self.path, self._failure) from self._failure
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._write_tiff(partial_path(self.path))
        except _Aborted:
            pass
        except BaseException as error:  # carried to the caller's thread
            self._failure = error

    def _write_tiff(self, partial: Path) -> None:
        import tifffile

        grey = self.kind.channels == 1
        packed = self._compression != "none"
        tifffile.imwrite(
            partial,
            self._tiles(),
            shape=self.record.size if grey else (*self.record.size, self.kind.channels),
            dtype=self._dtype,
            tile=(_TILE, _TILE),
            photometric="minisblack" if grey else "rgb",
            compression=self._compression if packed else None,
            compressionargs={"level": 1} if packed else None,
            predictor=packed,
            maxworkers=1,
            metadata=None,
            description=_describe(self.kind, self.record),
            software="realface",
        )

    def _tiles(self) -> Iterator[Array]:
        for _ in range(-(-self.record.height // _TILE)):
            rows = self._queue.get()
            if rows is None:
                raise _Aborted
            for x in range(0, self.record.width, _TILE):
                tile = np.zeros((_TILE, _TILE, self.kind.channels), self._dtype)
                part = rows[:, x : x + _TILE]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile[..., 0] if self.kind.channels == 1 else tile

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gap = -(-self.record.height // _TILE) - self._next
        if error is not None or gap:
            self._put(None)  # the thread waits for rows that will not come
        self._thread.join()
        if error is not None:
            partial_path(self.path).unlink(missing_ok=True)
            return
        with whole_file(self.path):
            self._raise_failure()
            _check_filled(self.path, gap)


class _Aborted(Exception):  # noqa: N818 - a signal, not an error
    """The caller gave up before the map was whole."""


def _check_filled(path: Path, missing: int) -> None:
    if missing:
        raise FailureError(
            f"{path}, of which a part was never written",
            "every texel written once",
            "report this as a bug: the stitching plan left a gap",
        )


def _describe(kind: MapKind, record: MapRecord) -> str:
    parts = [kind.name, record.encoding]
    if record.space:
        parts.append(f"{record.space} space, {'+Y up' if record.green == 'gl' else '+Y down'}")
    return ", ".join(parts)


def _check_values(kind: MapKind, size: tuple[int, int], y: int, x: int, values: Tensor) -> None:
    if values.ndim != 3 or values.shape[0] != kind.channels:
        raise ValueError(f"{kind.name} of shape {tuple(values.shape)}, not ({kind.channels}, h, w)")
    check_window(size, y, x, values.shape[1], values.shape[2])
