"""What can be compared, before anything is read."""

import shutil
from dataclasses import replace

import pytest

from realface.errors import InputError
from realface.evaluation.pairs import find_pairs
from realface.maps.kinds import REFLECTANCE
from realface.maps.record import read_record, write_record
from tests.evaluation.cases import INPUTS
from tests.faces import write_face


def test_folders_are_paired_by_name_and_strangers_left_out(tmp_path, caplog):
    for side, names in (("made", "abc"), ("true", "bcd")):
        for name in names:
            write_face(tmp_path / side / name)
    pairs = find_pairs(tmp_path / "made", tmp_path / "true")
    assert [pair.name for pair in pairs] == ["b", "c"]
    assert pairs[0].kinds == REFLECTANCE
    assert "left out: a" in caplog.text
    assert "left out: d" in caplog.text


def test_no_shared_name(tmp_path):
    write_face(tmp_path / "made" / "a")
    write_face(tmp_path / "true" / "b")
    with pytest.raises(InputError, match="same names"):
        find_pairs(tmp_path / "made", tmp_path / "true")


def test_a_subject_and_a_folder_of_subjects(tmp_path):
    write_face(tmp_path / "true" / "a")
    made = write_face(tmp_path / "a")
    with pytest.raises(InputError, match="both subjects"):
        find_pairs(made, tmp_path / "true")


def test_no_shared_map(tmp_path):
    made = write_face(tmp_path / "made", leave_out=(*INPUTS, *REFLECTANCE[1:]))
    truth = write_face(tmp_path / "truth", leave_out=REFLECTANCE[:1])
    with pytest.raises(InputError, match="in both"):
        find_pairs(made, truth)


@pytest.mark.parametrize("small", ["made", "inputs", "mask"])
def test_sizes_that_differ_are_named(tmp_path, small):
    sizes = {name: (32, 48) if name == small else (64, 96) for name in ("made", "inputs", "mask")}
    made, inputs, other = (write_face(tmp_path / name, *sizes[name]) for name in sizes)
    truth = write_face(tmp_path / "truth")
    with pytest.raises(InputError, match="32x48") as caught:
        find_pairs(made, truth, mask=other / "mask.tif", inputs=inputs)
    assert small in caught.value.given
    assert "64x96" in caught.value.expected


def test_tangent_normals_do_not_meet_object_ones(tmp_path):
    made, truth = (write_face(tmp_path / name) for name in ("made", "truth"))
    declare(made, "tangent")
    with pytest.raises(InputError, match="object-space"):
        find_pairs(made, truth)
    declare(truth, "tangent")
    assert find_pairs(made, truth)[0].kinds == REFLECTANCE
    for folder in (made, truth):
        declare(folder, "offset")
    with pytest.raises(InputError, match="object-space"):  # no normals: an angle means nothing
        find_pairs(made, truth)


def test_inputs_must_hold_every_subject(tmp_path):
    for side in ("made", "true", "inputs"):
        write_face(tmp_path / side / "a")
        write_face(tmp_path / side / "b")
    shutil.rmtree(tmp_path / "inputs" / "b")
    with pytest.raises(InputError, match="without b"):
        find_pairs(tmp_path / "made", tmp_path / "true", inputs=tmp_path / "inputs")


def declare(folder, space):
    record = read_record(folder)
    entry = replace(record.maps["specular_normals"], space=space)
    write_record(folder, record.with_map("specular_normals", entry))
