import threading
import tracemalloc

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.maps import images
from realface.maps.files import read_image, write_image
from realface.maps.images import open_image
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS
from realface.maps.record import default_record
from tests.maps.conftest import pixels

LAYOUTS = {
    "one piece": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "packed tiles": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "packed strips": {"rowsperstrip": 5, "compression": "zstd", "predictor": True},
    "one packed strip": {"rowsperstrip": 900, "compression": "lzw"},
    "jpeg": {"tile": (16, 16), "compression": "jpeg"},
}


def write_tiff(path, image, **layout):
    grey = image.shape[2] == 1
    extra = {"extrasamples": ["unassalpha"]} if image.shape[2] in (2, 4) else {}
    tifffile.imwrite(
        path,
        image[..., 0] if grey else image,
        photometric="minisblack" if image.shape[2] < 3 else "rgb",
        **extra,
        **layout,
    )


def crop(image, window):
    y, x, height, width = window
    return image[y : y + height, x : x + width]


def draw_window(data, height, width):
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    return (
        data.draw(st.integers(0, height - rows)), data.draw(st.integers(0, width - columns)),
        rows, columns,
    )  # fmt: skip


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(LAYOUTS)), st.sampled_from(["uint8", "uint16", "float16", "float32"]),
    st.sampled_from([1, 2, 3, 4]), st.sampled_from("<>"), st.integers(1, 70), st.integers(1, 70),
    st.data(),
)  # fmt: skip
def test_windows_are_crops_of_the_whole(
    tmp_path, layout, dtype, channels, byteorder, height, width, data
):
    if layout == "jpeg" and (dtype != "uint8" or channels in (2, 4)):
        return
    path = tmp_path / "map.tif"
    write_tiff(path, pixels(height, width, channels, dtype), byteorder=byteorder, **LAYOUTS[layout])
    image, whole = open_image(path), read_image(path)
    assert image.shape == whole.shape
    for _ in range(3):
        window = draw_window(data, height, width)
        found = image.read(*window)
        assert found.dtype == whole.dtype
        np.testing.assert_array_equal(found, crop(whole, window))


def test_planes_and_other_formats_are_read_whole(tmp_path):
    image = pixels(20, 30, 3, "uint16")
    planes = np.moveaxis(image, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig="separate", photometric="rgb")
    write_image(tmp_path / "a.png", image)
    for name in ("a.tif", "a.png"):
        found = open_image(tmp_path / name).read(3, 4, 5, 6)
        np.testing.assert_array_equal(found, image[3:8, 4:10])


def test_tiles_that_were_never_written_are_zero(tmp_path):
    tiles = (tile for tile in (np.full((16, 16), 7, "u1"), None))
    tifffile.imwrite(tmp_path / "a.tif", tiles, shape=(16, 32), dtype="u1", tile=(16, 16))
    assert open_image(tmp_path / "a.tif").read(0, 0, 16, 32).sum() == 7 * 256


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_file_that_is_cut_short_is_refused_when_it_is_opened(tmp_path, layout):
    path = tmp_path / "map.tif"
    write_tiff(path, pixels(64, 80, 3, "uint8"), **LAYOUTS[layout])
    data = path.read_bytes()
    for left in (len(data) - 1, len(data) // 2, 300, 7, 0):
        path.write_bytes(data[:left])
        with pytest.raises(InputError, match="cannot be decoded") as caught:
            open_image(path)
        assert caught.value.expected == "a whole TIF file"


def test_damage_inside_is_met_by_the_window_that_reads_it(tmp_path):
    path = tmp_path / "map.tif"
    write_tiff(path, pixels(64, 64, 3, "uint16"), tile=(32, 32), compression="zlib")
    with tifffile.TiffFile(path) as file:
        at, length = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * length)
    image = open_image(path)
    image.read(0, 0, 32, 64)
    with pytest.raises(InputError, match="cannot be decoded"):
        image.read(0, 0, 33, 33)


@pytest.mark.parametrize("layout", ["one piece", "packed tiles"])
def test_nan_is_named_by_its_texel_of_the_map(tmp_path, layout):
    image = pixels(64, 50, 3, "float32")
    image[40, 30, 1] = np.nan
    write_tiff(tmp_path / "a.tif", image, **LAYOUTS[layout])
    opened = open_image(tmp_path / "a.tif")
    opened.read(0, 0, 40, 50)
    with pytest.raises(InputError, match=r"1 texels of NaN.*\(y=40, x=30\)"):
        opened.read(35, 20, 20, 20)


