"""A TIFF whose writing stopped goes on from its finished tiles."""

import random
import signal
import struct
import subprocess
import sys
import time
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.errors import FailureError
from realface.maps import writers
from realface.maps.files import partial_path, read_image
from tests.maps.conftest import only_file
from tests.maps.test_io import values_of, windows
from tests.maps.test_tiff_writer import write_all, writer

HEIGHT, WIDTH = 700, 600  # 3 x 3 tiles
PLACES = windows(HEIGHT, WIDTH, 200, 310)


@cache
def values():
    return values_of("diffuse_albedo", HEIGHT, WIDTH)


@cache
def expected():
    return (values() * 65535).round().permute(1, 2, 0).numpy()


def job(path, name="one", **form):
    return writer(path, "diffuse_albedo", HEIGHT, WIDTH, job=name, **form)


def stop_after(path, count, places=PLACES, error=KeyboardInterrupt):
    with pytest.raises(error), job(path) as sink:  # noqa: PT012
        write_all(sink, values(), places[:count])
        raise error


def go_on(path, places=PLACES):
    """Write what is not there, as the engine does; returns the windows that were."""
    with job(path) as sink:
        there = [place for place in places if sink.has(*place)]
        write_all(sink, values(), [place for place in places if place not in there])
    np.testing.assert_array_equal(read_image(path), expected())
    assert only_file(path.parent) == [path.name]
    return there


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(PLACES)), st.randoms(use_true_random=False), st.booleans())
def test_what_is_finished_is_not_asked_for_again(tmp_path, count, rng, again):
    places = rng.sample(PLACES, len(PLACES))
    stop_after(tmp_path / "map.tif", count, places)
    assert only_file(tmp_path) == [".map.tif.partial"]
    if again:
        stop_after(tmp_path / "map.tif", 0)
    there = go_on(tmp_path / "map.tif", places)
    assert set(there) <= set(places[:count])
    assert len(there) == len(PLACES) or count < len(PLACES)
    (tmp_path / "map.tif").unlink()


def test_a_window_is_there_when_all_its_tiles_are(tmp_path):
    path = tmp_path / "map.tif"
    stop_after(path, 1, [(0, 0, 300, 520)])
    with pytest.raises(ZeroDivisionError), job(path) as sink:  # noqa: PT012
        assert sink.has(0, 0, 256, 512)
        assert sink.has(10, 200, 100, 100)
        assert not sink.has(0, 0, 257, 10)
        assert not sink.has(0, 0, 10, 513)
        # Beside what is there a window may be written whole: what it has in common is passed over.
        sink.write(0, 0, torch.zeros(3, 256, 600))
        raise ZeroDivisionError
    with job(path) as sink:
        assert sink.has(0, 0, 256, 600)
        write_all(sink, values(), [(256, 0, HEIGHT - 256, WIDTH)])
    np.testing.assert_array_equal(read_image(path)[:256, :512], expected()[:256, :512])
    assert (read_image(path)[:256, 512:] == 0).all()


@pytest.mark.parametrize("change", [{"name": "two"}, {"name": None}, {"bits": 8},
                                    {"compression": "zstd"}])  # fmt: skip
def test_the_rest_of_another_job_is_discarded(tmp_path, change):
    path = tmp_path / "map.tif"
    stop_after(path, len(PLACES))
    with job(path, **change) as sink:
        assert not any(sink.has(*place) for place in PLACES)
        write_all(sink, values(), PLACES)
    assert only_file(tmp_path) == ["map.tif"]


def test_any_rubbish_under_the_hidden_name_is_discarded(tmp_path):
    for rubbish in (b"", b"II*\0", bytes(100_000)):
        partial_path(tmp_path / "map.tif").write_bytes(rubbish)
        assert go_on(tmp_path / "map.tif") == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_torn_tail_and_a_damaged_byte_cost_their_tiles(tmp_path, data):
    path = tmp_path / "map.tif"
    stop_after(path, len(PLACES))
    spool = partial_path(path)
    whole = bytearray(spool.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole = whole[:at]
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
    spool.write_bytes(whole)
    go_on(path)
    path.unlink()


def test_one_damaged_tile_costs_no_other(tmp_path):
    path = tmp_path / "map.tif"
    places = windows(HEIGHT, WIDTH, 256, 256)
    stop_after(path, len(places), places)
    spool = partial_path(path)
    whole = bytearray(spool.read_bytes())
    whole[whole.index(struct.pack("<4sI", b"tile", 4)) + 500] ^= 1
    spool.write_bytes(whole)
    assert len(go_on(path, places)) == len(places) - 1


def test_a_stop_between_the_last_tile_and_the_name(tmp_path, monkeypatch):
    path = tmp_path / "map.tif"
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError("No space left on device")

        patch.setattr(writers.os, "replace", full)
        with pytest.raises(FailureError, match="No space left"), job(path) as sink:
            write_all(sink, values(), PLACES)
    assert go_on(path) == PLACES


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "map.tif"
    path.write_bytes(b"old")
    stop_after(path, 5, error=RuntimeError)
    assert path.read_bytes() == b"old"
    assert go_on(path)


KILLED = """
import sys
from pathlib import Path
from tests.maps.test_resume import PLACES, job, values
maps = values()
print("begun", flush=True)
with job(Path(sys.argv[1])) as sink:
    for y, x, h, w in PLACES:
        if not sink.has(y, x, h, w):
            sink.write(y, x, maps[:, y : y + h, x : x + w])
"""


def test_killed_at_any_moment(tmp_path):
    path, rng, left = tmp_path / "map.tif", random.Random(0), []
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            time.sleep(rng.random() * 0.15)
            process.kill()
        assert process.returncode in (0, -signal.SIGKILL)
        left.append(only_file(tmp_path))
        if path.exists():  # it was done before it was killed
            np.testing.assert_array_equal(read_image(path), expected())
            path.unlink()
    assert all(names in ([], [".map.tif.partial"], ["map.tif"]) for names in left)
    go_on(path)
