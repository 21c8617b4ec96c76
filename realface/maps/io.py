"""File <-> map: the one place where bit depth, encoding and channel count are converted.

A `MapFile` is a source for tiling, a `MapWriter` a sink: both speak ``(C, h, w)`` float32 in
the encoding of the map's kind, whatever the file holds.
"""

import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from realface.errors import FailureError, InputError
from realface.maps.encoding import convert, unit
from realface.maps.files import (
    Array,
    disk_failure,
    partial_path,
    read_image,
    whole_file,
    write_image,
)
from realface.maps.kinds import KINDS, MapKind
from realface.maps.record import MapRecord, Range
from realface.maps.spaces import flip_green

log = logging.getLogger(__name__)

Compression = Literal["zlib", "zstd", "none"]
_TILE = 256  # px; every reader of tiled TIFF takes it


class MapFile:
    """One map of a subject, read from its file.

    Args:
        path: The image.
        kind: What it is.
        record: What its values mean.

    Raises:
        InputError: If the file is missing, damaged, or not what the record says.
    """

    def __init__(self, path: Path, kind: MapKind, record: MapRecord) -> None:
        self.path, self.kind, self.record = path, kind, record
        self._pixels = _with_channels(path, kind, read_image(path))
        if self._pixels.shape[:2] != record.size:
            raise InputError(
                f"{path} is {_size(self._pixels.shape[:2])} (height x width)",
                f"{_size(record.size)}, as subject.json says",
                "put the right file back, or add the map again with `realface add`",
            )

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.record.size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """One window ``(C, height, width)`` float32, in the kind's encoding, green up.

        Normals keep the space that the record declares.

        Raises:
            ValueError: If the window leaves the map.
        """
        _check_window(self.size, y, x, height, width)
        return decode(self._pixels[y : y + height, x : x + width], self.kind, self.record)

    def whole(self) -> Tensor:
        """The whole map, ``(C, H, W)`` float32."""
        return self.read(0, 0, *self.size)

    def require_object_space(self) -> None:
        """`require_object_space` of this file."""
        require_object_space(self.path, self.kind, self.record)


def require_object_space(path: Path, kind: MapKind, record: MapRecord) -> None:
    """Refuse normals that are not in object space, before their file is read.

    Raises:
        InputError: With the command that converts them.
    """
    if record.space not in (None, "object"):
        raise InputError(
            f"{path} in {record.space} space",
            "object-space normals",
            f"convert them: `realface add SUBJECT {kind.name} {path} "
            f"--space {record.space} --mesh MESH`",
        )


def decode(pixels: Array, kind: MapKind, record: MapRecord) -> Tensor:
    """Stored ``(h, w, C)`` pixels to a map ``(C, h, w)`` float32."""
    values = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32, order="C"))
    if pixels.dtype.kind == "u":
        values /= np.iinfo(pixels.dtype).max
    if record.range is not None:
        values = values * record.range.scale + _offset(record)
    if record.green == "dx":
        values = flip_green(values)
    values = convert(values, record.encoding, kind.encoding)
    return unit(values) if _are_unit(kind, record) else values


def encode(values: Tensor, kind: MapKind, record: MapRecord, dtype: np.dtype) -> Array:
    """A map ``(C, h, w)`` to stored pixels ``(h, w, C)``: the inverse of `decode`.

    Integers are rounded to nearest; what lies outside their range takes its end, since a
    network's overshoot has no other meaning in an integer file.

    Raises:
        InputError: If an offset is longer than 1 along an axis, which files do not hold.
    """
    if _are_unit(kind, record):
        values = unit(values)
    elif record.space == "offset" and (longest := float(values.abs().max())) > 1 + 1e-6:
        raise InputError(
            f"{kind.name} with an offset of {longest:.3g}",
            "offsets between -1 and 1",
            "write these normals in object space",
        )
    values = convert(values.float(), kind.encoding, record.encoding)
    if record.green == "dx":
        values = flip_green(values)
    if record.range is not None:
        values = (values - _offset(record)) / record.range.scale
    if dtype.kind == "u":
        top = float(np.iinfo(dtype).max)
        values = (values * top).round_().clamp_(0, top)
    return values.permute(1, 2, 0).contiguous().numpy().astype(dtype)


def _are_unit(kind: MapKind, record: MapRecord) -> bool:
    """An offset is added to a normal; it is none itself."""
    return kind.encoding == "unit_vector" and record.space != "offset"


def _offset(record: MapRecord) -> Tensor:
    assert record.range is not None
    return torch.tensor(record.range.offset).view(3, 1, 1)


def _check_window(size: tuple[int, int], y: int, x: int, height: int, width: int) -> None:
    if min(y, x) < 0 or y + height > size[0] or x + width > size[1]:
        raise ValueError(
            f"window y={y} x={x} of {height}x{width} leaves the map of {_size(size)}"
        )  # fmt: skip


def _check_values(kind: MapKind, size: tuple[int, int], y: int, x: int, values: Tensor) -> None:
    if values.ndim != 3 or values.shape[0] != kind.channels:
        raise ValueError(f"{kind.name} of shape {tuple(values.shape)}, not ({kind.channels}, h, w)")
    _check_window(size, y, x, values.shape[1], values.shape[2])


def _with_channels(path: Path, kind: MapKind, pixels: Array) -> Array:
    """The kind's number of channels from 1, 3 or 4, in the open; vectors are never made up."""
    if pixels.shape[2] == 4:
        if (pixels[..., 3] != _opaque(pixels.dtype)).any():
            log.warning("%s: its alpha channel is left out; a mask map says what is valid", path)
        pixels = pixels[..., :3]
    found = pixels.shape[2]
    if found == kind.channels:
        return pixels
    if found == 1 and not kind.is_vector:
        log.warning("%s: grey, read as three equal channels", path)
        return np.repeat(pixels, 3, axis=2)
    if found == 3 and kind.channels == 1:
        if (pixels.min(axis=2) != pixels.max(axis=2)).any():
            log.warning("%s: coloured, read as the mean of its channels", path)
            return _mean_channel(pixels)
        return pixels[..., :1]
    raise InputError(
        f"{path} with {found} channel(s)",
        f"{kind.channels} channels, as {kind.name} has",
        "export it as RGB: a grey image cannot hold vectors",
    )


def _mean_channel(pixels: Array) -> Array:
    mean = pixels.mean(axis=2, keepdims=True, dtype=np.float32)
    return np.rint(mean).astype(pixels.dtype) if pixels.dtype.kind == "u" else mean


def _opaque(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"


def tight_range(positions: Tensor) -> Range:
    """The tightest isotropic range of positions ``(3, H, W)``, for storing them as integers."""
    low = positions.flatten(1).amin(1).tolist()
    high = positions.flatten(1).amax(1).tolist()
    scale = max(top - bottom for top, bottom in zip(high, low, strict=True))
    return Range(max(scale, 1e-6), (low[0], low[1], low[2]))


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
