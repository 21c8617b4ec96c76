"""Map -> file: sinks that take a map window by window and leave a whole file or none."""

import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from realface.errors import FailureError, InputError
from realface.maps.files import Array, disk_failure, partial_path, write_image
from realface.maps.growing_tiff import TILE, Compression, GrowingTiff, encode_tile
from realface.maps.io import check_window, encode
from realface.maps.kinds import KINDS, MapKind
from realface.maps.record import MapRecord

__all__ = ["Compression", "ImageWriter", "MapWriter", "TiffWriter", "open_writer", "write_map"]

_QUEUED = 8 << 20
"""Bytes of full tiles that may wait to be compressed and stored; then the caller waits."""

_THREADS = 4
"""That compress one map; on a machine of fewer cores, as many as it has."""


class MapWriter(Protocol):
    """A sink: takes the windows of one map in any order that fills it once."""

    def has(self, y: int, x: int, height: int, width: int) -> bool:
        """Whether an earlier run of the same job has left every texel of a window."""

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
    path: Path,
    kind: str,
    record: MapRecord,
    compression: Compression = "zlib",
    job: str | None = None,
) -> MapWriter:
    """A writer for ``path`` by its suffix: tiled TIFF as windows come, PNG or EXR at the end.

    The file appears under its name only when the ``with`` block ends well; else what was there
    stays. With a ``job``, an error or a kill leaves the finished tiles of a TIFF under a hidden
    name beside it (`partial_path`), and the same job goes on from them; any other takes their
    place. Without one, an error leaves nothing.

    Args:
        path: Ends in ``.tif``, ``.tiff``, ``.png`` or ``.exr``.
        kind: What the map is.
        record: What its file means.
        compression: Of TIFF.
        job: A fingerprint of all that the pixels depend on: inputs, weights, plan.

    Raises:
        InputError: If the suffix cannot be written, or cannot hold the record's bit depth.
    """
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff") and record.bits in (8, 16):
        return TiffWriter(path, KINDS[kind], record, compression, job)
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

    def has(self, y: int, x: int, height: int, width: int) -> bool:
        """False: nothing is kept of a run that did not end."""
        return False

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
    """Writes a tiled TIFF as windows come, in any order; threads compress behind the caller's back.

    Only tiles that are begun and not full are held, which lie along the rim of what is written,
    and at most `_QUEUED` bytes of full ones. Tiles reach the file in the order in which they were
    filled, so that the same windows make the same bytes. The file is open within the ``with``
    block and no longer.
    """

    def __init__(
        self,
        path: Path,
        kind: MapKind,
        record: MapRecord,
        compression: Compression,
        job: str | None = None,
    ) -> None:
        self.path, self.kind, self.record = path, kind, record
        self._dtype = np.dtype(f"u{record.bits // 8}")
        self._compression = compression
        self._job = None if job is None else f"{job} {record}"
        self._begun: dict[tuple[int, int], _Tile] = {}
        self._full: deque[tuple[int, int, Array, Future[bytes | memoryview]]] = deque()
        # Tiles' memory is used again: what is freed between smaller pieces leaves holes.
        self._spare: list[Array] = []
        tile_bytes = TILE * TILE * kind.channels * self._dtype.itemsize
        self._room = threading.Semaphore(_QUEUED // tile_bytes)
        self._storing = threading.Lock()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        try:
            self._file = GrowingTiff(
                partial_path(self.path),
                (*self.record.size, self.kind.channels),
                self._dtype,
                self._compression,
                _describe(self.kind, self.record),
                self._job,
            )
        except OSError as error:
            raise disk_failure(self.path, error) from error
        self._taken = self._file.held.copy()
        threads = min(_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, f"write {self.path.name}")
        return self

    def has(self, y: int, x: int, height: int, width: int) -> bool:
        """Whether an earlier run of the same job has left every texel of a window."""
        return bool(self._file.held[_tiles(y, height), _tiles(x, width)].all())

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Take a window ``(C, h, w)``; what an earlier run has left of it is passed over.

        Raises:
            FailureError: If the disk has refused what came before.
            ValueError: If the window leaves the map or covers what is written already.
        """
        _check_values(self.kind, self.record.size, y, x, values)
        self._raise_failure()
        rows, columns = _tiles(y, values.shape[1]), _tiles(x, values.shape[2])
        for row in range(rows.start, rows.stop):
            # A row of tiles at a time: encoding takes several times the memory of what it is given.
            top = max(row * TILE - y, 0)
            part = values[:, top : (row + 1) * TILE - y]
            pixels = encode(part, self.kind, self.record, self._dtype)
            for column in range(columns.start, columns.stop):
                if not self._file.held[row, column]:
                    self._fill(row, column, pixels, y + top - row * TILE, x - column * TILE)

    def _fill(self, row: int, column: int, pixels: Array, y: int, x: int) -> None:
        """Copy into a tile what it has in common with pixels whose corner is at its ``(y, x)``."""
        if self._taken[row, column]:
            raise ValueError(f"{self.kind.name}: tile {row}, {column} is written already")
        if (row, column) not in self._begun:
            self._begun[row, column] = self._blank(row, column)
        tile = self._begun[row, column]
        tile.fill(pixels, y, x)
        if not tile.missing:
            self._taken[row, column] = True
            self._compress(row, column, self._begun.pop((row, column)).pixels)

    def _blank(self, row: int, column: int) -> "_Tile":
        height = min(self.record.height - row * TILE, TILE)
        width = min(self.record.width - column * TILE, TILE)
        shape = (TILE, TILE, self.kind.channels)
        pixels = self._spare.pop() if self._spare else np.empty(shape, self._dtype)
        pixels[height:], pixels[:, width:] = 0, 0
        return _Tile(pixels, height * width)

    def _compress(self, row: int, column: int, pixels: Array) -> None:
        self._room.acquire()  # waits only where compression cannot keep up
        encoded = self._pool.submit(encode_tile, pixels, self._compression)
        self._full.append((row, column, pixels, encoded))
        encoded.add_done_callback(self._store)

    def _store(self, _: Future[bytes | memoryview]) -> None:
        """Append what is encoded, as far as nothing before it is missing; in the pool's threads."""
        with self._storing:
            while self._full and self._full[0][3].done():
                row, column, pixels, encoded = self._full.popleft()
                try:
                    if self._failure is None:
                        self._file.add(row, column, encoded.result())
                    self._spare.append(pixels)
                except BaseException as error:  # carried to the caller's thread
                    self._failure = error
                self._room.release()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            raise disk_failure(self.path, self._failure) from self._failure
        if self._failure is not None:
            raise self._failure

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._pool.shutdown(cancel_futures=error is not None and self._job is None)
            if error is None:
                self._raise_failure()
                _check_filled(self.path, int((~self._taken).sum()))
                self._finish()
        finally:
            self._file.close()
            if self._job is None:
                partial_path(self.path).unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            self._file.finish()
            self._file.close()
            os.replace(partial_path(self.path), self.path)
        except OSError as error:
            raise disk_failure(self.path, error) from error


class _Tile:
    """A tile that is begun.

    Args:
        pixels: ``(TILE, TILE, C)``, zero beyond the map.
        missing: Number of its texels that lie in the map.

    Attributes:
        pixels: As it was given, filled in.
        missing: Number of texels that are still to come.
    """

    def __init__(self, pixels: Array, missing: int) -> None:
        self.pixels, self.missing = pixels, missing
        self._filled: list[tuple[int, int, int, int]] = []

    def fill(self, pixels: Array, y: int, x: int) -> None:
        """Take from pixels ``(h, w, C)`` whose corner is at ``(y, x)``, also outside the tile.

        Raises:
            ValueError: If it has one of them already.
        """
        top, bottom = max(y, 0), min(y + pixels.shape[0], TILE)
        left, right = max(x, 0), min(x + pixels.shape[1], TILE)
        for above, below, before, behind in self._filled:
            if top < below and above < bottom and left < behind and before < right:
                raise ValueError("a texel is written already")
        self._filled.append((top, bottom, left, right))
        self.pixels[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
        self.missing -= (bottom - top) * (right - left)


def _tiles(start: int, length: int) -> slice:
    """The rows or columns of tiles that a stretch of texels touches."""
    return slice(start // TILE, -(-(start + length) // TILE))


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
