"""The contact sheet."""

import numpy as np
import pytest
import torch

from realface.errors import InputError
from realface.maps.files import read_image
from realface.maps.kinds import REFLECTANCE
from realface.report.page import picture
from realface.report.sheet import write_sheet
from tests.faces import write_face

TILE, GAP, LABEL = 480, 12, 30


def page_size(*rows: tuple[int, int]) -> tuple[int, int, int]:
    """Of rows of (tiles, picture height)."""
    height = sum(picture + LABEL + GAP for _, picture in rows) + 2 * GAP
    columns = min(4, max(tiles for tiles, _ in rows))
    return height, columns * (TILE + GAP) + GAP, 3


def test_sheet_of_a_small_subject(tmp_path):
    face = write_face(tmp_path / "face")
    write_sheet(face, tmp_path / "sheet.png")
    image = read_image(tmp_path / "sheet.png")
    full = TILE * 64 // 96
    # Eight maps, four close-ups at 100 %, four lights.
    assert image.shape == page_size((4, full), (4, full), (4, 64), (4, full))
    assert image.dtype == np.uint8
    assert image.std() > 20
    assert {path.name for path in tmp_path.iterdir()} == {"face", "sheet.png"}


def test_sheet_with_what_it_was_predicted_from(tmp_path):
    face = write_face(tmp_path / "face")
    others = ("texture", "shape", "shape_normals", "mask")
    made = write_face(tmp_path / "made", leave_out=others)
    write_sheet(made, tmp_path / "sheet.png", inputs=face)
    full = TILE * 64 // 96
    # What was given, what was made, what is true, close-ups, lights.
    rows = ((4, full), (4, full), (4, full), (4, 64), (4, full))
    assert read_image(tmp_path / "sheet.png").shape == page_size(*rows)


def test_sheet_of_one_map(tmp_path):
    kinds = ("texture", "shape", "shape_normals", "mask", *REFLECTANCE)
    leave_out = tuple(kind for kind in kinds if kind != "specular_albedo")
    face = write_face(tmp_path / "face", leave_out=leave_out)
    write_sheet(face, tmp_path / "sheet.png")
    expected = page_size((1, TILE * 64 // 96), (1, 64))
    assert read_image(tmp_path / "sheet.png").shape == expected


def test_map_without_reflectance_has_a_sheet_too(tmp_path):
    face = write_face(tmp_path / "face", leave_out=REFLECTANCE)
    write_sheet(face, tmp_path / "sheet.png")
    assert read_image(tmp_path / "sheet.png").shape == page_size((4, TILE * 64 // 96))


def test_unreadable_map_leaves_no_png(tmp_path):
    face = write_face(tmp_path / "face")
    path = face / "specular_normals.tif"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="specular_normals"):
        write_sheet(face, tmp_path / "sheet.png")
    assert {path.name for path in tmp_path.iterdir()} == {"face"}


def test_folder_that_is_no_subject(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        write_sheet(tmp_path / "none", tmp_path / "sheet.png")


def test_pictures_show_what_people_expect():
    flat = torch.tensor((0.0, 0.0, 1.0)).view(3, 1, 1)
    assert picture(flat, "shape_normals").tolist() == [[[128, 128, 255]]]
    grey = torch.full((1, 1, 1), 0.5)
    assert picture(grey, "mask").tolist() == [[[128, 128, 128]]]
    assert picture(grey, "specular_albedo")[0, 0, 0] == 188  # linear half is a light grey
    assert picture(torch.full((3, 1, 1), 2.0), "diffuse_albedo").max() == 255
