"""Shards are written whole, alike on any number of cores, and go on after whatever stops them."""

import contextlib
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset

from realface.data.index import (
    INDEX_NAME,
    TABLE_NAME,
    Entry,
    parse_index,
    parse_table,
)
from realface.data.packing.statistics import measure, merge
from realface.data.packing.tar import TarWriter
from realface.data.packing.unfinished import Unfinished
from realface.data.packing.writing import (
    ShardPlan,
    _fingerprint,
    _make_shard,
    plan_shards,
    write_shards,
)
from realface.data.samples import read_patch, write_patch
from realface.errors import FailureError, InputError
from tests.data.packing.writing_run import (
    LONG,
    TERMS,
    dying,
    patch,
    plans,
    quick,
    refusing,
    starved,
    write,
)

ROOT = Path(__file__).parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def table_of(folder: Path) -> list[Entry]:
    index = parse_index((folder / INDEX_NAME).read_text(), str(folder))
    return parse_table((folder / TABLE_NAME).read_text(), str(folder), index)


def unfinished(out: Path) -> Path:
    """The folder of the one plan that is worked on."""
    (folder,) = (path for path in root(out).iterdir() if path.is_dir())
    return folder


def root(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Nine training and three validation patches, three a shard."""
    out = tmp_path_factory.mktemp("written") / "out"
    write(out)
    return out


def test_the_index_says_what_is_there(written):
    index = parse_index((written / INDEX_NAME).read_text(), str(written))
    assert index.samples == {"train": 9, "val": 3}
    assert index.kinds == ("diffuse_albedo", "mask")
    assert index.maps["diffuse_albedo"] == {
        "encoding": "srgb", "space": None, "green": None, "bits": [16]
    }  # fmt: skip
    assert index.terms == TERMS
    assert index.millimetres_per_texel == 6.5
    assert contents(written).keys() == {
        INDEX_NAME, TABLE_NAME, *(f"train-00000{n}.tar" for n in range(3)), "val-000000.tar"
    }  # fmt: skip
    for shard in index.shards:
        data = (written / shard.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard.bytes, shard.sha256)


def test_statistics_are_those_of_the_training_patches(written):
    index = parse_index((written / INDEX_NAME).read_text(), str(written))
    exact = merge(measure(patch(number).maps) for number in range(9))
    for kind, numbers in index.statistics.items():
        for name, values in exact[kind].summary().items():
            assert np.allclose(numbers[name], values, rtol=1e-12), (kind, name)


def test_samples_are_found_by_their_bytes_alone(written):
    for number, entry in enumerate(table_of(written)):
        data = (written / entry.shard).read_bytes()
        members = {m.name: data[m.offset : m.offset + m.size] for m in entry.members}
        assert [zlib.crc32(members[m.name]) for m in entry.members] == [
            m.crc32 for m in entry.members
        ]
        back, made = read_patch(members, entry.key), patch(number)
        assert (back.key, back.subject, back.y) == (made.key, made.subject, made.y)
        assert (entry.key, entry.subject) == (made.key, made.subject)
        assert torch.allclose(back.maps["diffuse_albedo"], made.maps["diffuse_albedo"], atol=1e-5)


def test_any_reader_of_tars_agrees(written):
    for shard in {entry.shard for entry in table_of(written)}:
        known = {
            f"{entry.key}.{member.name}": (member.offset, member.size)
            for entry in table_of(written)
            if entry.shard == shard
            for member in entry.members
        }
        with tarfile.open(written / shard) as tar:
            found = tar.getmembers()
        assert {info.name: (info.offset_data, info.size) for info in found} == known
        assert all(info.isfile() and info.mode == 0o644 for info in found)
        assert {(info.mtime, info.uid, info.gid, info.uname) for info in found} == {(0, 0, 0, "")}


@pytest.mark.parametrize("codec", ["npy", "png"])
def test_a_stock_webdataset_reads_them(tmp_path, codec):
    write(tmp_path / "out", codec=codec)
    url = (tmp_path / "out" / "train-000001.tar").as_uri()
    samples = list(webdataset.WebDataset(url, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["0003", "0004", "0005"]
    for number, sample in enumerate(samples, 3):
        members = write_patch(patch(number), codec)
        assert {name: sample[name] for name in members} == members


def test_processes_make_the_same_bytes(written, tmp_path):
    told = []
    write(tmp_path / "out", workers=2, progress=lambda *step: told.append(step))
    assert contents(tmp_path / "out") == contents(written)
    assert told[-1] == (12, 12)
    assert sorted(set(told)) == told
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


class Killed(BaseException):
    """As little of the process is left as after a kill: no handler in the way expects it."""


def kill_at(monkeypatch, number):
    """End the run at one of the moments where a file or folder gets its name."""
    calls, real = [], os.replace

    def replace(*paths):
        calls.append(paths)
        if len(calls) == number:
            raise Killed
        real(*paths)

    monkeypatch.setattr(os, "replace", replace)


def test_a_run_goes_on_from_any_moment(written, tmp_path, monkeypatch):
    for number in range(1, 100):
        out = tmp_path / str(number)
        with monkeypatch.context() as patched:
            kill_at(patched, number)
            try:
                write(out)
            except Killed:
                assert not out.exists()
            else:
                break
        write(out)
        assert contents(out) == contents(written), number
        assert not root(out).exists()
    assert number == 12  # a tar and a record of each shard, table, index, folder


def test_whole_shards_are_kept_and_others_made(written, tmp_path):
    out = tmp_path / "out"

    def run(stop_at=None):
        told = []

        def progress(done, total):
            told.append(done)
            if done == stop_at:
                raise KeyboardInterrupt

        try:
            write(out, progress=progress)
        except KeyboardInterrupt:
            assert stop_at
        return told

    assert run(stop_at=5) == [1, 2, 3, 4, 5]
    assert run(stop_at=8) == [4, 5, 6, 7, 8]
    assert run() == [7, 8, 9, 10, 11, 12]
    assert contents(out) == contents(written)


@pytest.mark.parametrize("spoil", [b"", b"short"])
def test_a_shard_cut_short_is_made_again(written, tmp_path, spoil):
    with pytest.raises(InputError):
        write(tmp_path / "out", refusing_from(7))
    tar = unfinished(tmp_path / "out") / "shards" / "train-000000.tar"
    assert tar.read_bytes() == (written / tar.name).read_bytes()
    tar.write_bytes(spoil)
    write(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(written)


def refusing_from(number):
    return lambda items: refusing(items) if number in items else quick(items)


@pytest.mark.parametrize(
    "changed", [{"fingerprint": "others"}, {"codec": "npy"}, {"count": 8}, {"each": 2}]
)
def test_other_arguments_start_anew(tmp_path, changed):
    with pytest.raises(InputError):
        write(tmp_path / "out", refusing_from(7))
    told = []
    write(tmp_path / "out", **changed, progress=lambda done, _: told.append(done))
    assert told[0] == 1
    write(tmp_path / "straight", **changed)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def start(out: Path, workers: int, **more) -> subprocess.Popen:
    """A run of `LONG`, when it has written the first shard."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.data.packing.writing_run", str(out), str(workers)],
        cwd=ROOT, stderr=subprocess.PIPE, **more,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(root(out).glob("*/*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on(tmp_path, workers):
    out = tmp_path / "out"
    process = start(out, workers)
    time.sleep(0.5)  # into the next shard
    process.kill()  # SIGKILL
    process.communicate(timeout=10)  # its workers hold the pipe: they have ended too
    assert not out.exists()
    tars = unfinished(out) / "shards"
    assert list(tars.parent.glob("*.tar.*.partial"))
    assert [path.name for path in tars.glob("*.tar")] == ["train-000000.tar"]
    made = []
    write(out, partial(counted, made), LONG)
    assert len(made) == 600
    write(tmp_path / "straight", planned=LONG)
    assert contents(out) == contents(tmp_path / "straight")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "straight"]


class Halted:
    """A run in a thread that stops in front of a rename, as if it were slow, and goes on later."""

    def __init__(self, monkeypatch, name: str, run) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.errors = []
        real = os.replace

        def replace(part, path):
            if threading.current_thread() is self.thread and Path(path).name == name:
                self.reached.set()
                assert self.go_on.wait(20)
            real(part, path)

        def work():
            try:
                run()
            except Exception as error:
                self.errors.append(error)

        monkeypatch.setattr(os, "replace", replace)
        self.thread = threading.Thread(target=work)
        self.thread.start()
        assert self.reached.wait(20)

    def finish(self) -> None:
        self.go_on.set()
        self.thread.join(20)


def orphan(out: Path, codec: str) -> Callable[[], None]:
    """What a worker does whose parent is gone: it makes its shard, and has no lock."""
    plan = plans()[1]
    work = Unfinished(out.resolve(), _fingerprint(plans(), codec, ""))
    with work.held():
        work.begin()
    return lambda: _make_shard(quick, codec, work, plan, lambda: None)


@pytest.mark.parametrize("at", ["train-000001.tar", "train-000001.tar.json"])
@pytest.mark.parametrize("codec", ["png", "npy"])
def test_a_worker_that_outlives_its_run_comes_too_late(written, tmp_path, monkeypatch, at, codec):
    out = tmp_path / "out"
    left = Halted(monkeypatch, at, orphan(out, codec))
    write(out)
    left.finish()
    assert contents(out) == contents(written)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("codec", ["png", "npy"])
def test_a_worker_that_outlives_its_run_meets_the_next(written, tmp_path, monkeypatch, codec):
    out = tmp_path / "out"
    left = orphan(out, codec)
    here = Halted(monkeypatch, "train-000002.tar", lambda: write(out))
    with contextlib.suppress(FailureError):  # its plan's folder may be gone
        left()
    here.finish()
    assert not here.errors
    assert contents(out) == contents(written)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_shard_that_is_half_written_twice_is_in_no_way(written, tmp_path, monkeypatch):
    out = tmp_path / "out"
    late = orphan(out, "png")
    here = Halted(monkeypatch, "train-000002.tar", lambda: write(out))
    left = Halted(monkeypatch, "train-000001.tar", late)  # its part is there, and no longer wanted
    here.finish()
    assert not here.errors
    assert contents(out) == contents(written)
    left.finish()
    assert contents(out) == contents(written)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_runs_at_once_are_refused(written, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = Halted(monkeypatch, "train-000001.tar", lambda: write(out))
    for fingerprint in ("", "another"):
        with pytest.raises(InputError, match="another process is making now"):
            write(out, fingerprint=fingerprint)
    first.finish()
    assert not first.errors
    assert contents(out) == contents(written)


def counted(made, items):
    for one in quick(items):
        made.append(one.key)
        yield one


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_all_processes_at_once(tmp_path, workers):
    process = start(tmp_path / "out", workers, start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    begun = time.monotonic()
    told = process.communicate(timeout=20)[1].decode()
    assert time.monotonic() - begun < 10  # the shards take half a minute
    assert process.returncode != 0
    assert told.count("Traceback") == 1, told  # the workers say nothing
    assert "KeyboardInterrupt" in told
    assert not list(unfinished(tmp_path / "out").glob("*.partial"))
    write(tmp_path / "out", planned=LONG)


@pytest.mark.slow
def test_a_worker_that_dies_is_told(tmp_path):
    with pytest.raises(FailureError, match="killed") as caught:
        write(tmp_path / "out", dying, workers=2)
    assert "fewer workers" in caught.value.remedy
    write(tmp_path / "out")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [(starved, FailureError, "memory ran out"), (refusing, InputError, r"face-7\.png")],
)
def test_what_went_wrong_reaches_the_user(tmp_path, make, error, words, workers):
    with pytest.raises(error, match=words) as caught:
        write(tmp_path / "out", make, workers=workers)
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()
    write(tmp_path / "out")


def test_a_full_disk_leaves_what_is_whole(written, tmp_path, monkeypatch):
    real = TarWriter._append
    room = [(written / "train-000000.tar").stat().st_size * 5 // 2]

    def append(self, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(TarWriter, "_append", append)
        with pytest.raises(FailureError, match="No space left") as caught:
            write(tmp_path / "out")
    assert "goes on" in caught.value.remedy
    shards = sorted(path.name for path in (unfinished(tmp_path / "out") / "shards").iterdir())
    assert shards == ["train-000000.tar", "train-000001.tar"]
    told = []
    write(tmp_path / "out", progress=lambda done, _: told.append(done))
    assert told == [7, 8, 9, 10, 11, 12]
    assert contents(tmp_path / "out") == contents(written)


FULL = """
import resource, sys
from pathlib import Path
from realface.errors import FailureError
from tests.data.packing.writing_run import LONG, write
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # bytes of a file
    try:
        write(Path(sys.argv[1]), planned=LONG, workers=int(sys.argv[2]))
    except FailureError as error:
        sys.exit(error.given)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_system_that_refuses_to_write_leaves_what_is_whole(tmp_path, workers):
    out, program = tmp_path / "out", tmp_path / "full.py"
    program.write_text(FULL)
    run = subprocess.run(
        [sys.executable, program, out, str(workers)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 1
    assert "File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in (unfinished(out) / "shards").iterdir()] == ["train-000000.tar"]
    assert not list(unfinished(out).glob("*.partial"))
    write(out, planned=LONG)


def test_a_folder_in_the_way_is_refused(written, tmp_path):
    before = contents(written)
    with pytest.raises(InputError, match="which exists"):
        write(written)
    assert contents(written) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="which exists"):
        write(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert contents(tmp_path / "empty") == before


def twice(items):
    return (patch(number, key=f"{number % 5}") for number in items)


def other_kinds(items):
    for number in items:
        maps = dict(patch(number).maps)
        if number == 7:
            maps.pop("mask")
        yield patch(number, maps=maps)


@pytest.mark.parametrize("each", [1, 12])
@pytest.mark.parametrize(
    ("make", "words"), [(twice, "0 in train"), (other_kinds, "in mask|in diffuse|mask")]
)
def test_samples_that_no_loader_could_tell_or_batch_are_refused(tmp_path, make, words, each):
    with pytest.raises(InputError, match=words):
        write(tmp_path / "out", make, each=each)
    assert not (tmp_path / "out").exists()


def test_a_maker_makes_one_patch_for_each_item(tmp_path):
    with pytest.raises(RuntimeError, match="2 patches of 3 items"):
        write(tmp_path / "out", lambda items: quick(items[:-1]))


def test_plans_deal_items_out_in_order():
    plans = plan_shards("val", range(7), 3)
    assert [plan.file for plan in plans] == [f"val-00000{number}.tar" for number in range(3)]
    assert [plan.items for plan in plans] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert plan_shards("val", [], 3) == []


@pytest.mark.parametrize(
    ("samples", "each"), [(1, 8), (100, 8), (200, 13), (1000, 63), (1500, 64), (7500, 64)]
)
def test_small_sets_have_small_shards_for_many_cores(samples, each):
    found = plan_shards("train", range(samples))
    assert len(found) == -(-samples // each)
    assert len(found[0].items) == min(each, samples)
    assert [item for plan in found for item in plan.items] == list(range(samples))


def test_whole_faces_are_in_no_statistics(tmp_path):
    plans = [ShardPlan("train", 0, (0,)), ShardPlan("whole-train", 0, (1,))]
    index = write_shards(
        tmp_path / "out", plans, quick, codec="npy", workers=1, terms=(), fingerprint=""
    )
    alone = write_shards(
        tmp_path / "alone", plans[:1], quick, codec="npy", workers=1, terms=(), fingerprint=""
    )
    assert index.statistics == alone.statistics
    assert index.millimetres_per_texel == 1.0
    assert json.loads((tmp_path / "out" / INDEX_NAME).read_text())["samples"] == {
        "train": 1, "whole-train": 1
    }  # fmt: skip
