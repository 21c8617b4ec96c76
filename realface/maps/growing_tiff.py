"""A tiled TIFF that grows tile by tile, outlives a kill and goes on from where it stopped.

TIFF lets tiles lie anywhere in a file, in any order and with other bytes between them. So tiles
are written once, to where they stay: behind the directory, whose list of places is filled in at
the end. Before each tile goes a record by which a later run finds it and knows it whole; readers
of TIFF pass it over, since the directory does not point to it.

    directory | mark of the job | record, tile | record, tile | ...
"""

import hashlib
import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from realface.maps.files import Array

Compression = Literal["zlib", "zstd", "none"]

TILE = 256
"""Side of a tile [px]; every reader of tiled TIFF takes it."""

_RECORD = struct.Struct("<4sIII")
"""Magic, tile, bytes, and the CRC32 of the bytes that starts from the tile's number: they are
trusted in no other place."""
_MAGIC = b"tile"
_CLASSIC = 2**32 - 2**25
"""Bytes of pixels up to which the offsets of classic TIFF suffice, with room for records and for
what noise adds when it is compressed."""


class GrowingTiff:
    """The file ``partial`` on its way to a TIFF of ``shape``; one thread at a time.

    Args:
        partial: Where to write it.
        shape: ``(H, W, C)``, C in 1, 3.
        dtype: uint8 or uint16.
        compression: How `encode_tile` encoded what `add` will be given.
        description: What the file says about itself.
        job: What the pixels are made from. Where ``partial`` is of the same job and form, its
            whole tiles are kept; anything else there is overwritten, as it is for None.

    Attributes:
        held: Whether a tile was there from before, ``(rows, columns)`` of tiles.

    Raises:
        OSError: If the disk refuses.
    """

    def __init__(
        self,
        partial: Path,
        shape: tuple[int, int, int],
        dtype: np.dtype,
        compression: Compression,
        description: str,
        job: str | None = None,
    ) -> None:
        self._head = _directory(shape, dtype, compression, description)
        grid = -(-shape[0] // TILE), -(-shape[1] // TILE)
        self._offsets = np.zeros(grid, np.uint64)
        self._lengths = np.zeros(grid, np.uint64)
        mark = hashlib.sha256(self._head + repr(job).encode()).digest()
        start = len(self._head) + len(mark)
        ours = job is not None and _marked(partial, mark, len(self._head))
        self._file = partial.open("r+b" if ours else "wb")
        try:
            if ours:
                self._file.seek(start)
                self._collect(partial.stat().st_size)
                self._file.truncate()
            else:
                self._file.write(self._head + mark)
                self._file.flush()
        except BaseException:
            self.close()
            if not ours:
                partial.unlink(missing_ok=True)
            raise
        self.held = self._offsets > 0

    def _collect(self, size: int) -> None:
        """Find the tiles of an earlier run; leaves the file at the end of the last whole record.

        A damaged tile is passed over. Behind a damaged record nothing can be trusted.
        """
        at = self._file.tell()
        while len(found := self._file.read(_RECORD.size)) == _RECORD.size:
            magic, tile, length, crc = _RECORD.unpack(found)
            end = at + _RECORD.size + length
            if magic != _MAGIC or tile >= self._offsets.size or end > size:
                break
            if zlib.crc32(self._file.read(length), tile) == crc:
                self._place(tile, at + _RECORD.size, length)
            at = end
        self._file.seek(at)

    def _place(self, tile: int, offset: int, length: int) -> None:
        self._offsets.flat[tile], self._lengths.flat[tile] = offset, length

    def add(self, row: int, column: int, data: bytes | memoryview) -> None:
        """Append an encoded tile.

        Raises:
            OSError: If the disk refuses.
        """
        tile = row * self._offsets.shape[1] + column
        self._file.write(_RECORD.pack(_MAGIC, tile, len(data), zlib.crc32(data, tile)))
        offset = self._file.tell()
        self._file.write(data)
        self._place(tile, offset, len(data))

    def finish(self) -> None:
        """Make it the TIFF that it was to be, on the disk.

        Raises:
            OSError: If the disk refuses.
        """
        _sync(self._file)  # before the directory says that the tiles are there
        self._file.seek(0)
        self._file.write(_filled_in(self._head, self._offsets, self._lengths))
        _sync(self._file)

    def close(self) -> None:
        """Close the file; what was added stays for a later run."""
        with suppress(OSError):  # a full disk: a torn tail is cut off by that run
            self._file.close()


def encode_tile(pixels: Array, compression: Compression) -> bytes | memoryview:
    """Bytes of a tile ``(TILE, TILE, C)``, as the directory of a `GrowingTiff` promises them."""
    import imagecodecs

    if compression == "none":
        return pixels.data.cast("B")
    differences = imagecodecs.delta_encode(pixels, axis=1)  # TIFF's horizontal predictor
    zstd = compression == "zstd"
    encode: Any = imagecodecs.zstd_encode if zstd else imagecodecs.deflate_encode
    return bytes(encode(differences, level=1))


def _directory(
    shape: tuple[int, int, int], dtype: np.dtype, compression: Compression, description: str
) -> bytes:
    """Header and directory of a TIFF whose tiles have no bytes yet."""
    import tifffile

    height, width, channels = shape
    tiles = -(-height // TILE) * -(-width // TILE)
    tile_bytes = TILE * TILE * channels * dtype.itemsize
    packed = compression != "none"
    # A single raw tile is what tifffile writes in one piece, and wants to see.
    nothing = bytes(tile_bytes) if not packed and shape[:2] == (TILE, TILE) else b""
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        (nothing for _ in range(tiles)),
        shape=shape[:2] if channels == 1 else shape,
        dtype=dtype,
        tile=(TILE, TILE),
        bigtiff=tiles * tile_bytes > _CLASSIC,
        photometric="minisblack" if channels == 1 else "rgb",
        compression=compression if packed else None,
        predictor=packed,
        metadata=None,
        description=description,
        software="realface",
    )
    return file.getvalue()


def _filled_in(head: bytes, offsets: Array, lengths: Array) -> bytes:
    """The directory with the tiles' places, as long as it was."""
    import tifffile

    file = io.BytesIO(head)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        tags["TileOffsets"].overwrite(offsets.ravel().tolist())
        tags["TileByteCounts"].overwrite(lengths.ravel().tolist())
    assert len(file.getvalue()) == len(head)
    return file.getvalue()


def _marked(partial: Path, mark: bytes, at: int) -> bool:
    """Whether the file is there with this mark in its place."""
    if not partial.is_file():
        return False
    with partial.open("rb") as file:
        file.seek(at)
        return file.read(len(mark)) == mark


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
