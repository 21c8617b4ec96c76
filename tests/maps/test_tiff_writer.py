import errno
import resource
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.errors import FailureError
from realface.maps.files import read_image
from realface.maps.kinds import KINDS
from realface.maps.record import default_record
from realface.maps.writers import TiffWriter
from tests.maps.conftest import only_file
from tests.maps.test_io import values_of, windows


def writer(path, kind, height, width, bits=16, compression="zlib"):
    record = default_record(kind, path.name, height, width, bits)
    return TiffWriter(path, KINDS[kind], record, compression)


def write_all(sink, values, places):
    for y, x, h, w in places:
        sink.write(y, x, values[:, y : y + h, x : x + w])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["diffuse_albedo", "specular_albedo"]),
    st.integers(1, 600), st.integers(1, 600), st.integers(40, 600), st.integers(40, 600),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_windows_in_any_order(tmp_path, kind, height, width, rows, columns, rng):
    values = values_of(kind, height, width)
    places = windows(height, width, rows, columns)
    rng.shuffle(places)
    path = tmp_path / "map.tif"
    with writer(path, kind, height, width) as sink:
        write_all(sink, values, places)
    expected = (values * 65535).round().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(read_image(path), expected)
    assert only_file(tmp_path) == ["map.tif"]
    path.unlink()


@pytest.mark.parametrize("compression", ["zlib", "zstd", "none"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["diffuse_albedo", "specular_albedo"])
def test_every_program_can_read_it(tmp_path, kind, bits, compression):
    values = values_of(kind, 300, 520)
    path = tmp_path / "map.tif"
    with writer(path, kind, 300, 520, bits, compression) as sink:
        sink.write(0, 0, values)
    expected = (values * (2**bits - 1)).round().permute(1, 2, 0).numpy()
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.is_tiled
        assert (page.tilelength, page.tilewidth) == (256, 256)
        assert page.predictor == (1 if compression == "none" else 2)
        assert page.bitspersample == bits
        assert kind in page.description
        np.testing.assert_array_equal(page.asarray().reshape(expected.shape), expected)
    if compression != "zstd":  # OpenCV's libtiff comes without
        theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        theirs = theirs[..., None] if theirs.ndim == 2 else theirs[..., ::-1]
        np.testing.assert_array_equal(theirs, expected)


def test_memory_does_not_grow_with_the_height(tmp_path):
    """From top to bottom, only the rows of tiles that are not yet full are held."""
    height, held = 256 * 30, []
    with writer(tmp_path / "map.tif", "mask", height, 64) as sink:
        for y in range(0, height, 100):
            sink.write(y, 0, torch.ones(1, min(100, height - y), 64))
            held.append(len(sink._open_rows))
    assert max(held) <= 2
    assert sink._queue.maxsize == 2


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


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left"), ZeroDivisionError("odd")]
)
def test_an_error_in_the_thread_surfaces_and_never_waits(tmp_path, monkeypatch, fault):
    def failing(partial, tiles, **_):
        partial.write_bytes(b"half")
        next(iter(tiles))
        raise fault

    monkeypatch.setattr(tifffile, "imwrite", failing)
    expected = FailureError if isinstance(fault, OSError) else ZeroDivisionError
    with (  # noqa: PT012
        pytest.raises(expected, match=r"No space left|odd"),
        writer(tmp_path / "map.tif", "mask", 256 * 40, 64) as sink,
    ):
        for y in range(0, 256 * 40, 256):
            sink.write(y, 0, torch.ones(1, 256, 64))
    assert only_file(tmp_path) == []


def test_an_error_in_the_thread_surfaces_at_the_end(tmp_path, monkeypatch):
    def failing(partial, tiles, **_):
        list(tiles)
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(tifffile, "imwrite", failing)
    with (
        pytest.raises(FailureError, match="No space left"),
        writer(tmp_path / "map.tif", "mask", 200, 64) as sink,
    ):
        sink.write(0, 0, torch.ones(1, 200, 64))
    assert only_file(tmp_path) == []


def test_the_callers_own_error_is_the_one_that_is_seen(tmp_path, monkeypatch):
    def failing(partial, tiles, **_):
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(tifffile, "imwrite", failing)
    with pytest.raises(KeyboardInterrupt), writer(tmp_path / "map.tif", "mask", 200, 64):
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
