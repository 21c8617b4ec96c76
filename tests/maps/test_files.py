import errno
import os
import resource
import struct
import subprocess
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import OpenEXR
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.errors import FailureError, InputError
from realface.maps import files
from realface.maps.files import read_form, read_image, write_image
from tests.maps.conftest import only_file, pixels

DEPTHS = {".png": ("uint8", "uint16"), ".exr": ("float16", "float32")}


def refused(path, *words):
    """The three parts of the error that reading gives."""
    with pytest.raises(InputError) as caught:
        read_image(path)
    error = caught.value
    assert path.name in error.given
    assert error.expected
    assert error.remedy
    for word in words:
        assert word in str(error)
    return error


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("suffix", "dtype"), [(s, d) for s, all_ in DEPTHS.items() for d in all_])
def test_written_images_come_back_bit_by_bit(tmp_path, suffix, dtype, channels):
    image = pixels(37, 41, channels, dtype)
    write_image(tmp_path / f"map{suffix}", image)
    back = read_image(tmp_path / f"map{suffix}")
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, image)
    assert only_file(tmp_path) == [f"map{suffix}"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]))
def test_any_size(tmp_path, height, width, channels):
    for suffix, dtypes in DEPTHS.items():
        image = pixels(height, width, channels, dtypes[-1])
        write_image(tmp_path / f"map{suffix}", image)
        np.testing.assert_array_equal(read_image(tmp_path / f"map{suffix}"), image)


def test_sixteen_bits_stay_sixteen_and_red_stays_red(tmp_path):
    """Pillow would cut this to 8 bits, and OpenCV turns red to blue."""
    image = np.zeros((4, 4, 3), np.uint16)
    image[..., 0] = 257 * 17 + 1
    write_image(tmp_path / "map.png", image)
    theirs = cv2.imread(str(tmp_path / "map.png"), cv2.IMREAD_UNCHANGED)
    assert theirs.dtype == np.uint16
    assert (theirs[..., 2] == 257 * 17 + 1).all()
    assert (read_image(tmp_path / "map.png")[..., 0] == 257 * 17 + 1).all()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("compression", [None, "zlib", "zstd", "lzw"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_tiff(tmp_path, dtype, compression, tile, byteorder):
    for channels in (1, 3, 4):
        image = pixels(33, 47, channels, dtype)
        tifffile.imwrite(
            tmp_path / "map.tif",
            image[..., 0] if channels == 1 else image,
            tile=tile,
            compression=compression,
            predictor=compression is not None,
            byteorder=byteorder,
            photometric="minisblack" if channels == 1 else "rgb",
        )
        back = read_image(tmp_path / "map.tif")
        assert back.dtype == dtype
        np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("channels", [3, 4])
def test_planar_tiff(tmp_path, channels):
    image = pixels(20, 30, channels, "uint16")
    tifffile.imwrite(
        tmp_path / "map.tiff",
        np.moveaxis(image, -1, 0),
        planarconfig="separate",
        photometric="rgb",
    )
    np.testing.assert_array_equal(read_image(tmp_path / "map.tiff"), image)


def test_grey_with_alpha_becomes_rgba(tmp_path):
    image = pixels(8, 9, 2, "uint16")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image))
    tifffile.imwrite(
        tmp_path / "a.tif", image, photometric="minisblack", extrasamples=["unassalpha"]
    )
    _exr(tmp_path / "a.exr", Y=image[..., 0].astype("f4"), A=image[..., 1].astype("f4"))
    for name in ("a.png", "a.tif", "a.exr"):
        back = read_image(tmp_path / name)
        np.testing.assert_array_equal(back, image[..., [0, 0, 0, 1]])


def test_jpeg_and_what_may_surround_it(tmp_path):
    image = np.full((32, 48, 3), (200, 100, 50), np.uint8)
    data = imagecodecs.jpeg_encode(image, level=95)
    (tmp_path / "map.JPG").write_bytes(data + b"\0" * 500)  # as some cameras do
    assert np.abs(read_image(tmp_path / "map.JPG").astype(int) - image).max() <= 3
    (tmp_path / "grey.jpeg").write_bytes(imagecodecs.jpeg_encode(image[..., 0].copy()))
    assert read_image(tmp_path / "grey.jpeg").shape == (32, 48, 1)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data
    (tmp_path / "cut.jpg").write_bytes(data[:2] + thumbnail + data[2:-10])
    refused(tmp_path / "cut.jpg", "truncated")
    (tmp_path / "cmyk.jpg").write_bytes(
        imagecodecs.jpeg_encode(pixels(8, 8, 4, "uint8"), colorspace="CMYK", outcolorspace="CMYK")
    )
    refused(tmp_path / "cmyk.jpg", "CMYK")


