"""Windows of image files, without the rest of the image where the file allows it.

TIFF gives windows: what is stored in one piece is mapped, of tiles and strips only those are
decoded that a window touches. PNG and JPEG are one stream, which is decoded whole and kept at its
own depth; so is EXR, since OpenEXR's `File` decodes nothing less (its `InputFile`, which reads
scan lines, is deprecated and about to go).
"""

import math
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from realface.errors import InputError
from realface.maps.files import (
    Array,
    check_finite,
    check_form,
    decoded,
    decoding,
    grey_alpha_as_rgba,
    read_image,
    tiff_page,
)

_HELD = 32 << 20
"""Bytes of decoded tiles or strips that a TIFF keeps, unless one window alone touches more."""

_BY_SEGMENT = (1, 5, 8, 32946, 32773, 34925, 50000)
"""TIFF compressions that need nothing but a segment's bytes: none, LZW, deflate (by both of its
numbers), PackBits, LZMA, zstd."""


class Image(Protocol):
    """An image file whose form is known and checked, and whose pixels come window by window."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, W, C)``, C in 1, 3, 4."""

    def read(self, y: int, x: int, height: int, width: int) -> Array:
        """Pixels ``(height, width, C)`` of a window inside the image; not to be written to.

        Raises:
            InputError: If they are damaged, hold NaN or infinity, or the file was changed.
            FailureError: If memory does not suffice.
        """


def open_image(path: Path) -> Image:
    """Open an image at its own depth; what a header can tell is checked now.

    That a TIFF is cut short is seen here too; bytes damaged inside of it, and NaN, are met by the
    window that reads them.

    Raises:
        InputError: As `realface.maps.files.read_image`.
        FailureError: If memory does not suffice.
    """
    image: _TiffImage | None = decoded(path, _TIFFS) if path.suffix.lower() in _TIFFS else None
    if image is None:
        return _HeldImage(read_image(path))
    check_form(path, image.shape, image.dtype)
    return image


class _HeldImage:
    """An image in memory."""

    def __init__(self, pixels: Array) -> None:
        self._pixels = pixels
        self.shape: tuple[int, int, int] = pixels.shape

    def read(self, y: int, x: int, height: int, width: int) -> Array:
        return self._pixels[y : y + height, x : x + width]


def _open_tiff(path: Path) -> "_TiffImage | None":
    """None where planes lie apart, or segments are images of their own (JPEG): read it whole."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = tiff_page(file)
        _check_length(page, path.stat().st_size)
        if page.dtype is None or page.shaped[:2] != (1, 1) or page.compression not in _BY_SEGMENT:
            return None
        return _TiffImage(path, page)


def _check_length(page: Any, size: int) -> None:
    """A file that is cut short is refused before the work and not in its midst."""
    starts, lengths = page.dataoffsets, page.databytecounts
    pieces = math.prod(page.chunked)
    if min(len(starts), len(lengths)) < pieces:
        raise ValueError(f"it lists {len(starts)} of its {pieces} tiles or strips")
    needed = max(start + length for start, length in zip(starts, lengths, strict=False))
    if page.is_final:
        needed = max(needed, starts[0] + page.nbytes)
    if needed > size:
        raise ValueError(f"it is cut short: {size} of {needed} bytes")


_TIFFS = {".tif": _open_tiff, ".tiff": _open_tiff}


class _TiffImage:
    """Windows of a TIFF page.

    Decoded segments (tiles or strips) are kept, the last used longest: as many as the windows of
    one row touch, which is what windows that run row by row with overlap come back to, within
    `_HELD`. The file is opened anew for each window: Windows lets nobody replace an open file.
    """

    def __init__(self, path: Path, page: Any) -> None:
        self._path = path
        self._stored: tuple[int, int, int] = page.shaped[2:]
        self.dtype = np.dtype(page.dtype)
        self._decode = page.decode
        self._offsets, self._lengths = page.dataoffsets, page.databytecounts
        self._chunk: tuple[int, int] = page.chunks[:2]
        self._across: int = page.chunked[1]
        self._in_one_piece: bool = page.is_final
        self._byteorder = page.parent.byteorder
        self._stamp = _stamp(path.stat())
        self._segments: OrderedDict[int, Array] = OrderedDict()
        self._lock = threading.Lock()
        height, width, channels = self._stored
        self.shape = (height, width, 4 if channels == 2 else channels)

    def read(self, y: int, x: int, height: int, width: int) -> Array:
        with self._lock, decoding(self._path), self._path.open("rb") as file:
            changed = _stamp(os.fstat(file.fileno())) != self._stamp
            if changed:
                pixels = None
            elif self._in_one_piece:
                pixels = self._from_map(y, x, height, width)
            else:
                pixels = self._from_segments(file, y, x, height, width)
        if pixels is None:
            raise InputError(
                f"{self._path}, which was changed while it was read",
                "one file from the first window to the last",
                "let nothing else write to it, and run again",
            )
        check_finite(self._path, pixels, y, x)
        return grey_alpha_as_rgba(pixels)

    def _from_map(self, y: int, x: int, height: int, width: int) -> Array:
        # Mapped for this window alone: pages that were touched count as held until it is undone.
        dtype = self.dtype.newbyteorder(self._byteorder)
        pixels = np.memmap(self._path, dtype, "r", self._offsets[0], self._stored)
        return np.array(pixels[y : y + height, x : x + width], self.dtype)

    def _from_segments(self, file: BinaryIO, y: int, x: int, height: int, width: int) -> Array:
        rows, columns = self._chunk
        down = range(y // rows, -(-(y + height) // rows))
        across = range(x // columns, -(-(x + width) // columns))
        room = self._room(len(down), len(across))
        window = np.empty((height, width, self._stored[2]), self.dtype)
        for row in down:
            for column in across:
                segment = self._segment(file, row * self._across + column, room)
                _copy(segment, window, row * rows - y, column * columns - x)
        return window

    def _room(self, down: int, across: int) -> int:
        """How many segments to keep for a window that touches so many."""
        segment = self._chunk[0] * self._chunk[1] * self._stored[2] * self.dtype.itemsize
        return max(down * across, min(down * self._across, _HELD // segment))

    def _segment(self, file: BinaryIO, index: int, room: int) -> Array:
        if index in self._segments:
            self._segments.move_to_end(index)
            return self._segments[index]
        while len(self._segments) >= room:
            self._segments.popitem(last=False)
        file.seek(self._offsets[index])
        # One that was never written has no bytes, and means zeros.
        data = file.read(self._lengths[index]) or None
        pixels, _, shape = self._decode(data, index)
        segment = np.zeros(shape, self.dtype) if pixels is None else pixels
        self._segments[index] = segment[0]
        return self._segments[index]


def _stamp(status: os.stat_result) -> tuple[int, int]:
    """What changes with a file: its size and the time of its last change."""
    return status.st_size, status.st_mtime_ns


def _copy(segment: Array, window: Array, y: int, x: int) -> None:
    """Copy what a segment whose corner is at ``(y, x)`` of the window has in common with it."""
    top, left = max(y, 0), max(x, 0)
    bottom = min(y + segment.shape[0], window.shape[0])
    right = min(x + segment.shape[1], window.shape[1])
    window[top:bottom, left:right] = segment[top - y : bottom - y, left - x : right - x]
