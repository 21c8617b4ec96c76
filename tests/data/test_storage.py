import gc
import os
import sys
from multiprocessing import get_context
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from realface.data import remote
from realface.data.storage import (
    GAP,
    download,
    expand,
    is_remote,
    join,
    read_file,
    read_spans,
    requests,
)
from realface.errors import FailureError, InputError
from tests.data.serving import serve

DATA = bytes(range(256)) * 4096  # 1 MiB in which every 256 bytes tell their place


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "shard.tar").write_bytes(DATA)
    return tmp_path


spans_inside = st.lists(
    st.integers(0, len(DATA) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(0, min(200_000, len(DATA) - start)))
    ),
    max_size=8,
)


def parts(spans) -> list[bytes]:
    return [DATA[offset : offset + size] for offset, size in spans]


# Locations


@pytest.mark.parametrize(
    ("pattern", "locations"),
    [
        ("/data/faces", ["/data/faces"]),
        ("relative/faces", ["relative/faces"]),
        ("/data/part-{00..02}", ["/data/part-00", "/data/part-01", "/data/part-02"]),
        ("s3://bucket/{a,b}/x", ["s3://bucket/a/x", "s3://bucket/b/x"]),
        ("http://h:80/{1..2}", ["http://h:80/1", "http://h:80/2"]),
        (r"C:\data\faces-{a,b}", [r"C:\data\faces-a", r"C:\data\faces-b"]),
        ("file:///data/a%20b", ["/data/a b"]),
        ("memory://x", ["memory://x"]),
        ("HTTP://Host/X", ["http://Host/X"]),
        ("gs://bucket/a#b", ["gs://bucket/a#b"]),
        ("http://[::1]:8000/x", ["http://[::1]:8000/x"]),
    ],
)  # fmt: skip
@pytest.mark.skipif(sys.platform == "win32", reason="paths are those of POSIX")
def test_patterns_become_locations(pattern, locations):
    assert expand([pattern]) == locations


def test_a_folder_with_braces_in_its_name_is_found(tmp_path):
    (tmp_path / "faces-{a,b}").mkdir()
    assert expand([str(tmp_path / "faces-{a,b}")]) == [str(tmp_path / "faces-{a,b}")]


@pytest.mark.parametrize(
    "location",
    ["pipe:cat x", "pipe://cat", "ssh://host/x", "sftp://host/x", "host:path",
     "simplecache::http://host/x", "ftp://host/x", "hdfs://x/y"],
)  # fmt: skip
def test_what_runs_programs_or_is_not_known_is_refused(location):
    with pytest.raises(InputError, match="not read"):
        expand([location])
    with pytest.raises(InputError, match="not read"):
        read_file(location)
    with pytest.raises(InputError, match="not read"):
        download(location, Path("never"))


def test_braces_that_do_not_match_and_queries_are_refused():
    with pytest.raises(InputError, match="braces"):
        expand(["/data/{a,b"])
    with pytest.raises(InputError, match="query") as error:
        expand(["https://host/x?Signature=secret"])
    assert "secret" not in str(error.value)


def test_names_are_joined(tmp_path):
    assert (
        join("s3://bucket/x/", "a.tar") == join("s3://bucket/x", "a.tar") == "s3://bucket/x/a.tar"
    )
    assert Path(join(str(tmp_path), "a.tar")) == tmp_path / "a.tar"
    assert not is_remote(str(tmp_path))
    assert not is_remote("file:///data")
    assert is_remote("https://host/x")


# Local files


@settings(deadline=None)
@given(spans_inside)
def test_spans_of_a_local_file(tmp_path_factory, spans):
    path = tmp_path_factory.getbasetemp() / "spans.bin"
    if not path.exists():
        path.write_bytes(DATA)
    assert read_spans(str(path), spans) == parts(spans)
    assert read_spans(path.as_uri(), spans) == parts(spans)


def test_a_local_file_that_is_missing_short_or_a_folder(folder):
    (folder / "sub").mkdir()
    for name, words in (("none", "not there"), ("sub", "cannot be read")):
        for read in (read_file, lambda where: read_spans(where, [(0, 1)])):
            with pytest.raises(InputError, match=words) as error:
                read(str(folder / name))
            assert name in error.value.given
    with pytest.raises(InputError, match="cut short"):
        read_spans(str(folder / "shard.tar"), [(0, 5), (len(DATA) - 3, 4)])


# Remote files


