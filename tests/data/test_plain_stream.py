from dataclasses import replace

import pytest

from realface.data.plain_stream import plain_faults, plain_samples
from realface.data.shard_set import read_index, read_table


@pytest.fixture
def shard(shards):
    index = read_index(str(shards))
    file = index.shards[0].file
    return shards / file, [one for one in read_table(str(shards), index) if one.shard == file]


def test_a_plain_reader_sees_what_the_table_lists(shard):
    path, entries = shard
    samples = list(plain_samples(path))
    assert [sample["__key__"] for sample in samples] == [entry.key for entry in entries]
    data = path.read_bytes()
    for sample, entry in zip(samples, entries, strict=True):
        for member in entry.members:
            assert sample[member.name] == data[member.offset : member.offset + member.size]
    assert plain_faults(path, entries) == []


def test_differences_are_told(shard):
    path, entries = shard
    assert "no further sample" in plain_faults(path, entries[:-1])[0]
    renamed = [replace(entries[0], key="other"), *entries[1:]]
    assert "samples.jsonl says other" in plain_faults(path, renamed)[0]
    lacking = [replace(entries[0], members=entries[0].members[1:]), *entries[1:]]
    assert plain_faults(path, lacking)


def test_what_a_plain_reader_cannot_read(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"x" * 4096)
    assert "cannot read it" in plain_faults(tmp_path / "x.tar", [])[0]