def _exr(path, **channels):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


def test_exr_channels(tmp_path):
    a, b, c, d = (pixels(6, 7, 1, "float32", seed)[..., 0] for seed in range(4))
    _exr(tmp_path / "xyz.exr", X=a, Y=b, Z=c)
    np.testing.assert_array_equal(read_image(tmp_path / "xyz.exr"), np.dstack((a, b, c)))
    _exr(tmp_path / "rgbz.exr", R=a, G=b, B=c, Z=d)
    np.testing.assert_array_equal(read_image(tmp_path / "rgbz.exr"), np.dstack((a, b, c)))
    _exr(tmp_path / "z.exr", Z=a)
    np.testing.assert_array_equal(read_image(tmp_path / "z.exr"), a[..., None])
    _exr(tmp_path / "rg.exr", R=a, G=b)
    refused(tmp_path / "rg.exr", "'G', 'R'")
    _exr(tmp_path / "id.exr", id=np.ones((4, 4), np.uint32))
    refused(tmp_path / "id.exr", "uint32")


def test_radiance_hdr(tmp_path):
    image = np.abs(pixels(8, 16, 3, "float32"))
    data = imagecodecs.rgbe_encode(image, header=True)
    (tmp_path / "sky.hdr").write_bytes(data)
    back = read_image(tmp_path / "sky.hdr")
    assert back.dtype == np.float32
    # Eight bits of mantissa, of the brightest channel.
    assert (np.abs(back - image) <= image.max(axis=2, keepdims=True) / 128).all()
    assert read_form(tmp_path / "sky.hdr") == ((8, 16), np.float32)
    (tmp_path / "cut.hdr").write_bytes(data[:-5])
    refused(tmp_path / "cut.hdr", "cannot be decoded")
    (tmp_path / "text.hdr").write_text("hello")
    refused(tmp_path / "text.hdr", "header")
    (tmp_path / "huge.hdr").write_bytes(data.replace(b"-Y 8 +X 16", b"-Y 8 +X 99999999"))
    refused(tmp_path / "huge.hdr", "99999999x8")
    (tmp_path / "turned.hdr").write_bytes(data.replace(b"-Y 8", b"+Y 8"))
    refused(tmp_path / "turned.hdr", "top left")


def test_nan_is_named_by_texel(tmp_path):
    image = pixels(9, 11, 3, "float32")
    image[4, 7, 1] = np.nan
    image[8, 0, 2] = np.inf
    write_image(tmp_path / "shape.exr", image)
    tifffile.imwrite(tmp_path / "shape.tif", image, photometric="rgb")
    for name in ("shape.exr", "shape.tif"):
        assert "2 texels of NaN or infinity, the first at (y=4, x=7)" in str(
            refused(tmp_path / name)
        )


@settings(max_examples=25)
@given(st.sampled_from([".png", ".jpg", ".tif", ".exr", "zlib", "zstd"]), st.floats(0, 0.98))
def test_truncated_files_are_refused(tmp_path_factory, kind, share):
    folder = tmp_path_factory.mktemp("cut")
    path = folder / f"map{kind if kind[0] == '.' else '.tif'}"
    image = pixels(64, 80, 3, "uint16")
    if kind == ".exr":
        write_image(path, image.astype("f4"))
    elif path.suffix == ".tif":
        tifffile.imwrite(
            path, image, compression=None if kind == ".tif" else kind, photometric="rgb"
        )
    elif kind == ".png":
        write_image(path, image)
    else:
        path.write_bytes(imagecodecs.jpeg_encode((image >> 8).astype("u1")))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path)


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from([".png", ".jpg", ".tif", ".exr"]), st.booleans())
def test_rubbish_is_refused(tmp_path_factory, rubbish, suffix, headed):
    magic = {
        ".png": b"\x89PNG\r\n\x1a\n",
        ".jpg": b"\xff\xd8",
        ".tif": b"II*\0",
        ".exr": b"v/1\1\2\0\0\0",
    }
    path = tmp_path_factory.mktemp("rubbish") / f"map{suffix}"
    path.write_bytes((magic[suffix] if headed else b"") + rubbish)
    refused(path)


