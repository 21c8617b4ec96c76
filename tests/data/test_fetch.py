import hashlib
import os
import shutil
import threading
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from realface.data import fetch, remote
from realface.data.fetch import fetch_folder
from realface.data.index import Index
from realface.data.shard_set import read_index, read_table
from realface.data.storage import read_file
from realface.errors import FailureError, InputError
from tests.data.serving import serve
from tests.data.shard_folders import four_faces, write_folder


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("origin") / "shards", four_faces())


@pytest.fixture
def index(origin) -> Index:
    return read_index(str(origin))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "READ_SECONDS", 1.0)
    remote._client.cache_clear()
    yield
    remote._client.cache_clear()


def shown(folder: Path) -> set[str]:
    """Names in a folder without the hidden ones."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def paths(server) -> list[str]:
    return [path for _, path, _ in server.requests]


@pytest.mark.parametrize("ranges", [True, False])
def test_the_copy_is_the_folder(origin, index, tmp_path, ranges):
    seen = []
    with serve(origin, ranges=ranges) as server:
        out = fetch_folder(server.url, tmp_path, index, lambda *at: seen.append(at))
    assert out.parent == tmp_path
    assert shown(out) == shown(origin)
    for name in shown(out) - {"index.json"}:
        assert (out / name).read_bytes() == (origin / name).read_bytes()
    assert read_index(str(out)) == index
    assert read_table(str(out), index) == read_table(str(origin), index)
    total = sum(shard.bytes for shard in index.shards)
    assert seen[-1] == (total, total)
    assert {at[1] for at in seen} == {total}


def test_a_folder_of_this_machine_is_copied_too(origin, index, tmp_path):
    out = fetch_folder(str(origin), tmp_path, index)
    assert shown(out) == shown(origin)


def test_a_second_run_fetches_only_what_is_missing(origin, index, tmp_path):
    with serve(origin) as server:
        out = fetch_folder(server.url, tmp_path, index)
        before = len(server.requests)
        assert fetch_folder(server.url, tmp_path, index) == out
        assert paths(server)[before:] == ["/samples.jsonl"]
        (out / "val-000000.tar").unlink()
        before = len(server.requests)
        fetch_folder(server.url, tmp_path, index)
        assert paths(server)[before:] == ["/val-000000.tar", "/samples.jsonl"]


def test_a_shard_is_hashed_once(origin, index, tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(fetch, "_sha256", lambda path: hashed.append(path) or sha256(path))
    out = fetch_folder(str(origin), tmp_path, index)
    hashed.clear()
    fetch_folder(str(origin), tmp_path, index)
    assert hashed == []
    (out / ".val-000000.tar.sha256").unlink()
    for _ in range(2):
        fetch_folder(str(origin), tmp_path, index)
        assert hashed == [out / "val-000000.tar"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", ["shorter", "other bytes"])
def test_a_shard_that_is_not_whole_is_fetched_again(origin, index, tmp_path, damage):
    out = tmp_path / index.table_sha256[:16]
    out.mkdir()
    data = (origin / "val-000000.tar").read_bytes()
    (out / "val-000000.tar").write_bytes(data[:-1] + (b"" if damage == "shorter" else b"x"))
    assert fetch_folder(str(origin), tmp_path, index) == out
    assert (out / "val-000000.tar").read_bytes() == data


def test_a_run_that_is_broken_off_goes_on(origin, index, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "TRIES", 2)
    with serve(origin, faults=[None], then="drop") as server, pytest.raises(FailureError):
        fetch_folder(server.url, tmp_path, index)
    out = tmp_path / index.table_sha256[:16]
    assert shown(out) == {"train-000000.tar"}
    assert not list(out.glob(".*.partial"))
    with serve(origin) as server:
        fetch_folder(server.url, tmp_path, index)
        left = [f"/{shard.file}" for shard in index.shards[1:]]
        assert paths(server) == [*left, "/samples.jsonl"]


@pytest.mark.parametrize("faults", [["damage"], ["truncate", "damage"], [503, "drop"]], ids=str)
def test_what_comes_damaged_is_fetched_again(origin, index, tmp_path, faults, caplog):
    with serve(origin, faults=faults) as server:
        out = fetch_folder(server.url, tmp_path, index)
    assert (out / "train-000000.tar").read_bytes() == (origin / "train-000000.tar").read_bytes()
    assert "train-000000.tar" in caplog.text


def test_a_shard_that_is_not_the_packed_one_is_named_and_not_kept(origin, index, tmp_path):
    wrong = tuple(
        replace(shard, sha256="0" * 64) if shard.file == "train-000001.tar" else shard
        for shard in index.shards
    )
    with pytest.raises(InputError, match=r"train-000001\.tar, whose SHA-256"):
        fetch_folder(str(origin), tmp_path, replace(index, shards=wrong))
    out = tmp_path / index.table_sha256[:16]
    assert shown(out) == {"train-000000.tar"}
    assert not list(out.glob(".*.partial"))


def test_a_table_that_is_not_the_packed_one_is_refused(origin, index, tmp_path):
    copy = Path(shutil.copytree(origin, tmp_path / "copy"))
    with (copy / "samples.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match=r"samples\.jsonl, whose SHA-256"):
        fetch_folder(str(copy), tmp_path, index)


def test_a_missing_shard_is_named(origin, index, tmp_path):
    copy = Path(shutil.copytree(origin, tmp_path / "copy"))
    (copy / "train-000001.tar").unlink()
    with serve(copy) as server, pytest.raises(InputError, match=r"train-000001\.tar.*not there"):
        fetch_folder(server.url, tmp_path, index)


def test_too_little_room_is_said_before_anything_is_fetched(origin, index, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 10, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with serve(origin) as server:
        with pytest.raises(FailureError, match="GiB free"):
            fetch_folder(server.url, tmp_path, index)
        assert server.requests == []


def test_a_disk_that_fills_up_is_a_failure_and_leaves_no_part(origin, index, tmp_path, monkeypatch):
    def full(where, part, advance):
        part.write_bytes(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "download", full)
    with pytest.raises(FailureError, match="No space left"):
        fetch_folder(str(origin), tmp_path, index)
    assert list((tmp_path / index.table_sha256[:16]).iterdir()) == []


def test_parts_that_were_abandoned_are_removed_and_others_left(origin, index, tmp_path):
    out = tmp_path / index.table_sha256[:16]
    out.mkdir()
    old, new = out / ".a.tar.1.partial", out / ".a.tar.2.partial"
    for part in (old, new):
        part.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    fetch_folder(str(origin), tmp_path, index)
    assert new.exists()
    assert not old.exists()


def test_several_at_once_do_each_other_no_harm(origin, index, tmp_path):
    failures = []

    def fetch_one() -> None:
        try:
            fetch_folder(server.url, tmp_path, index)
        except Exception as error:
            failures.append(error)

    with serve(origin) as server:
        threads = [threading.Thread(target=fetch_one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    out = tmp_path / index.table_sha256[:16]
    assert not list(out.glob(".*.partial"))
    for shard in index.shards:
        assert sha256(out / shard.file) == shard.sha256
    assert read_file(str(out / "samples.jsonl")) == (origin / "samples.jsonl").read_bytes()
