"""Image files to arrays and back, at their own bit depth.

PNG and JPEG go through imagecodecs (Pillow cuts 16-bit RGB PNG to 8 bits, OpenCV fills in the
rest of a truncated file), so does Radiance HDR; TIFF through tifffile, EXR through OpenEXR.
Arrays are ``(H, W, C)`` in RGB order: uint8, uint16, float16 or float32.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realface.errors import FailureError, InputError

Array = NDArray[Any]

SUFFIXES = (".png", ".tif", ".tiff", ".exr", ".jpg", ".jpeg")
"""What a map may be stored as; writing leaves out JPEG. `read_image` takes ``.hdr`` too."""

_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
_HDR_HEADER = 4096  # bytes within which a Radiance header ends
_LARGEST_SIDE = 65536  # px; a header that says more is taken for damage, before memory is


def read_image(path: Path) -> Array:
    """Read an image at its own depth.

    Returns:
        ``(H, W, C)`` uint8, uint16, float16 or float32, C in 1, 3, 4, RGB(A) order; grey with
        alpha comes as RGBA.

    Raises:
        InputError: If the file is missing, damaged, of an unknown type, has another number
            of channels, or holds NaN or infinity.
        FailureError: If memory does not suffice.
    """
    pixels = decoded(path, _READERS)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = grey_alpha_as_rgba(pixels)
    check_form(path, pixels.shape, pixels.dtype)
    check_finite(path, pixels)
    return pixels


def read_form(path: Path) -> tuple[tuple[int, int], np.dtype]:
    """``(height, width)`` and type of an image, from the header of a PNG or TIFF alone.

    EXR and JPEG are decoded whole: what their codecs make of a header is not the type of the
    pixels that they return.

    Raises:
        InputError: As `read_image`, as far as the header tells.
        FailureError: If memory does not suffice.
    """
    if path.suffix.lower() not in _FORMS:
        pixels = read_image(path)
        return pixels.shape[:2], pixels.dtype
    size, dtype = decoded(path, _FORMS)
    _check_type(path, dtype)
    return size, dtype


def decoded(path: Path, readers: Mapping[str, Callable[[Path], Any]]) -> Any:
    """What the suffix's reader makes of a file.

    Raises:
        InputError: If the file is missing, of an unknown type, or its reader raises.
        FailureError: If memory does not suffice.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise InputError(
            f"{path}, a {suffix or 'suffixless'} file",
            f"one of {', '.join(_READERS)}",
            "convert it to one of these",
        )
    if not path.is_file():
        raise InputError(f"{path}, which is no file", "an image", "check the path")
    with decoding(path):
        return readers[suffix](path)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Whatever the codecs raise over a file, in three parts.

    Raises:
        InputError: If it cannot be decoded.
        FailureError: If memory does not suffice.
    """
    try:
        yield
    except MemoryError as error:
        raise FailureError(
            f"reading {path} failed: {error or 'out of memory'}",
            "memory for the image that its header promises",
            "check its size in another program, or use a machine with more memory",
        ) from error
    except Exception as error:  # the codecs raise types of their own
        raise InputError(
            f"{path}, which cannot be decoded ({error})",
            f"a whole {path.suffix[1:].upper()} file",
            "write or copy it again, as RGB or grey",
        ) from error


def grey_alpha_as_rgba(pixels: Array) -> Array:
    """``(h, w, 2)`` as ``(h, w, 4)``; anything else as it is."""
    return pixels[..., [0, 0, 0, 1]] if pixels.ndim == 3 and pixels.shape[2] == 2 else pixels


def check_form(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse an image of another number of channels or another type than maps have.

    Raises:
        InputError: With what to save it as.
    """
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise InputError(
            f"{path}, an array of shape {shape}",
            "an image of 1, 3 or 4 channels",
            "save it as grey, RGB or RGBA, one page",
        )
    _check_type(path, dtype)


def check_finite(path: Path, pixels: Array, y: int = 0, x: int = 0) -> None:
    """Refuse NaN and infinity in the pixels ``(h, w, C)`` of a file, the first being ``(y, x)``.

    Raises:
        InputError: With their number and the place of the first.
    """
    if pixels.dtype.kind != "f":
        return
    bad = ~np.isfinite(pixels).all(axis=2)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path} with {int(bad.sum())} texels of NaN or infinity, the first at "
            f"(y={y + row}, x={x + column})",
            "finite values",
            "fill these texels in the program that wrote the file",
        )


def _check_type(path: Path, dtype: np.dtype) -> None:
    if dtype not in (np.uint8, np.uint16, np.float16, np.float32):
        raise InputError(
            f"{path} with {dtype} values",
            "8 or 16 bit integers, half or float",
            "save it at one of these depths",
        )


def _read_png(path: Path) -> Array:
    import imagecodecs

    data = path.read_bytes()
    _png_form(data)
    return imagecodecs.png_decode(data)


def _read_png_form(path: Path) -> tuple[tuple[int, int], np.dtype]:
    with path.open("rb") as file:
        return _png_form(file.read(25))


def _png_form(data: bytes) -> tuple[tuple[int, int], np.dtype]:
    """From the 25 bytes that end with the bit depth; what has fewer bits is read as 8."""
    if len(data) < 25 or data[12:16] != b"IHDR":
        raise ValueError("it has no PNG header")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    _check_header(width, height)
    return (height, width), np.dtype("u2" if data[24] == 16 else "u1")


