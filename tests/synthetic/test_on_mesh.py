"""Procedural skin on meshes: on the subject's own head it is the subject's own skin."""

import json

import pytest
import torch

from realface.errors import InputError
from realface.geometry.mesh import load_mesh
from realface.geometry.profile import face_landmarks
from realface.maps.subject import Subject
from realface.synthetic import ProceduralSubject, folder
from realface.synthetic import on_mesh as room
from realface.synthetic.chart import relief_slopes
from realface.synthetic.on_mesh import read_landmarks, subject_on_mesh, write_subject_on_mesh
from tests.geometry.conftest import as_mesh

SEED, HEIGHT, WIDTH = 3, 160, 240
CENTRE = (slice(24, 140), slice(72, 168))  # brows to chin


@pytest.fixture(scope="module")
def own():
    return ProceduralSubject(SEED).maps(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def made(own):
    return subject_on_mesh(SEED, as_mesh(own), HEIGHT, WIDTH, millimetres_per_unit=1.0)


def degrees(a, b):
    return torch.rad2deg(2 * torch.asin(((a - b).norm(dim=0) / 2).clamp(max=1)))


def test_the_maps_are_those_of_a_subject(made):
    kinds = {"diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals"}
    assert set(made) == kinds | {"shape", "shape_normals", "mask", "occlusion"}
    for name, values in made.items():
        assert values.dtype == torch.float32
        assert values.isfinite().all(), name
        assert values.shape[1:] == (HEIGHT, WIDTH)
        if name.endswith("normals"):
            torch.testing.assert_close(values.norm(dim=0), torch.ones(HEIGHT, WIDTH))
        if name.endswith("albedo"):
            assert 0 <= values.min() < values.max() <= 1
            assert (values * (1 - made["mask"]) == 0).all()


def test_the_mesh_keeps_its_shape(own, made):
    inside = made["mask"][0] > 0
    assert (made["shape"] - own["shape"])[:, inside].abs().max() < 0.01
    assert degrees(made["shape_normals"], own["shape_normals"])[inside].median() < 0.1


def test_on_its_own_head_a_subject_has_its_own_skin(own, made):
    for name, worst in (("diffuse_albedo", 0.03), ("specular_albedo", 0.03)):
        off = (made[name] - own[name])[(slice(None), *CENTRE)].abs().mean()
        another = (made[name].flip(1) - own[name])[(slice(None), *CENTRE)].abs().mean()
        assert off < worst
        assert off < another / 2, name


def test_on_its_own_head_relief_is_as_steep(own, made):
    for name in ("diffuse_normals", "specular_normals"):
        ours = degrees(made[name], made["shape_normals"])[CENTRE].mean()
        theirs = degrees(own[name], own["shape_normals"])[CENTRE].mean()
        assert ours == pytest.approx(theirs, rel=0.25), name


def test_relief_is_carried_over_as_height(own):
    """Slopes of a known relief on the subject's head come back, wherever the surface faces."""
    rows = torch.arange(HEIGHT)[:, None].float().expand(HEIGHT, WIDTH)
    right_slope, up_slope = 0.1 * torch.sin(rows / 7), 0.05 * torch.cos(rows / 5)
    texel = 300 / WIDTH
    down, right = torch.gradient(own["shape"], spacing=texel, dim=(1, 2))
    flat = torch.linalg.cross(right, -down, dim=0)
    base = flat / flat.norm(dim=0)
    tilt = right_slope * torch.linalg.cross(base, -down, dim=0)
    tilt = tilt + up_slope * torch.linalg.cross(right, base, dim=0)
    raised = (flat + tilt) / (flat + tilt).norm(dim=0)
    slopes = relief_slopes(own["shape"], base, raised, texel)
    torch.testing.assert_close(slopes[0][CENTRE], right_slope[CENTRE], atol=1e-4, rtol=0)
    torch.testing.assert_close(slopes[1][CENTRE], up_slope[CENTRE], atol=1e-4, rtol=0)


def test_units_of_the_mesh_do_not_matter(own, made):
    small = as_mesh(own, 0.1)
    other = subject_on_mesh(SEED, small, HEIGHT, WIDTH, millimetres_per_unit=10.0)
    off = (other["diffuse_albedo"] - made["diffuse_albedo"]).abs().mean()
    assert off < 1e-3
    assert (other["shape"] - made["shape"]).abs().max() < 0.01


def test_given_landmarks_override_what_geometry_tells(own, made):
    found = face_landmarks(own["shape"], own["shape_normals"], own["mask"])
    higher = {name: found[name] + torch.tensor((0.0, 6.0, 0.0)) for name in found}
    moved = subject_on_mesh(
        SEED, as_mesh(own), HEIGHT, WIDTH, millimetres_per_unit=1.0, landmarks=higher
    )
    texels = round(6 / (300 / WIDTH))
    expected = made["diffuse_albedo"].roll(-texels, 1)[(slice(None), *CENTRE)]
    off = (moved["diffuse_albedo"][(slice(None), *CENTRE)] - expected).abs().mean()
    assert (
        off
        < (moved["diffuse_albedo"] - made["diffuse_albedo"])[(slice(None), *CENTRE)].abs().mean()
        / 2
    )


def test_the_scale_is_estimated_and_said(own, caplog):
    made = subject_on_mesh(SEED, as_mesh(own, 0.1), HEIGHT, WIDTH)
    assert "estimated from the face's width" in caplog.text
    width, wanted = (maps["shape"][0, 60, 120:200] for maps in (made, own))
    assert 0.8 < (width[-1] - width[0]) / (wanted[-1] - wanted[0]) < 1.2


def test_a_subject_is_written_with_what_is_known_of_it(own, tmp_path):
    write_subject_on_mesh(
        SEED, as_mesh(own), tmp_path / "face", 80, 120, millimetres_per_unit=1.0,
        source="head.obj", licence="MIT", flaws=["background"],
    )  # fmt: skip
    record = Subject(tmp_path / "face").record
    assert (record.seed, record.licence, record.millimetres_per_unit) == (SEED, "MIT", 1.0)
    assert record.source.endswith("head.obj")
    assert record.flaws == ("background",)
    assert all(entry.derived for entry in record.maps.values())


def test_an_interrupted_subject_leaves_nothing(own, made, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "save_map", interrupt)
    monkeypatch.setattr(room, "subject_on_mesh", lambda *_, **__: made)
    with pytest.raises(KeyboardInterrupt):
        write_subject_on_mesh(
            SEED, as_mesh(own), tmp_path / "face", 80, 120, millimetres_per_unit=1.0
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**31}, {"millimetres_per_unit": 0.0}])
def test_numbers_that_make_no_sense_are_refused(own, wrong):
    given = {"seed": SEED, "millimetres_per_unit": 1.0} | wrong
    seed = given.pop("seed")
    with pytest.raises(InputError):
        subject_on_mesh(seed, as_mesh(own), 80, 120, **given)


