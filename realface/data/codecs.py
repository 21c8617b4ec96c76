"""How the pixels of a map become the bytes of a shard's member, and back; all of it lossless.

Every decoder is told the size and type that the sample's json promises, and compares them with
the header of the bytes before any memory is taken: a damaged or hostile member is refused, however
large an image it claims to be.

Settings are measured on the eight maps of a procedural patch, 512 x 512 at 16 bits, one thread:
PNG: run lengths after a difference to the row above, 63 ms to write, 31 ms to read, 5.6 MiB
(zlib at level 1: 172 ms, 65 ms, 5.3 MiB); JPEG XL: 9 ms, 30 ms, 4.0 MiB; blosc: 9 ms, 5 ms,
6.5 MiB; npy: 9 MiB.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np

from realface.maps.files import Array

Shape = tuple[int, int, int]

_LARGEST = 1 << 28  # values in one map, 16384 x 16384 x 1: more is taken for damage
_PNG_COLOURS = {1: 0, 3: 2}  # channels -> colour type
_PNG_RUNS, _PNG_ABOVE = 3, 32  # zlib's Z_RLE, libpng's PNG_FILTER_UP
_BLOSC_HEADER = 32  # bytes of a chunk's header
_BLOSC_BITS = 2  # bitshuffle
_NPY_HEADER = 4096  # bytes, generously; NumPy writes 128


@dataclass(frozen=True)
class Codec:
    """One way to store pixels.

    Attributes:
        name: Of the codec, and the suffix of its members.
        encode: ``(h, w, C)`` uint8 or uint16, C in 1, 3, to bytes.
        decode: Bytes, the ``(h, w, C)`` and the type that they must hold, to just that; a
            ValueError if the header says otherwise, other exceptions of the codec's own if the
            bytes behind it are damaged.
    """

    name: str
    encode: Callable[[Array], bytes]
    decode: Callable[[bytes, Shape, np.dtype], Array]


def _encode_png(pixels: Array) -> bytes:
    return bytes(imagecodecs.png_encode(_flat(pixels), strategy=_PNG_RUNS, filter=_PNG_ABOVE))


def _decode_png(data: bytes, shape: Shape, dtype: np.dtype) -> Array:
    if len(data) < 26 or data[12:16] != b"IHDR":
        raise ValueError("it has no PNG header")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[24:26] != bytes((8 * dtype.itemsize, _PNG_COLOURS[shape[2]])):
        raise ValueError(
            f"it has {data[24]} bits and colour type {data[25]}, not {dtype} in {shape[2]} channels"
        )
    _require_shape((height, width, shape[2]), shape)
    return imagecodecs.png_decode(data, out=np.empty(_flat_shape(shape), dtype)).reshape(shape)


def _encode_jxl(pixels: Array) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(_flat(pixels), lossless=True, effort=1, numthreads=1))


def _decode_jxl(data: bytes, shape: Shape, dtype: np.dtype) -> Array:
    # libjxl reads the header first, and imagecodecs compares it with what it is to fill.
    pixels = np.empty(_flat_shape(shape), dtype)
    return imagecodecs.jpegxl_decode(data, numthreads=1, out=pixels).reshape(shape)


def _encode_blosc(pixels: Array) -> bytes:
    return bytes(
        imagecodecs.blosc2_encode(
            _encode_npy(pixels),
            level=1,
            compressor="zstd",
            shuffle=_BLOSC_BITS,
            typesize=pixels.itemsize,
            numthreads=1,
        )
    )


def _decode_blosc(data: bytes, shape: Shape, dtype: np.dtype) -> Array:
    size = int.from_bytes(data[4:8], "little")
    if len(data) < _BLOSC_HEADER or size > _bytes(shape, dtype) + _NPY_HEADER:
        raise ValueError(f"its {len(data)} bytes claim to hold {size}")
    return _decode_npy(imagecodecs.blosc2_decode(data, numthreads=1), shape, dtype)


def _encode_npy(pixels: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels, allow_pickle=False)
    return file.getvalue()


def _decode_npy(data: bytes | bytearray, shape: Shape, dtype: np.dtype) -> Array:
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is no npy file of version 1.0")
    found, by_columns, stored = np.lib.format.read_array_header_1_0(file)
    if stored != dtype or by_columns:
        raise ValueError(f"it has {stored}{' by columns' if by_columns else ''}, not {dtype}")
    _require_shape(found, shape)
    if len(data) - file.tell() != _bytes(shape, dtype):
        raise ValueError(f"it has {len(data) - file.tell()} bytes of {_bytes(shape, dtype)}")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape).copy()


CODECS = {
    codec.name: codec
    for codec in (
        Codec("png", _encode_png, _decode_png),
        Codec("jxl", _encode_jxl, _decode_jxl),
        Codec("blosc", _encode_blosc, _decode_blosc),
        Codec("npy", _encode_npy, _decode_npy),
    )
}
"""Every codec by name: ``png`` is read by everything, ``jxl`` is small, ``blosc`` is fast to read,
``npy`` is not packed at all."""


def codec_of(member: str) -> Codec:
    """The codec of a member ``<kind>.<suffix>``.

    Raises:
        ValueError: If there is none of that name.
    """
    suffix = member.rpartition(".")[2]
    if suffix not in CODECS:
        raise ValueError(f"{member} is stored as none of {', '.join(CODECS)}")
    return CODECS[suffix]


def decode(member: str, data: bytes, shape: Shape, dtype: np.dtype) -> Array:
    """The pixels of a member, ``shape`` and ``dtype`` as the sample's json says.

    Returns:
        ``(h, w, C)`` uint8 or uint16, of its own memory.

    Raises:
        ValueError: If the bytes are damaged or hold anything else, before memory is taken for it.
    """
    codec = codec_of(member)
    if shape[0] * shape[1] * shape[2] > _LARGEST:
        raise ValueError(f"{shape[0]}x{shape[1]} cannot be the size of a map in a shard")
    try:
        return codec.decode(data, shape, dtype)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise whatever the codec likes
        raise ValueError(f"{member} cannot be decoded: {error}") from error


def _flat(pixels: Array) -> Array:
    """What image codecs take: grey without its channel."""
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _flat_shape(shape: Shape) -> tuple[int, ...]:
    return shape[:2] if shape[2] == 1 else shape


def _require_shape(found: tuple[int, ...], shape: Shape) -> None:
    if found != shape:
        raise ValueError(f"it has shape {found}, its json says {shape}")


def _bytes(shape: Shape, dtype: np.dtype) -> int:
    return shape[0] * shape[1] * shape[2] * dtype.itemsize
