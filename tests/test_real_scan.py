"""A captured head becomes a subject: data that nobody here made."""

import pytest

from realface.geometry.subject_maps import add_map, bake_subject, derive_diffuse_normals
from realface.maps.subject import Subject
from realface.metrics.angular import angular_error_degrees
from realface.shading.relight import light_subject

SIZE = 192, 288


@pytest.fixture
def head(real_data, tmp_path) -> Subject:
    scan = real_data / "lee-perry-smith"
    mesh, folder = scan / "LeePerrySmith.obj", tmp_path / "head"
    bake_subject(mesh, folder, *SIZE)
    add_map(folder, "diffuse_albedo", scan / "Map-COL.jpg", resample=True)
    add_map(folder, "specular_albedo", scan / "Map-SPEC.jpg", resample=True)
    tangent = scan / "Infinite-Level_02_Tangent_SmoothUV.jpg"
    add_map(folder, "specular_normals", tangent, space="tangent", mesh=mesh, resample=True)
    derive_diffuse_normals(folder, blur=2.0)
    light_subject(folder, seed=1)
    return Subject(folder)


def test_detail_turns_normals_a_little_and_blur_turns_them_back(head):
    base, sharp, soft = (
        head.open(kind).whole()[None]
        for kind in ("shape_normals", "specular_normals", "diffuse_normals")
    )
    mask = head.open("mask").whole()[None]
    detail = float(angular_error_degrees(sharp, base, mask))
    assert 0.5 < detail < 6  # the scan's notes say 2.7 at full size
    assert float(angular_error_degrees(soft, sharp, mask)) > 0.1


def test_what_was_computed_is_marked(head):
    derived = {kind for kind, record in head.record.maps.items() if record.derived}
    assert {"diffuse_normals", "texture"} <= derived
    assert not derived & {"diffuse_albedo", "specular_albedo"}


def test_the_lit_texture_shows_the_albedo_inside_the_mask_and_nothing_outside(head):
    texture, mask = head.open("texture").whole(), head.open("mask").whole() > 0.5
    assert not (texture * ~mask).any()
    albedo = head.open("diffuse_albedo").whole()
    lit = mask & (texture.amax(0, keepdim=True) < 0.95)
    pair = [values.mean(0, keepdim=True)[lit] for values in (texture, albedo)]
    pair = [values - values.mean() for values in pair]
    correlation = (pair[0] * pair[1]).sum() / (pair[0].norm() * pair[1].norm())
    assert correlation > 0.1
