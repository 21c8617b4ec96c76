"""Tars: where every byte lies, and names that every reader sees alike."""

import hashlib
import tarfile
import zlib

import pytest

from realface.data.index import Member
from realface.data.packing.tar import TarWriter
from realface.errors import InputError


def test_names_of_any_length_keep_their_place(tmp_path):
    keys = ["short", "long-" * 50 + "end", "über-" * 30, "last"]
    with (tmp_path / "a.tar").open("wb") as file:
        writer = TarWriter(file, "a.tar")
        for key in keys:
            writer.write(key, None, {"mask.png": key.encode(), "json": b"{}" * 600})
        shard = writer.finish("train")
    data = (tmp_path / "a.tar").read_bytes()
    assert len(data) == shard.bytes
    assert shard.sha256 == hashlib.sha256(data).hexdigest()
    for entry, key in zip(writer.entries, keys, strict=True):
        first = entry.members[0]
        assert data[first.offset : first.offset + first.size] == key.encode()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert [info.name for info in tar][::2] == [f"{key}.mask.png" for key in keys]
    assert writer.entries[0].members[0] == Member("mask.png", 512, 5, zlib.crc32(b"short"))


@pytest.mark.parametrize(
    ("key", "member"),
    [("a.b", "json"), ("", "json"), ("a/b", "json"), ("..", "json"), ("a\nb", "json"),
     ("a", "Mask.png"), ("a", "")],
)  # fmt: skip
def test_names_that_webdataset_would_cut_are_refused(tmp_path, key, member):
    with (tmp_path / "a.tar").open("wb") as file, pytest.raises(InputError):
        TarWriter(file, "a.tar").write(key, None, {member: b""})
    assert (tmp_path / "a.tar").stat().st_size == 0
