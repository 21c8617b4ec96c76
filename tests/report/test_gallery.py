"""The gallery: a column a subject, and clear words where there is none."""

import numpy as np
import pytest

from realface.errors import InputError
from realface.maps.files import read_image
from realface.report.gallery import in_blocks, label, subject_folders, write_gallery
from realface.report.page import Tile
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
    tops = np.cumsum([GAP, *[TILE * 64 // 96 + LABEL + GAP] * 4, *[TILE + LABEL + GAP] * 4])[1:]
    for top in tops - LABEL - GAP:  # both subjects are one face: only what is written differs
        a, b = (image[top : top + LABEL, left : left + TILE] for left in (GAP, 2 * GAP + TILE))
        assert a.max() > 200
        assert (a != b).any()


def test_many_subjects_stand_in_blocks_of_eight():
    columns = [
        [Tile(f"{subject} {row}", np.zeros((1, 1, 3), np.uint8)) for row in "xyz"]
        for subject in range(19)
    ]
    rows = in_blocks(columns)
    assert [len(row) for row in rows] == [8, 8, 8, 8, 8, 8, 3, 3, 3]
    assert [tile.label for tile in rows[0]] == [f"{subject} x" for subject in range(8)]
    assert [tile.label for tile in rows[5]] == [f"{subject} z" for subject in range(8, 16)]
    assert [tile.label for tile in rows[8]] == ["16 z", "17 z", "18 z"]


def test_labels_keep_the_end_of_long_names():
    assert label("synthetic-000003", "specular_normals") == "synthetic-000003 specular_normals"
    long = label("a-capture-of-the-third-of-may-in-studio-000003", "window from the left")
    assert long.endswith("000003 window from the left")
    assert long.startswith("..")
    assert len(long) <= 38


def test_no_subject_is_refused(tmp_path):
    with pytest.raises(InputError, match="without subjects"):
        subject_folders(tmp_path)


def test_a_missing_map_is_named(tmp_path):
    write_face(tmp_path / "one", leave_out=("specular_albedo",))
    with pytest.raises(InputError, match="specular_albedo"):
        write_gallery(subject_folders(tmp_path), tmp_path / "gallery.png")
    assert not (tmp_path / "gallery.png").exists()
