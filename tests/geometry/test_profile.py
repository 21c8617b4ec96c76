"""Landmarks of faces in closed form, and of real heads."""

import numpy as np
import pytest
import torch

from realface.errors import InputError
from realface.geometry.bake import bake
from realface.geometry.mesh import load_mesh
from realface.geometry.normals import normals_from_shape
from realface.geometry.profile import MIDLINE, PAIRED, face_landmarks

NOSE = [(-13.0, 0.0), (-9.0, 12.0), (0.0, 20.0), (12.0, 15.0), (34.0, 0.0)]
"""Height of the ridge of the nose over the face, bottom up [mm]."""
FACE = [(-130.0, -75.0), (-92.0, -70.0), (-76.0, -34.0), (-60.0, -28.0), (-48.0, -33.0)]
FACE += [(-40.0, -28.0), (-33.0, -28.0), (-24.0, -27.0), (-13.0, -32.0), (0.0, -20.0)]
FACE += [(34.0, -21.0), (50.0, -16.0), (75.0, -16.0), (110.0, -45.0)]
"""The rest of the midline's profile."""
EXPECTED = {
    "nose_tip": (0, 0),
    "nasion": (0, 34),
    "subnasale": (0, -13),
    "stomion": (0, -33),
    "pogonion": (0, -60),
    "inner_eye_left": (15, 28),
    "nose_wing_left": (13, -6),
    "mouth_corner_left": (23, -33),
}


def make_face(step=0.7):
    """A height field: shape ``(3, H, W)`` [mm], its normals and a mask; nose tip at the origin."""
    y, x = torch.meshgrid(
        torch.arange(109.0, -129.0, -step), torch.arange(-73.0, 73.01, step), indexing="ij"
    )

    def through(knots):
        place, value = zip(*knots, strict=True)
        return torch.from_numpy(np.interp(y.numpy(), place, value)).float()

    z = through(FACE) - x**2 / 130 + through(NOSE) * torch.exp(-((x / 13) ** 4))
    z = z - 4 * torch.exp(-0.5 * ((y + 33) / 1.5) ** 2) * torch.sigmoid((22 - x.abs()) / 0.5)
    z = z - 6 * torch.exp(-0.5 * (((x.abs() - 15) / 3.5) ** 2 + ((y - 28) / 4) ** 2))
    shape = torch.stack((x, y, z))
    mask = torch.ones_like(shape[:1])
    return shape, normals_from_shape(shape, mask), mask


@pytest.fixture(scope="module")
def face():
    return make_face()


def turned(face, matrix):
    shape, normals, mask = face
    matrix = torch.tensor(matrix, dtype=torch.float32)
    return (
        torch.einsum("ij,jhw->ihw", matrix, shape),
        torch.einsum("ij,jhw->ihw", matrix, normals),
        mask,
    )


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.12])
def test_landmarks_are_where_the_face_has_them(face, scale):
    shape, normals, mask = face
    found = face_landmarks(scale * shape, normals, mask)
    assert set(found) == {*MIDLINE, *(f"{n}_{s}" for n in PAIRED for s in ("left", "right"))}
    for name, place in EXPECTED.items():
        assert (found[name][:2] / scale - torch.tensor(place)).abs().max() < 3, name


def test_left_mirrors_right(face):
    found = face_landmarks(*face)
    for name in PAIRED:
        left, right = found[f"{name}_left"], found[f"{name}_right"]
        assert (left - right * torch.tensor((-1.0, 1.0, 1.0))).abs().max() < 1.5


def test_landmarks_move_with_the_face(face):
    shape, normals, mask = face
    away = torch.tensor((120.0, -300.0, 44.0))
    before, after = (
        face_landmarks(*face),
        face_landmarks(shape + away[:, None, None], normals, mask),
    )
    for name, place in before.items():
        assert (after[name] - away - place).abs().max() < 1.01  # of a cell


def test_the_layout_of_the_map_does_not_matter(face):
    order = torch.randperm(face[0][0].numel())
    shuffled = [values.flatten(1)[:, order].view(values.shape) for values in face]
    before, after = face_landmarks(*face), face_landmarks(*shuffled)
    assert all(torch.equal(after[name], place) for name, place in before.items())


def test_what_is_masked_is_not_seen(face):
    shape, normals, mask = face
    shape, mask = shape.clone(), mask.clone()
    shape[:, :4], mask[:, :4] = torch.nan, 0
    shape[2, 10:20, 90:110], mask[:, 10:20, 90:110] = 500.0, 0
    found = face_landmarks(shape, normals, mask)
    assert found["nose_tip"].abs().max() < 1


def test_ears_are_found_where_they_stand_out(face):
    shape, normals, mask = (values.clone() for values in face)
    rows = (shape[1, :, 0] < 20) & (shape[1, :, 0] > -5)
    shape[0, rows, :3] -= 15
    shape[0, rows, -3:] += 15
    found = face_landmarks(shape, normals, mask)
    assert found["ear_left"][0] > 80 > -80 > found["ear_right"][0]
    assert 0 < found["ear_left"][1] < 15
    assert "ear_left" not in face_landmarks(*face)


UPSIDE_DOWN = [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]
FROM_BEHIND = [[-1, 0, 0], [0, 1, 0], [0, 0, -1]]
LYING = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]


@pytest.mark.parametrize("matrix", [UPSIDE_DOWN, FROM_BEHIND, LYING])
def test_a_face_turned_away_is_refused(face, matrix):
    with pytest.raises(InputError, match="looks towards"):
        face_landmarks(*turned(face, matrix))


def test_no_face_is_refused(face):
    shape, normals, mask = face
    flat = shape * torch.tensor((1.0, 1.0, 0.0))[:, None, None]
    for other in (
        (flat, normals, mask),
        (shape, normals, 0 * mask),
        (0.001 * shape, normals, mask),
    ):
        with pytest.raises(InputError, match="what to do"):
            face_landmarks(*other)


@pytest.mark.parametrize(
    ("file", "parts", "scale"),
    [
        ("ict-facekit/generic_neutral_mesh.obj", ["M_Face"], 10.0),
        ("lee-perry-smith/LeePerrySmith.obj", None, 54.0),
    ],
)
def test_real_heads(real_data, file, parts, scale):
    maps = bake(load_mesh(real_data / file, parts=parts), 768, 768)
    found = face_landmarks(scale * maps["shape"], maps["shape_normals"], maps["mask"])
    heights = [float(found[name][1]) for name in MIDLINE]
    assert heights == sorted(heights, reverse=True)
    assert {"ear_left", "ear_right"} < set(found)
    for name in PAIRED:
        left, right = found[f"{name}_left"], found[f"{name}_right"]
        assert ((left + right)[0] / 2 - found["nose_tip"][0]).abs() < 3
        assert (left - right)[1].abs() < 4
    # Farkas' adults: n-sn 47-60 mm, al-al 30-42 mm, ch-ch 45-60 mm, within their spread
    assert 40 < heights[0] - heights[2] < 62
    assert 28 < (found["nose_wing_left"] - found["nose_wing_right"])[0] < 44
    assert 42 < (found["mouth_corner_left"] - found["mouth_corner_right"])[0] < 62