def test_landmarks_are_read(tmp_path):
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"stomion": [0, -3.5, 10]}))
    assert read_landmarks(file)["stomion"].tolist() == [0, -3.5, 10]


@pytest.mark.parametrize(
    "text", ['{"chin": [0, 0, 0]}', '{"stomion": [0, 1]}', '{"stomion": "low"}', "[1, 2]", "{",
             '{"stomion": [0, 0, NaN]}']
)  # fmt: skip
def test_landmarks_that_cannot_be_meant_are_refused(tmp_path, text):
    file = tmp_path / "places.json"
    file.write_text(text)
    with pytest.raises(InputError, match="nose_tip"):
        read_landmarks(file)


def test_missing_landmarks_are_refused(tmp_path):
    with pytest.raises(InputError, match="an object of name"):
        read_landmarks(tmp_path / "places.json")


def test_lips_land_on_the_lips_of_a_real_head(real_data):
    mesh = load_mesh(real_data / "ict-facekit/generic_neutral_mesh.obj", parts=["M_Face"])
    made = subject_on_mesh(SEED, mesh, 384, 384, millimetres_per_unit=10.0)
    found = face_landmarks(made["shape"], made["shape_normals"], made["mask"])
    red = made["diffuse_albedo"][0] - made["diffuse_albedo"][1]

    def redness(below):
        at = found["stomion"] + torch.tensor((0.0, -below, 0.0))
        near = (made["shape"] - at[:, None, None])[:2].norm(dim=0) < 3
        return red[near & (made["mask"][0] * made["shape_normals"][2] > 0.3)].mean()

    assert redness(4.0) > redness(22.0) + 0.03
    assert redness(4.0) > redness(-16.0) + 0.03
