"""The gallery: a column a subject, and clear words where there is none."""

import pytest

from realface.errors import InputError
from realface.maps.files import read_image
from realface.report.gallery import subject_folders, write_gallery
from tests.faces import write_face

TILE, GAP, LABEL = 300, 12, 30


def test_one_column_a_subject(tmp_path):
    for name in ("b", "a"):
        write_face(tmp_path / name)
    folders = subject_folders(tmp_path)
    assert [folder.name for folder in folders] == ["a", "b"]
    write_gallery(folders, tmp_path / "gallery.png")
    image = read_image(tmp_path / "gallery.png")
    maps, views = 4 * (TILE * 64 // 96), 4 * TILE
    assert image.shape == (maps + views + 8 * (LABEL + GAP) + 2 * GAP, 2 * TILE + 3 * GAP, 3)
    overcast = image[maps + 4 * (LABEL + GAP) + GAP :][:TILE, GAP : GAP + TILE]
    assert overcast.std() > 20  # a face, not an empty frame


def test_no_subject_is_refused(tmp_path):
    with pytest.raises(InputError, match="without subjects"):
        subject_folders(tmp_path)


def test_a_missing_map_is_named(tmp_path):
    write_face(tmp_path / "one", leave_out=("specular_albedo",))
    with pytest.raises(InputError, match="specular_albedo"):
        write_gallery(subject_folders(tmp_path), tmp_path / "gallery.png")
    assert not (tmp_path / "gallery.png").exists()
