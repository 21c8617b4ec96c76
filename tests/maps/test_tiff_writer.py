import errno
import io
import resource
import subprocess
import sys
import threading
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.errors import FailureError
from realface.maps import growing_tiff, writers
from realface.maps.files import read_image
from realface.maps.images import open_image
from realface.maps.kinds import KINDS
from realface.maps.record import default_record
from realface.maps.writers import open_writer
from tests.maps.conftest import only_file
from tests.maps.test_io import values_of, windows


def writer(path, kind, height, width, bits=16, compression="zlib", job=None):
    record = default_record(kind, path.name, height, width, bits)
    return open_writer(path, kind, record, compression, job)


def write_all(sink, values, places):
    for y, x, h, w in places:
        sink.write(y, x, values[:, y : y + h, x : x + w])


def cut(draw, top, left, height, width):
    """Any division of a rectangle by cuts from side to side."""
    if max(height, width) > 1 and height * width > 40 and draw(st.integers(0, 3)):
        at = draw(st.integers(1, max(height, width) - 1))
        if height >= width:
            return [
                *cut(draw, top, left, at, width),
                *cut(draw, top + at, left, height - at, width),
            ]
        return [*cut(draw, top, left, height, at), *cut(draw, top, left + at, height, width - at)]
    return [(top, left, height, width)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["diffuse_albedo", "specular_albedo"]), st.sampled_from([8, 16]),
    st.sampled_from(["zlib", "zstd", "none"]), st.integers(1, 600), st.integers(1, 600), st.data(),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_windows_in_any_order(tmp_path, kind, bits, compression, height, width, data, rng):
    values = values_of(kind, height, width)
    places = cut(data.draw, 0, 0, height, width)
    rng.shuffle(places)
    path = tmp_path / "map.tif"
    with writer(path, kind, height, width, bits, compression) as sink:
        assert not sink.has(0, 0, 1, 1)
        write_all(sink, values, places)
    expected = (values * (2**bits - 1)).round().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(open_image(path).read(0, 0, height, width), expected)
    assert only_file(tmp_path) == ["map.tif"]
    path.unlink()


