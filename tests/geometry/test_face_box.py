"""The central face."""

import torch

from realface.geometry.face_box import face_box
from tests.faces import face_maps


def test_box_is_about_the_foremost_point_whatever_the_origin():
    maps = face_maps()
    mask = maps["mask"] > 0.5
    found = face_box(maps["shape"], maps["shape_normals"], mask)
    assert found.shape == mask.shape
    assert (found <= mask).all()
    assert found[0, 32, 48]
    moved = maps["shape"] + torch.tensor((30.0, -400.0, 7.0)).view(3, 1, 1)
    assert torch.equal(face_box(moved, maps["shape_normals"], mask), found)


def test_what_lies_far_below_is_left_out():
    maps = face_maps()
    mask = torch.ones_like(maps["mask"], dtype=torch.bool)
    shape = maps["shape"] * torch.tensor((1.0, 2.0, 1.0)).view(3, 1, 1)  # now 110 mm down
    found = face_box(shape, maps["shape_normals"], mask)
    assert not found[0, -1].any()
    assert found[0, 32].any()


def test_a_head_that_looks_away_has_no_face():
    maps = face_maps()
    assert not face_box(maps["shape"], -maps["shape_normals"], maps["mask"] > 0.5).any()
