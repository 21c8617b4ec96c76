import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.errors import FailureError, InputError
from realface.maps import files
from realface.maps.kinds import KINDS
from realface.maps.record import (
    FILE_NAME,
    SIGNED_RANGE,
    UNIT_RANGE,
    MapRecord,
    Range,
    SubjectRecord,
    default_record,
    read_record,
    write_record,
)
from tests.maps.conftest import only_file

finite = st.floats(-1e6, 1e6)
texts = st.none() | st.text(max_size=20)


@st.composite
def records(draw):
    maps = {}
    for kind in draw(st.lists(st.sampled_from(sorted(KINDS)), unique=True)):
        sides, bits = draw(st.tuples(st.integers(1, 9999), st.integers(1, 9999))), [8, 16, 32]
        record = default_record(kind, f"{kind}.tif", *sides, draw(st.sampled_from(bits)))
        record = replace(record, derived=draw(st.booleans()))
        if record.space:
            record = replace(
                record,
                space=draw(st.sampled_from(["object", "tangent", "offset"])),
                green=draw(st.sampled_from(["gl", "dx"])),
            )
        if record.range:
            span = Range(draw(st.floats(1e-6, 1e6)), draw(st.tuples(finite, finite, finite)))
            record = replace(record, range=span)
        maps[kind] = record
    return SubjectRecord(
        maps=maps,
        millimetres_per_unit=draw(st.none() | st.floats(1e-3, 1e3)),
        source=draw(texts),
        licence=draw(texts),
        expires=draw(st.none() | st.dates().map(str)),
        seed=draw(st.none() | st.integers(0, 2**40)),
        flaws=tuple(draw(st.lists(st.sampled_from(["blur", "background"])))),
    )


@given(records())
def test_json_round_trip(tmp_path_factory, record):
    folder = tmp_path_factory.mktemp("subject")
    write_record(folder, record)
    assert read_record(folder) == record
    assert only_file(folder) == [FILE_NAME]


def test_defaults_of_the_kinds():
    for kind, meaning in KINDS.items():
        record = default_record(kind, f"{kind}.png", 4, 6, 16)
        assert record.encoding == meaning.encoding
        assert record.size == (4, 6)
        assert (record.range == UNIT_RANGE) == meaning.is_vector
        assert (record.space == "object") == (meaning.encoding == "unit_vector")
        for name, bits in ((f"{kind}.exr", 16), (f"{kind}.tif", 32)):
            floats = default_record(kind, name, 4, 6, bits)
            assert (floats.range == SIGNED_RANGE) == meaning.is_vector
            # Float files hold scene-linear colour.
            assert floats.encoding == (meaning.encoding if meaning.is_vector else "linear")
            assert default_record(kind, f"{kind}.tif", 4, 6, 16, floats=True) == replace(
                floats, file=f"{kind}.tif", bits=16
            )


def broken(folder: Path, change) -> str:
    """What reading says of a good record's json after a change; the three parts joined."""
    good = SubjectRecord(maps={
        "shape": default_record("shape", "shape.tif", 4, 6, 16),
        "texture": default_record("texture", "texture.png", 4, 6, 8),
        "specular_normals": default_record("specular_normals", "n.png", 4, 6, 8),
    })  # fmt: skip
    data = json.loads(json.dumps(asdict(good)))
    change(data)
    (folder / FILE_NAME).write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        read_record(folder)
    assert FILE_NAME in caught.value.given
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("licens", "CC0", ["unknown keys licens"]),
        ("version", 2, ["version=2", "reads 1"]),
        ("millimetres_per_unit", -1, ["millimetres_per_unit=-1"]),
        ("millimetres_per_unit", "1", ["millimetres_per_unit='1'"]),
        ("millimetres_per_unit", float("nan"), ["millimetres_per_unit=nan"]),
        ("expires", "next year", ["expires='next year'"]),
        ("seed", 1.5, ["seed=1.5"]),
        ("source", 7, ["source=7"]),
        ("flaws", "blur", ["flaws='blur'"]),
        ("flaws", None, ["flaws=None"]),
        ("flaws", ["blur", 3], ["flaws=3"]),
        ("maps", [], ["maps=[]"]),
        ("maps.albedo", {}, ["albedo"]),
        ("maps.shape", 5, ["maps.shape: 5"]),
        ("maps.shape.colour", 5, ["maps.shape: unknown keys colour"]),
        ("maps.shape.range", None, ["maps.shape: range=None"]),
        ("maps.shape.range.scale", 0, ["maps.shape: range.scale=0"]),
        ("maps.shape.range.offset", [1, 2], ["maps.shape: range.offset"]),
        ("maps.shape.range.offset", [1, 2, "3"], ["maps.shape: range.offset='3'"]),
        ("maps.shape.encoding", "srgb", ["maps.shape"]),
        ("maps.shape.file", "../shape.tif", ["maps.shape: file='../shape.tif'"]),
        ("maps.shape.file", "", ["maps.shape: file=''"]),
        ("maps.shape.height", "4", ["maps.shape: height='4'"]),
        ("maps.shape.width", 0, ["maps.shape: width=0"]),
        ("maps.shape.derived", "yes", ["maps.shape: derived='yes'"]),
        ("maps.texture.bits", 12, ["maps.texture: bits=12", "8, 16, 32"]),
        ("maps.texture.encoding", "sRGB", ["maps.texture: encoding='sRGB'"]),
        ("maps.texture.encoding", "unit_vector", ["maps.texture"]),
        ("maps.texture.green", "dx", ["maps.texture: green='dx'"]),
        ("maps.texture.range", {"scale": 2.0, "offset": [0, 0, 0]}, ["maps.texture: range="]),
        (
            "maps.specular_normals.space",
            "world",
            ["maps.specular_normals: space='world'", "offset"],
        ),
        ("maps.specular_normals.green", None, ["maps.specular_normals: green=None"]),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path, path, value, words):
    def change(data):
        *parents, last = path.split(".")
        for parent in parents:
            data = data[parent]
        data[last] = value

    text = broken(tmp_path, change)
    for word in words:
        assert word in text


def test_a_record_from_before_flaws_were_written_is_read(tmp_path):
    data = asdict(SubjectRecord(seed=3))
    del data["flaws"]
    (tmp_path / FILE_NAME).write_text(json.dumps(data))
    assert read_record(tmp_path) == SubjectRecord(seed=3)


def test_missing_keys_are_refused_by_name(tmp_path):
    assert "maps.shape" in (
        text := broken(tmp_path, lambda data: data["maps"]["shape"].pop("bits"))
    )
    assert "bits" in text
    text = broken(tmp_path, lambda data: data["maps"]["shape"]["range"].pop("offset"))
    assert "maps.shape" in text
    assert "offset" in text


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "\xff\xfe"])
def test_what_is_no_record(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"subject\.json"):
        read_record(tmp_path)


def test_a_missing_or_unreadable_record(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_record(tmp_path)
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(InputError, match=r"subject\.json"):
        read_record(tmp_path)


def test_a_full_disk_leaves_the_old_record(tmp_path, monkeypatch):
    write_record(tmp_path, SubjectRecord(seed=1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(FailureError, match="No space left"):
        write_record(tmp_path, SubjectRecord(seed=2))
    assert read_record(tmp_path).seed == 1
    assert only_file(tmp_path) == [FILE_NAME]


def test_with_map_leaves_the_first_as_it_was():
    first = SubjectRecord(seed=3)
    second = first.with_map("mask", default_record("mask", "mask.png", 4, 4, 8))
    assert not first.maps
    assert isinstance(second.maps["mask"], MapRecord)
    assert second.seed == 3
