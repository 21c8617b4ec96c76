import json
from dataclasses import asdict, replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.data.index import (
    WARN_DAYS,
    Entry,
    Index,
    Member,
    Shard,
    Terms,
    expiry_warnings,
    index_text,
    parse_index,
    parse_table,
    table_hash,
    table_text,
)
from realface.errors import InputError

MEMBERS = (Member("mask.png", 512, 10, 7), Member("json", 1536, 2, 8))
ENTRIES = [
    Entry("train-000000.tar", "a", "ann", MEMBERS),
    Entry("train-000000.tar", "b", None, (Member("json", 2560, 2, 9),)),
    Entry("val-000000.tar", "a", "bob", (Member("json", 512, 3, 1),)),
]


def index_of(entries: list[Entry]) -> Index:
    return Index(
        kinds=("diffuse_albedo", "mask"),
        codec="png",
        maps={"mask": {"encoding": "linear", "space": None, "green": None, "bits": [8]}},
        statistics={"mask": {"mean": [1.0], "std": [0.0], "min": [1.0], "max": [1.0]}},
        millimetres_per_texel=0.05,
        terms=(Terms("RealFaceDB", "lent", "2028-01-01"), Terms(None, None, None)),
        shards=(
            Shard("train-000000.tar", "train", 2, 4096, "0" * 64),
            Shard("val-000000.tar", "val", 1, 2048, "1" * 64),
        ),
        table_sha256=table_hash(table_text(entries)),
    )


INDEX = index_of(ENTRIES)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)


def test_what_is_written_is_read_back():
    assert parse_index(index_text(INDEX), "here") == INDEX
    assert parse_table(table_text(ENTRIES), "here", INDEX) == ENTRIES
    assert INDEX.samples == {"train": 2, "val": 1}


@given(st.lists(TEXT, min_size=1, max_size=5, unique=True), st.none() | TEXT)
def test_keys_of_any_letters_travel(keys, subject):
    entries = [Entry("train-000000.tar", key, subject, ()) for key in keys]
    shard = replace(INDEX.shards[0], samples=len(keys))
    index = replace(index_of(entries), shards=(shard,))
    assert parse_table(table_text(entries), "here", index) == entries


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"version": 1}', '{"version": 2}'])
def test_what_is_no_index(text):
    with pytest.raises(InputError, match="here"):
        parse_index(text, "here")


@pytest.mark.parametrize(
    "change",
    [
        {"kinds": ["nose"]},
        {"shards": [{"file": "x.tar"}]},
        {"shards": [asdict(INDEX.shards[0]) | {"split": "test"}]},
        {"shards": [asdict(INDEX.shards[0]) | {"file": "../x.tar"}]},
        {"shards": [asdict(INDEX.shards[0]) | {"file": "pipe:rm x"}]},
        {"shards": [asdict(INDEX.shards[0]), asdict(INDEX.shards[0])]},
        {"terms": [{"source": None, "licence": None, "expires": "soon"}]},
    ],
)
def test_a_damaged_index_is_refused(change):
    with pytest.raises(InputError):
        parse_index(json.dumps(json.loads(index_text(INDEX)) | change), "here")


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        (ENTRIES[:2], "0 samples, index.json says 1"),
        ([*ENTRIES, ENTRIES[0]], "key a occurs twice in train"),
        ([replace(ENTRIES[0], shard="x.tar"), *ENTRIES[1:]], "is not in index.json"),
        ([replace(ENTRIES[0], members=(Member("j", 4095, 2, 0),)), *ENTRIES[1:]], "lies outside"),
        ([replace(ENTRIES[0], members=(Member("j", -1, 2, 0),)), *ENTRIES[1:]], "lies outside"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_its_index_is_refused(entries, what):
    with pytest.raises(InputError, match=what):
        parse_table(table_text(entries), "here", index_of(entries))


def test_a_table_of_other_bytes_is_refused():
    with pytest.raises(InputError, match="SHA-256"):
        parse_table(table_text(ENTRIES) + "\n", "here", INDEX)


@pytest.mark.parametrize(("days", "lines"), [(WARN_DAYS + 1, 0), (WARN_DAYS, 1), (0, 1), (-1, 1)])
def test_expiry_is_told_from_thirty_days_before(days, lines):
    today = date(2026, 2, 28)
    terms = [Terms("RealFaceDB", None, str(today + timedelta(days))), Terms("own", None, None)]
    told = expiry_warnings(terms, today, "shards")
    assert len(told) == lines
    assert all("RealFaceDB" in line for line in told)
    assert all(("ago" in line) == (days < 0) for line in told)
