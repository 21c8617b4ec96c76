"""File <-> map: the one place where bit depth, encoding and channel count are converted.

A `MapFile` is a source for tiling, a writer of `realface.maps.writers` a sink: both speak
``(C, h, w)`` float32 in the encoding of the map's kind, whatever the file holds.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.encoding import convert, unit
from realface.maps.files import Array
from realface.maps.images import open_image
from realface.maps.kinds import MapKind
from realface.maps.record import MapRecord, Range
from realface.maps.spaces import flip_green

log = logging.getLogger(__name__)


class MapFile:
    """One map of a subject, read from its file; of a TIFF no more than the window at hand.

    Windows that run row by row decode each tile about once, see `realface.maps.images`. Several
    threads may read.

    Args:
        path: The image.
        kind: What it is.
        record: What its values mean.

    Raises:
        InputError: If the file is missing, cut short, or not what the record says; PNG, JPEG and
            EXR also if they are damaged or hold NaN.
    """

    def __init__(self, path: Path, kind: MapKind, record: MapRecord) -> None:
        self.path, self.kind, self.record = path, kind, record
        self._image = open_image(path)
        self._told: set[str] = set()
        self._check_channels(self._image.shape[2])
        if self._image.shape[:2] != record.size:
            raise InputError(
                f"{path} is {_size(self._image.shape[:2])} (height x width)",
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
            InputError: If what it reads is damaged, holds NaN or infinity, or was changed.
        """
        check_window(self.record.size, y, x, height, width)
        pixels = self._with_channels(self._image.read(y, x, height, width))
        return decode(pixels, self.kind, self.record)

    def whole(self) -> Tensor:
        """The whole map, ``(C, H, W)`` float32."""
        return self.read(0, 0, *self.size)

    def require_object_space(self) -> None:
        """`require_object_space` of this file."""
        require_object_space(self.path, self.kind, self.record)

    def _check_channels(self, found: int) -> None:
        """Vectors are never made up from a grey image."""
        if found == 1 and self.kind.channels == 3:
            if self.kind.is_vector:
                raise InputError(
                    f"{self.path} with {found} channel(s)",
                    f"{self.kind.channels} channels, as {self.kind.name} has",
                    "export it as RGB: a grey image cannot hold vectors",
                )
            self._tell("grey, read as three equal channels")

    def _with_channels(self, pixels: Array) -> Array:
        """The kind's number of channels from 1, 3 or 4, in the open."""
        if pixels.shape[2] == 4:
            if (pixels[..., 3] != _opaque(pixels.dtype)).any():
                self._tell("its alpha channel is left out; a mask map says what is valid")
            pixels = pixels[..., :3]
        found = pixels.shape[2]
        if found == self.kind.channels:
            return pixels
        if found == 1:
            return np.repeat(pixels, 3, axis=2)
        grey = pixels.min(axis=2) == pixels.max(axis=2)
        if grey.all():
            return pixels[..., :1]
        self._tell("coloured, read as the mean of its channels")
        # Texel by texel: a mean of equal floats may be off by its last bit, and what a texel holds
        # must not depend on its window.
        return np.where(grey[..., None], pixels[..., :1], _mean_channel(pixels))

    def _tell(self, what: str) -> None:
        """Once, however many windows show it."""
        if what not in self._told:
            self._told.add(what)
            log.warning("%s: %s", self.path, what)


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
    # Narrowed first and interleaved by planes: half the time of permuting floats.
    return np.stack(list(values.numpy().astype(dtype)), axis=-1)


def _are_unit(kind: MapKind, record: MapRecord) -> bool:
    """An offset is added to a normal; it is none itself."""
    return kind.encoding == "unit_vector" and record.space != "offset"


def _offset(record: MapRecord) -> Tensor:
    assert record.range is not None
    return torch.tensor(record.range.offset).view(3, 1, 1)


def check_window(size: tuple[int, int], y: int, x: int, height: int, width: int) -> None:
    """Refuse a window that is not wholly inside a map of ``size``; a ValueError of the caller's."""
    if min(y, x) < 0 or y + height > size[0] or x + width > size[1]:
        raise ValueError(
            f"window y={y} x={x} of {height}x{width} leaves the map of {_size(size)}"
        )  # fmt: skip


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