@pytest.mark.parametrize("compression", ["zlib", "zstd", "none"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["diffuse_albedo", "specular_albedo"])
@pytest.mark.parametrize("size", [(300, 520), (256, 256), (1, 1)])
def test_every_program_can_read_it(tmp_path, kind, bits, compression, size):
    values = values_of(kind, *size)
    path = tmp_path / "map.tif"
    with writer(path, kind, *size, bits, compression) as sink:
        sink.write(0, 0, values)
    expected = (values * (2**bits - 1)).round().permute(1, 2, 0).numpy()
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.is_tiled
        assert (page.tilelength, page.tilewidth) == (256, 256)
        assert page.predictor == (1 if compression == "none" else 2)
        assert page.bitspersample == bits
        assert kind in page.description
        assert page.software == "realface"
        assert page.photometric == (2 if KINDS[kind].channels == 3 else 1)
        np.testing.assert_array_equal(page.asarray().reshape(expected.shape), expected)
    if compression != "zstd":  # OpenCV's libtiff comes without
        theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        theirs = theirs[..., None] if theirs.ndim == 2 else theirs[..., ::-1]
        np.testing.assert_array_equal(theirs, expected)


def test_only_tiles_along_the_rim_are_held(tmp_path):
    """A column of windows of a tall map; then windows that no tile's edge agrees with."""
    height, held = 256 * 30, []
    with writer(tmp_path / "map.tif", "mask", height, 600) as sink:
        for y in range(0, height, 100):
            for x in range(0, 600, 150):
                sink.write(y, x, torch.ones(1, min(100, height - y), 150))
                held.append(len(sink._begun))
    assert max(held) <= 2 * 3


def test_memory_does_not_grow_with_the_height(tmp_path):
    def peak(height):
        with writer(tmp_path / "map.tif", "mask", height, 512) as sink:
            tracemalloc.start()
            for y in range(0, height, 128):
                sink.write(y, 0, torch.ones(1, 128, 512))
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    peak(512)
    assert peak(256 * 100) < writers._QUEUED + 4 * peak(512)


def test_the_caller_waits_when_too_much_is_queued_and_not_before(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_QUEUED", 3 * 256 * 256 * 2)
    gate, written = threading.Event(), []
    monkeypatch.setattr(writers, "encode_tile", lambda *_: gate.wait(60) and b"tile")

    def write():
        with writer(tmp_path / "map.tif", "mask", 256 * 6, 256) as sink:
            for y in range(0, 256 * 6, 256):
                sink.write(y, 0, torch.ones(1, 256, 256))
                written.append(y)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(0.5)
    assert len(written) == 3
    gate.set()
    thread.join(60)
    assert len(written) == 6


def test_the_same_windows_make_the_same_bytes(tmp_path):
    values = values_of("diffuse_albedo", 700, 900)
    for name in ("a.tif", "b.tif"):
        with writer(tmp_path / name, "diffuse_albedo", 700, 900) as sink:
            write_all(sink, values, windows(700, 900, 150, 333))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_large_map_is_a_bigtiff(tmp_path):
    """Its directory alone: the pixels would take 6 GiB."""
    for height, big in ((65536, True), (32768, False)):
        head = growing_tiff._directory((height, 16384, 3), np.dtype("u2"), "zlib", "")
        assert (head[2] == 43) == big
        tiles = height // 256 * 64
        places = np.arange(tiles, dtype=np.uint64) + (2**33 if big else 2**31)
        filled = growing_tiff._filled_in(head, places, places % 1000)
        with tifffile.TiffFile(io.BytesIO(filled)) as file:
            assert list(file.pages[0].dataoffsets) == places.tolist()


def test_a_gap_names_the_file_and_leaves_nothing(tmp_path):
    threads = threading.active_count()
    sink = writer(tmp_path / "map.tif", "mask", 700, 300)
    with pytest.raises(FailureError, match=r"map.tif, of which a part was never written"), sink:  # noqa: PT012
        sink.write(0, 0, torch.ones(1, 300, 300))
        sink.write(301, 0, torch.ones(1, 399, 300))
    assert only_file(tmp_path) == []
    assert threading.active_count() == threads


def test_what_is_written_is_not_written_again(tmp_path):
    with (  # noqa: PT012
        pytest.raises(ValueError, match="written already"),
        writer(tmp_path / "map.tif", "mask", 600, 300) as sink,
    ):
        sink.write(0, 0, torch.ones(1, 300, 300))
        sink.write(200, 0, torch.ones(1, 100, 300))
    assert only_file(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_abort_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "map.tif"
    with writer(path, "mask", 600, 300) as sink:
        sink.write(0, 0, torch.ones(1, 600, 300))
    before = path.read_bytes()
    with pytest.raises(error), writer(path, "mask", 600, 300) as sink:  # noqa: PT012
        sink.write(0, 0, torch.zeros(1, 512, 300))
        raise error
    assert path.read_bytes() == before
    assert only_file(tmp_path) == ["map.tif"]


@pytest.mark.parametrize("job", [None, "one"])
@pytest.mark.parametrize("place", ["encode_tile", "GrowingTiff.add"])
@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left"), ZeroDivisionError("odd")]
)
def test_an_error_in_the_threads_surfaces_and_never_waits(tmp_path, monkeypatch, fault, place, job):
    def failing(*_):
        raise fault

    monkeypatch.setattr(f"realface.maps.writers.{place}", failing)
    monkeypatch.setattr(writers, "_QUEUED", 2 * 256 * 256 * 2)
    expected = FailureError if isinstance(fault, OSError) else ZeroDivisionError
    with (  # noqa: PT012
        pytest.raises(expected, match=r"No space left|odd"),
        writer(tmp_path / "map.tif", "mask", 256 * 40, 64, job=job) as sink,
    ):
        for y in range(0, 256 * 40, 256):
            sink.write(y, 0, torch.ones(1, 256, 64))
    assert only_file(tmp_path) == ([] if job is None else [".map.tif.partial"])


def test_an_error_in_the_threads_surfaces_at_the_end(tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(errno.ENOSPC, "No space left")

    for place in ("add", "finish"):
        monkeypatch.setattr(writers.GrowingTiff, place, failing)
        with (
            pytest.raises(FailureError, match="No space left"),
            writer(tmp_path / "map.tif", "mask", 200, 64) as sink,
        ):
            sink.write(0, 0, torch.ones(1, 200, 64))
        monkeypatch.undo()
        assert only_file(tmp_path) == []


def test_the_callers_own_error_is_the_one_that_is_seen(tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(writers.GrowingTiff, "add", failing)
    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "map.tif", "mask", 200, 64) as sink:  # noqa: PT012
        sink.write(0, 0, torch.ones(1, 200, 64))
        raise KeyboardInterrupt


def test_a_target_in_the_way_and_a_missing_folder_are_failures(tmp_path):
    (tmp_path / "map.tif").mkdir()
    for path in (tmp_path / "map.tif", tmp_path / "nowhere" / "map.tif"):
        with (
            pytest.raises(FailureError, match=r"map\.tif failed"),
            writer(path, "mask", 20, 30) as sink,
        ):
            sink.write(0, 0, torch.ones(1, 20, 30))
    assert only_file(tmp_path) == ["map.tif"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
import torch
from realface.errors import FailureError
from tests.maps.test_tiff_writer import writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
path = Path(sys.argv[1]) / "map.tif"
try:
    with writer(path, "diffuse_albedo", 2048, 256) as sink:
        for y in range(0, 2048, 128):
            sink.write(y, 0, torch.rand(3, 128, 256))
except FailureError as error:
    assert "File too large" in str(error), error
    assert not list(path.parent.iterdir())
else:
    sys.exit("it was written")
"""


def test_a_real_limit_of_the_system(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], check=True, timeout=120)