@given(spans_inside)
def test_requests_cover_their_spans_and_lie_apart(spans):
    starts, ends = requests(spans)
    for offset, size in spans:
        if size:
            assert any(
                a <= offset and offset + size <= b for a, b in zip(starts, ends, strict=True)
            )
    assert all(gap > GAP for gap in map(int.__sub__, starts[1:], ends[:-1]))
    assert not starts or min(s for s, n in spans if n) == starts[0]


@settings(deadline=None, max_examples=30)
@given(spans_inside)
def test_spans_of_a_remote_file(spans):
    fsspec.filesystem("memory").pipe("/spans/a.bin", DATA)
    assert read_spans("memory://spans/a.bin", spans) == parts(spans)


def test_spans_over_http_come_in_few_requests(folder, quick):
    near = [(700, 300), (100, 500), (2000, 40_000)]
    far = [*near, (900_000, 10)]
    with serve(folder) as server:
        where = f"{server.url}/shard.tar"
        assert read_spans(where, near) == parts(near)
        assert server.requests == [("GET", "/shard.tar", "bytes=100-41999")]
        assert read_spans(where, far) == parts(far)
        assert len(server.requests) == 3
        assert read_file(where) == DATA


@pytest.mark.parametrize("status", [403, 404, 410, 401])
def test_what_will_not_pass_is_asked_for_once(folder, quick, status):
    with serve(folder, then=status) as server:
        with pytest.raises(InputError, match=r"shard\.tar"):
            read_spans(f"{server.url}/shard.tar", [(0, 10)])
        assert len(server.requests) == 1


def test_a_shard_that_is_shorter_than_its_index_says(folder, quick):
    with serve(folder) as server:
        for span in ((len(DATA) - 5, 10), (len(DATA) + 5, 10)):
            with pytest.raises(InputError, match="cut short"):
                read_spans(f"{server.url}/shard.tar", [span])
        assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["stall", "drop", "truncate", 500, 503, 429])
def test_what_may_pass_is_asked_for_again(folder, quick, caplog, fault):
    with serve(folder, faults=[fault, fault]) as server:
        assert read_spans(f"{server.url}/shard.tar", [(10, 1000)]) == parts([(10, 1000)])
    warnings = [record.message for record in caplog.records if record.name == remote.__name__]
    assert 1 <= len(warnings) <= 2  # aiohttp asks once more itself when a connection is dropped
    assert all("shard.tar" in warning and "trying again" in warning for warning in warnings)


@pytest.mark.parametrize("fault", ["stall", "drop", "truncate", 500])
def test_a_server_that_never_recovers_comes_to_a_clear_end(folder, quick, monkeypatch, fault):
    monkeypatch.setattr(remote, "TRIES", 3)
    with serve(folder, then=fault) as server:
        with pytest.raises(FailureError, match="asked for 3 times") as error:
            read_spans(f"{server.url}/shard.tar", [(10, 1000)])
        assert "shard.tar" in error.value.given
        assert len(server.requests) >= 3
    with pytest.raises(FailureError, match="asked for 3 times"):  # nobody is there any more
        read_file(f"{server.url}/shard.tar")
    with pytest.raises(FailureError, match="asked for 3 times"):
        read_file(f"{server.url}/shard.tar")


def test_the_waits_double_and_come_to_a_quarter_of_a_minute(monkeypatch):
    waits = []
    monkeypatch.setattr(remote.time, "sleep", waits.append)

    def fail(files):
        raise ConnectionResetError("gone")

    with pytest.raises(FailureError, match="ConnectionResetError gone"):
        remote.patiently("memory://x", fail)
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize("scheme", ["http", "s3"])
def test_passwords_are_refused_and_in_no_message(scheme):
    """They would be kept in configs and logs."""
    with pytest.raises(InputError) as error:
        expand([f"{scheme}://me:pass%40word@host/shards"])
    assert "host/shards" in error.value.given
    assert "me:" not in str(error.value)
    assert "pass%" not in str(error.value)
    assert ".netrc" in error.value.remedy


def test_messages_chain_to_nothing(folder, quick):
    """A traceback would print what an exception chains to, and that may hold what is redacted."""
    with serve(folder, then=404) as server, pytest.raises(InputError) as error:
        read_spans(f"{server.url}/shard.tar", [(0, 10)])
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