def test_channels_and_types_that_no_map_has(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels(8, 8, 5, "uint8"), photometric="minisblack",
                     planarconfig="contig")  # fmt: skip
    with pytest.raises(InputError, match="1, 3 or 4 channels"):
        open_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((8, 8), "u4"))
    with pytest.raises(InputError, match="uint32"):
        open_image(tmp_path / "b.tif")


def test_a_file_may_be_replaced_and_that_is_said(tmp_path):
    path = tmp_path / "map.tif"
    write_tiff(path, pixels(64, 64, 3, "uint8"), tile=(32, 32))
    image = open_image(path)
    image.read(0, 0, 8, 8)
    write_tiff(path, pixels(64, 65, 3, "uint8"), tile=(32, 32))
    with pytest.raises(InputError, match="changed while it was read"):
        image.read(0, 0, 8, 8)
    path.unlink()
    with pytest.raises(InputError, match="cannot be decoded"):
        image.read(0, 0, 8, 8)


@pytest.mark.parametrize("layout", ["packed tiles", "packed strips"])
def test_windows_row_by_row_decode_each_tile_once(tmp_path, layout):
    """With overlap both ways, and a height that many rows of windows make up."""
    path = tmp_path / "map.tif"
    write_tiff(path, pixels(400, 200, 3, "uint8"), **LAYOUTS[layout])
    image, decoded = open_image(path), []
    decode = image._decode
    image._decode = lambda data, index: decoded.append(index) or decode(data, index)
    for y in range(0, 400 - 64 + 1, 48):
        for x in range(0, 200 - 40 + 1, 40):
            image.read(max(y - 8, 0), max(x - 8, 0), 64, 40)
    assert len(decoded) == len(set(decoded))


def test_what_is_kept_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_HELD", 20 * 32 * 16)
    path = tmp_path / "map.tif"
    write_tiff(path, pixels(320, 640, 1, "uint8"), **LAYOUTS["packed tiles"])
    image = open_image(path)
    for y in range(0, 320, 32):
        for x in range(0, 640, 64):
            image.read(y, x, 32, 64)
            assert len(image._segments) <= 20
    image.read(0, 0, 320, 640)  # one window alone may touch more
    assert len(image._segments) == 400


@pytest.mark.parametrize("layout", ["one piece", "packed tiles", "packed strips"])
def test_memory_does_not_grow_with_the_height(tmp_path, layout):
    def peak(height):
        path = tmp_path / f"{height}.tif"
        write_tiff(path, np.zeros((height, 512, 3), "u2"), **LAYOUTS[layout])
        image = open_image(path)
        tracemalloc.start()
        for y in range(0, height, 128):
            image.read(y, 0, 128, 512)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(2048) < 1.1 * peak(512) + 50_000


def test_threads_share_an_image(tmp_path):
    path = tmp_path / "map.tif"
    image = pixels(200, 200, 3, "uint16")
    write_tiff(path, image, **LAYOUTS["packed tiles"])
    opened, wrong = open_image(path), []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            window = (*rng.integers(0, 150, 2), *rng.integers(1, 50, 2))
            if not np.array_equal(opened.read(*window), crop(image, window)):
                wrong.append(window)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("kind", ["mask", "texture"])
def test_channels_are_converted_window_by_window_as_in_one(tmp_path, caplog, kind):
    image = np.abs(pixels(40, 40, 4, "float32")) / 50
    image[:20, :, :3] = image[:20, :, :1]
    image[:30, :, 3] = 1.0
    write_tiff(tmp_path / "a.tif", image, tile=(16, 16))
    file = MapFile(tmp_path / "a.tif", KINDS[kind], default_record(kind, "a.tif", 40, 40, 32))
    file.read(0, 0, 20, 40)
    assert caplog.text == ""
    whole = file.whole()
    for y in range(0, 40, 10):
        torch.testing.assert_close(file.read(y, 5, 10, 10), whole[:, y : y + 10, 5:15])
    assert caplog.text.count("alpha channel is left out") == 1
    assert caplog.text.count("coloured") == (1 if kind == "mask" else 0)
