import errno
import logging
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
import tifffile
import torch

from realface.errors import FailureError, InputError
from realface.maps import files
from realface.maps.encoding import linear_to_srgb
from realface.maps.files import write_image
from realface.maps.kinds import KINDS
from realface.maps.record import (
    FILE_NAME,
    SIGNED_RANGE,
    SubjectRecord,
    read_record,
    write_record,
)
from realface.maps.subject import Subject, save_map
from tests.faces import face_maps
from tests.maps.conftest import only_file, pixels


def test_maps_come_back_to_a_level(subject_folder):
    subject = Subject(subject_folder)
    truth = face_maps(96, 144)
    assert subject.name == "subject"
    assert subject.size() == (96, 144)
    for kind, values in truth.items():
        file = subject.open(kind)
        level = file.record.range.scale / 65535 if file.record.range else 1 / 65535
        assert (file.whole() - values).abs().max() <= level, kind
    assert "occlusion" not in subject
    assert not list(subject_folder.glob(".*"))


def test_without_json_the_defaults_apply_and_are_said(subject_folder, caplog):
    (subject_folder / FILE_NAME).unlink()
    caplog.set_level(logging.INFO)
    subject = Subject(subject_folder)
    assert (
        "specular_normals.tif: not in subject.json, taken as unit_vector, object, gl" in caplog.text
    )
    assert "diffuse_albedo.tif: not in subject.json, taken as srgb" in caplog.text
    assert set(subject.record.maps) == {p.stem for p in subject_folder.glob("*.tif")}
    assert (subject.open("mask").whole() - face_maps(96, 144)["mask"]).abs().max() == 0


def test_floats_without_json_hold_vectors_as_they_are(tmp_path):
    normals = face_maps(8, 12)["specular_normals"].permute(1, 2, 0).numpy()
    write_image(tmp_path / "specular_normals.exr", normals)
    tifffile.imwrite(
        tmp_path / "diffuse_normals.tif", normals.astype(np.float16), photometric="rgb"
    )
    subject = Subject(tmp_path)
    for kind in ("specular_normals", "diffuse_normals"):
        assert subject.record.maps[kind].range == SIGNED_RANGE
        back = subject.open(kind).whole().permute(1, 2, 0).numpy()
        np.testing.assert_allclose(back, normals, atol=1e-3)


def test_floats_without_json_hold_linear_colour(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    values = np.linspace(0, 1, 96, dtype=np.float32).reshape(4, 8, 3)
    write_image(tmp_path / "texture.exr", values)
    tifffile.imwrite(tmp_path / "diffuse_albedo.tif", values.astype("f2"), photometric="rgb")
    subject = Subject(tmp_path)
    for kind in ("texture", "diffuse_albedo"):
        back = subject.open(kind).whole().permute(1, 2, 0)
        expected = linear_to_srgb(torch.from_numpy(values))
        torch.testing.assert_close(back, expected, atol=2e-3, rtol=0)
    assert "texture.exr: not in subject.json, taken as linear" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_only_the_header_is_read_until_a_map_is_opened(tmp_path, monkeypatch, suffix):
    image = pixels(6, 9, 3, "uint16")
    if suffix == ".png":
        write_image(tmp_path / "texture.png", image)
    else:
        tifffile.imwrite(tmp_path / "texture.tif", image, photometric="rgb")
    with monkeypatch.context() as patched:
        patched.setitem(files._READERS, suffix, None)
        subject = Subject(tmp_path)
    assert (subject.size(), subject.record.maps["texture"].bits) == ((6, 9), 16)
    np.testing.assert_allclose(
        subject.open("texture").whole().permute(1, 2, 0), image / 65535, atol=1e-6
    )


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "expired on"), (0, "expire on"), (30, "expire on"), (31, None)]
)
def test_terms_that_end_are_told(subject_folder, caplog, days, words):
    until = (date.today() + timedelta(days=days)).isoformat()
    write_record(subject_folder, replace(read_record(subject_folder), expires=until))
    Subject(subject_folder)
    assert (until in caplog.text) == (words is not None)
    assert words is None or words in caplog.text


def test_suffixes_in_capitals_are_found(tmp_path):
    write_image(tmp_path / "texture.PNG", pixels(4, 5, 3, "uint8"))
    assert Subject(tmp_path).size() == (4, 5)


def test_two_files_for_one_kind(subject_folder):
    write_image(subject_folder / "mask.png", pixels(96, 144, 1, "uint8"))
    assert Subject(subject_folder).record.maps["mask"].file == "mask.tif"  # the json decides
    (subject_folder / FILE_NAME).unlink()
    with pytest.raises(InputError, match=r"mask.png and mask.tif"):
        Subject(subject_folder)


def test_sizes_differ(subject_folder):
    save_map(subject_folder, "occlusion", torch.ones(1, 96, 143))
    with pytest.raises(InputError, match=r"occlusion is 96x143 and .* is 96x144"):
        Subject(subject_folder).size()


def test_a_file_that_the_json_names_is_missing(subject_folder):
    (subject_folder / "shape.tif").unlink()
    with pytest.raises(InputError, match=r"without shape.tif"):
        Subject(subject_folder)


def test_a_map_that_is_not_there_is_refused_with_its_names(subject_folder):
    with pytest.raises(InputError, match=r"occlusion\.<png\|tif"):
        Subject(subject_folder).open("occlusion")


def test_no_folder_and_no_map(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        Subject(tmp_path / "nobody")
    (tmp_path / "albedo.png").write_bytes(b"")
    with pytest.raises(InputError, match="without a single map"):
        Subject(tmp_path)


def test_a_truncated_map_is_refused_when_opened(subject_folder):
    path = subject_folder / "diffuse_albedo.tif"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be decoded"):
        Subject(subject_folder).open("diffuse_albedo")


def test_tangent_space_is_refused_by_name(subject_folder):
    text = (subject_folder / FILE_NAME).read_text()
    (subject_folder / FILE_NAME).write_text(text.replace('"object"', '"tangent"'))
    with pytest.raises(InputError, match="in tangent space"):
        Subject(subject_folder).open("specular_normals").require_object_space()
    Subject(subject_folder).open("mask").require_object_space()


def test_saving_keeps_what_the_json_says(subject_folder):
    save_map(subject_folder, "occlusion", torch.rand(1, 96, 144), bits=8, derived=True)
    record = read_record(subject_folder)
    assert record.maps["occlusion"].derived
    assert record.maps["occlusion"].bits == 8
    assert record.source == "tests"
    assert len(record.maps) == len(face_maps()) + 2  # and the texture
    save_map(subject_folder, "mask", torch.ones(1, 96, 144), about=SubjectRecord(seed=7))
    assert set(read_record(subject_folder).maps) == {"mask"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_saved(tmp_path, kind):
    values = torch.rand(KINDS[kind].channels, 7, 9)
    save_map(tmp_path / "new" / "subject", kind, values)
    back = Subject(tmp_path / "new" / "subject").open(kind).whole()
    if KINDS[kind].encoding != "unit_vector":
        assert (back - values).abs().max() < 1e-4


def test_a_full_disk_leaves_the_subject_as_it_was(subject_folder, monkeypatch):
    names, text = only_file(subject_folder), (subject_folder / FILE_NAME).read_text()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", full)
        with pytest.raises(FailureError, match="No space left"):
            save_map(subject_folder, "occlusion", torch.ones(1, 96, 144))
    assert only_file(subject_folder) == names
    assert (subject_folder / FILE_NAME).read_text() == text