def test_a_server_that_ignores_ranges_is_found_out_before_it_sends_a_shard(tmp_path, quick):
    with (tmp_path / "shard.tar").open("wb") as file:
        file.truncate(64 << 20)
    with serve(tmp_path, ranges=False) as server:
        with pytest.raises(InputError, match="does not send the parts") as error:
            read_spans(f"{server.url}/shard.tar", [(5000, 100)])
        assert "--data.cache" in error.value.remedy
        assert len(server.requests) == 1
    assert server.sent < 16 << 20  # what the buffers of two sockets took


# Copies


@pytest.mark.parametrize("faults", [[], [503, "drop", "truncate"], ["stall"]], ids=str)
def test_a_download_is_the_file(folder, tmp_path, quick, faults):
    seen = []
    with serve(folder, faults=faults, ranges=False) as server:
        download(f"{server.url}/shard.tar", tmp_path / "copy", seen.append)
    assert (tmp_path / "copy").read_bytes() == DATA
    assert seen[-1] == len(DATA)
    download(str(folder / "shard.tar"), tmp_path / "local")
    assert (tmp_path / "local").read_bytes() == DATA


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_no_matter_of_the_server(folder, quick):
    with serve(folder) as server:
        with pytest.raises(FailureError, match="No space left"):
            download(f"{server.url}/shard.tar", Path("/dev/full"))
        assert len(server.requests) == 1


# Stores whose package is not there, and processes


def test_a_store_without_its_package_says_what_to_install(monkeypatch, quick):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"realface\[cloud\]"):
        read_file("s3://bucket/index.json")


def read_and_clean_up(where: str) -> None:
    read_spans(where, [(0, 10)])
    gc.collect()  # a client that is dropped lies in a cycle


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_leaves_the_connections_of_its_parent_alone(
    folder, quick, monkeypatch, caplog
):
    """fsspec would close them, with a wait of 1 s, and take them from the parent's event loop."""
    monkeypatch.setattr(remote, "READ_SECONDS", 3.0)
    with serve(folder) as server:
        where = f"{server.url}/shard.tar"
        for _ in range(2):
            assert read_spans(where, [(0, 10)]) == parts([(0, 10)])
            child = get_context("fork").Process(target=read_and_clean_up, args=(where,))
            child.start()
            child.join(30)
            assert child.exitcode == 0
        assert read_spans(where, [(0, 10)]) == parts([(0, 10)])
    assert "trying again" not in caplog.text


def test_an_object_store(tmp_path, quick, monkeypatch):
    pytest.importorskip("s3fs", reason="needs the extra `cloud`")
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "shard.tar").write_bytes(DATA)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_DEFAULT_REGION": "eu"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    with serve(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        spans = [(700, 300), (900_000, 10)]
        assert read_spans("s3://bucket/shard.tar", spans) == parts(spans)
        wanted = {ranges for _, _, ranges in server.requests}
        assert wanted == {"bytes=700-999", "bytes=900000-900009"}
        assert read_file("s3://bucket/shard.tar") == DATA
        download("s3://bucket/shard.tar", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == DATA
        with pytest.raises(InputError, match="not there"):
            read_file("s3://bucket/none")
    with pytest.raises(FailureError, match="asked for 5 times"):
        read_file("s3://bucket/shard.tar")


class Spans(Dataset):
    """Reads a part of a remote file in whichever process it is asked."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __len__(self) -> int:
        return 24

    def __getitem__(self, number: int) -> tuple[int, bytes, int]:
        (data,) = read_spans(self.where, [(number * 1000, 500)])
        return number, data, os.getpid()


@pytest.mark.parametrize(
    "context",
    [
        pytest.param("fork", marks=pytest.mark.skipif(sys.platform != "linux", reason="no fork")),
        pytest.param("spawn", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_workers_read_after_their_parent_has_and_so_does_it(folder, quick, context):
    with serve(folder) as server:
        where = f"{server.url}/shard.tar"
        assert read_spans(where, [(0, 10)]) == parts([(0, 10)])
        for _ in range(2):
            loader = DataLoader(
                Spans(where), batch_size=None, num_workers=2, multiprocessing_context=context,
                timeout=60,
            )  # fmt: skip
            processes = set()
            for number, data, process in loader:
                assert data == DATA[number * 1000 :][:500]
                assert read_spans(where, [(number, 5)]) == parts([(number, 5)])
                processes.add(process)
            assert len(processes) == 2
            assert os.getpid() not in processes
        assert read_spans(where, [(0, 10)]) == parts([(0, 10)])