def _check_header(width: int, height: int) -> None:
    if max(width, height) > _LARGEST_SIDE:
        raise ValueError(f"its header says {width}x{height}, above {_LARGEST_SIDE} a side")


def _read_jpeg(path: Path) -> Array:
    import imagecodecs

    data = path.read_bytes()
    # The decoder pads a truncated file with grey, without a word.
    if _JPEG_END not in data[_jpeg_scan(data) :]:
        raise ValueError("it is truncated: it has no end-of-image marker")
    pixels = imagecodecs.jpeg_decode(data)
    if pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] == 4):
        raise ValueError("it is CMYK, or has more than 8 bits")
    return pixels


def _jpeg_scan(data: bytes) -> int:
    """Where the first scan starts: a thumbnail before it has an end-of-image marker too."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == _JPEG_SCAN:
            return at
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError("it holds no image")


def _read_tiff(path: Path) -> Array:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = tiff_page(file)
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def tiff_page(file: Any) -> Any:
    """The first page of a `tifffile.TiffFile`, once its directory says what a map may be.

    Raises:
        ValueError: If it does not.
    """
    import tifffile

    page = file.pages[0]
    _check_header(page.imagewidth, page.imagelength)
    photometric = tifffile.PHOTOMETRIC(page.photometric)
    if photometric not in (
        tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR
    ):  # fmt: skip
        raise ValueError(f"its colours are {photometric.name}, neither grey nor RGB")
    if page.bitspersample not in (8, 16, 32, 64):  # 12 bits would read as dark 16
        raise ValueError(f"it has {page.bitspersample} bits per channel")
    return page


def _read_tiff_form(path: Path) -> tuple[tuple[int, int], np.dtype]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        _check_header(page.imagewidth, page.imagelength)
        return (page.imagelength, page.imagewidth), np.dtype(page.dtype)


def _read_exr(path: Path) -> Array:
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        if not file.parts:  # what it makes of pixels that it cannot read
            raise ValueError("its pixels are damaged or cut short")
        channels = {name: channel.pixels for name, channel in file.channels().items()}
    if len(channels) == 1:
        return next(iter(channels.values()))
    for names in ("RGBA", "RGB", "XYZ", "xyz", "YA"):
        if names in channels:  # the binding has joined them
            return channels[names]
        if all(name in channels for name in names):
            return np.stack([channels[name] for name in names], axis=-1)
    raise ValueError(f"its channels {sorted(channels)} are neither RGB(A), XYZ nor one")


def _read_hdr(path: Path) -> Array:
    """Radiance RGBE, rows from the top; as float32."""
    import imagecodecs

    data = path.read_bytes()
    size = re.search(rb"\n-Y (\d+) \+X (\d+)\n", data[:_HDR_HEADER])
    if size is None:
        raise ValueError("it has no Radiance header, or its rows do not run from the top left")
    height, width = (int(side) for side in size.groups())
    _check_header(width, height)
    return imagecodecs.rgbe_decode(data)


_READERS = {
    ".png": _read_png,
    ".jpg": _read_jpeg,
    ".jpeg": _read_jpeg,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".exr": _read_exr,
    ".hdr": _read_hdr,
}
_FORMS = {".png": _read_png_form, ".tif": _read_tiff_form, ".tiff": _read_tiff_form}


def write_image(path: Path, pixels: Array) -> None:
    """Write a PNG (uint8, uint16) or EXR (float16, float32) whole, then rename it into place.

    Args:
        path: Ends in ``.png`` or ``.exr``.
        pixels: ``(H, W, C)``, C in 1, 3, 4.

    Raises:
        FailureError: If the disk refuses; nothing is left under ``path`` or beside it.
    """
    with whole_file(path) as partial:
        if path.suffix.lower() == ".png":
            partial.write_bytes(encode_png(pixels))
        else:
            _write_exr(partial, pixels)


def encode_png(pixels: Array, level: int = 1) -> bytes:
    """PNG bytes of ``(H, W, C)`` uint8 or uint16, C in 1, 3, 4."""
    import imagecodecs

    grey = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(grey), level=level))


def _write_exr(path: Path, pixels: Array) -> None:
    import OpenEXR

    name = {1: "Y", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    values = np.ascontiguousarray(pixels[..., 0] if name == "Y" else pixels)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    try:
        OpenEXR.File(header, {name: values}).write(str(path))
    except RuntimeError as error:  # what the binding makes of a failed write
        raise OSError(str(error)) from error


def partial_path(path: Path) -> Path:
    """The temporary name under which a file is written until it is whole."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to; renamed to ``path`` at the end, or removed if that fails.

    Raises:
        FailureError: If the disk refuses.
    """
    partial = partial_path(path)
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise disk_failure(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; renamed to ``path`` at the end, or removed if that fails.

    Raises:
        InputError: If ``path`` is there and not an empty folder.
        FailureError: If the disk refuses.
    """
    path = path.resolve()
    partial = partial_path(path)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(
                f"{path}, which exists", "a new or empty folder", "name another folder"
            )
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if path.exists():
            path.rmdir()
        os.replace(partial, path)
    except OSError as error:
        raise disk_failure(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def disk_failure(path: Path, error: OSError) -> FailureError:
    """What a refused write means to the user."""
    return FailureError(
        f"writing {path} failed: {error}",
        "a writable folder with room for the maps",
        "free some space or choose another output folder; nothing was left half-written",
    )