def _png(width, height):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b""))
    )


def test_absurd_headers_take_no_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "map.png").write_bytes(_png(2**31 - 1, 2**31 - 1))
    refused(tmp_path / "map.png", "2147483647x2147483647")
    tifffile.imwrite(tmp_path / "map.tif", np.zeros((70000, 1), np.uint8))
    refused(tmp_path / "map.tif", "1x70000")
    _exr(tmp_path / "map.exr", Y=np.zeros((5, 5), np.float32))
    data = (tmp_path / "map.exr").read_bytes()
    at = data.find(b"dataWindow\0box2i\0") + 21
    for side in (60_000, 1 << 30):
        window = struct.pack("<iiii", 0, 0, side, side)
        (tmp_path / "map.exr").write_bytes(data[:at] + window + data[at + 16 :])
        refused(tmp_path / "map.exr")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_too_little_memory_is_a_failure(tmp_path, monkeypatch):
    (tmp_path / "map.png").write_bytes(_png(30_000, 30_000))

    def starved(data):
        raise MemoryError("Unable to allocate 5.0 GiB")

    monkeypatch.setattr(imagecodecs, "png_decode", starved)
    with pytest.raises(FailureError, match=r"Unable to allocate 5.0 GiB"):
        read_image(tmp_path / "map.png")


def test_what_is_no_image(tmp_path):
    refused(tmp_path / "missing.png", "no file")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "no file")
    for name, word in (("map.bmp", ".bmp"), ("map", "suffixless")):
        (tmp_path / name).write_bytes(b"hello")
        refused(tmp_path / name, word, ".tiff")
    (tmp_path / "text.png").write_text("hello")
    refused(tmp_path / "text.png", "PNG")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_input_error(tmp_path):
    write_image(tmp_path / "map.png", pixels(4, 4, 1, "uint8"))
    (tmp_path / "map.png").chmod(0)
    refused(tmp_path / "map.png", "Permission denied")


def test_depths_and_colours_that_would_be_misread(tmp_path):
    image = pixels(8, 8, 1, "uint8")[..., 0]
    tifffile.imwrite(tmp_path / "deep.tif", image.astype("u4"))
    refused(tmp_path / "deep.tif", "uint32")
    tifffile.imwrite(tmp_path / "twelve.tif", image.astype("u2") * 16, bitspersample=12)
    refused(tmp_path / "twelve.tif", "12 bits")
    tifffile.imwrite(tmp_path / "cmyk.tif", pixels(8, 8, 4, "uint8"), photometric="separated")
    refused(tmp_path / "cmyk.tif", "SEPARATED")
    tifffile.imwrite(tmp_path / "white.tif", image, photometric="miniswhite")
    refused(tmp_path / "white.tif", "MINISWHITE")


@pytest.mark.parametrize("suffix", [".png", ".exr"])
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_the_old_file_or_nothing(tmp_path, monkeypatch, suffix, there):
    path = tmp_path / f"map{suffix}"
    dtype = DEPTHS[suffix][-1]
    old = pixels(8, 8, 3, dtype)
    if there:
        write_image(path, old)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(FailureError, match="No space left"):
        write_image(path, pixels(8, 8, 3, dtype, seed=1))
    assert only_file(tmp_path) == ([path.name] if there else [])
    if there:
        np.testing.assert_array_equal(read_image(path), old)


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from realface.errors import FailureError
from realface.maps.files import write_image
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
folder = Path(sys.argv[1])
noise = np.random.default_rng(0).random((200, 200, 3), np.float32)
for name, image in (("a.png", (noise * 65535).astype("u2")), ("a.exr", noise)):
    try:
        write_image(folder / name, image)
    except FailureError as error:
        assert not list(folder.iterdir()), list(folder.iterdir())
    else:
        sys.exit(f"{name} was written")
"""


def test_a_real_limit_of_the_system(tmp_path):
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True, timeout=60)


def test_interrupted_and_impossible_writes_leave_nothing(tmp_path, monkeypatch):
    with pytest.raises(FailureError):
        write_image(tmp_path / "no-folder" / "map.png", pixels(4, 4, 3, "uint8"))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "encode_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "map.png", pixels(4, 4, 3, "uint8"))
    assert only_file(tmp_path) == []
