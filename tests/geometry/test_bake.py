from dataclasses import replace

import numpy as np
import pytest
import torch

from realface.geometry.bake import bake
from realface.geometry.frames import corner_tangents, smooth_normals
from realface.geometry.mesh import Mesh
from tests.geometry.conftest import degrees_between, make_sphere


def rotation(seed):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def bitangents(maps):
    return maps["handedness"] * torch.linalg.cross(maps["shape_normals"], maps["tangents"], dim=0)


def test_unit_square_bakes_to_a_coordinate_ramp(square):
    maps = bake(square, 6, 9)
    assert maps["shape"].dtype == torch.float32
    assert torch.allclose(maps["shape"][0], ((torch.arange(9) + 0.5) / 9).expand(6, 9))
    assert torch.allclose(maps["shape"][1], (1 - (torch.arange(6) + 0.5) / 6)[:, None].expand(6, 9))
    assert (maps["shape"][2] == 0).all()
    assert (maps["mask"] == 1).all()
    for name, axis in (("tangents", (1.0, 0.0, 0.0)), ("shape_normals", (0.0, 0.0, 1.0))):
        assert torch.equal(maps[name], torch.tensor(axis)[:, None, None].expand(3, 6, 9))
    assert (maps["handedness"] == 1).all()


def test_sphere_lies_on_the_sphere_and_points_outward(sphere):
    maps = bake(sphere, 96, 128)
    radius = maps["shape"].norm(dim=0)
    assert (maps["mask"] == 1).all()
    assert radius.max() < 1 + 1e-6
    assert radius.min() > 0.997  # chords of 48 x 64 facets
    outward = maps["shape"] / radius
    assert degrees_between(outward, maps["shape_normals"]).max() < 0.2


def test_frame_is_orthonormal_and_its_bitangent_grows_with_v(sphere):
    maps = bake(sphere, 96, 128)
    normals, tangents = maps["shape_normals"], maps["tangents"]
    assert (normals.norm(dim=0) - 1).abs().max() < 1e-5
    assert (tangents.norm(dim=0) - 1).abs().max() < 1e-5
    assert (normals * tangents).sum(0).abs().max() < 1e-5
    inner = slice(12, -12)  # away from the poles, where east has no direction
    up = torch.gradient(maps["shape"], dim=1)[0] * -1
    east = torch.gradient(maps["shape"], dim=2)[0]
    up, east = up / up.norm(dim=0), east / east.norm(dim=0)
    assert degrees_between(up, bitangents(maps))[inner, 2:-2].max() < 3
    assert degrees_between(east, tangents)[inner, 2:-2].max() < 3
    assert (maps["handedness"] == 1).all()


def test_mirrored_uvs_turn_the_handedness_and_keep_green_up(sphere):
    mirrored = replace(sphere, uvs=np.stack([1 - sphere.uvs[:, 0], sphere.uvs[:, 1]], axis=1))
    straight, turned = bake(sphere, 48, 64), bake(mirrored, 48, 64)
    assert (turned["handedness"] == -1).all()
    for name, sign in (("shape", 1), ("shape_normals", 1), ("tangents", -1)):
        assert torch.allclose(turned[name].flip(2), sign * straight[name], atol=1e-3), name
    assert torch.allclose(bitangents(turned).flip(2), bitangents(straight), atol=1e-3)


def test_handedness_follows_the_normals_and_not_the_winding(sphere):
    inward = replace(sphere, triangles=sphere.triangles[:, ::-1])
    straight, turned = bake(sphere, 32, 48), bake(inward, 32, 48)
    for name in ("shape", "tangents", "handedness"):
        assert torch.allclose(straight[name][:, 2:-2], turned[name][:, 2:-2], atol=1e-5), name


def test_mirrored_halves_that_share_vertices_keep_their_tangents():
    # A strip folded over in UV at x = 0: u = |x|. Shared vertices must not average to nothing.
    positions = np.array([[x, y, 0.0] for y in (0, 1) for x in (-1, 0, 1)])
    uvs = np.abs(positions[:, :2])
    triangles = np.array([[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]])
    normals = np.tile([0.0, 0.0, 1.0], (6, 1))
    tangents, handedness = corner_tangents(positions, uvs, normals, triangles)
    assert handedness.tolist() == [-1, -1, 1, 1]
    expected = np.array([-1, -1, 1, 1])[:, None, None] * np.array([1.0, 0, 0])
    assert np.allclose(tangents, np.broadcast_to(expected, tangents.shape))


@pytest.mark.parametrize("seed", range(3))
def test_turning_the_mesh_turns_the_maps(sphere, seed):
    turn = rotation(seed)
    turned = replace(sphere, positions=sphere.positions @ turn.T, normals=sphere.normals @ turn.T)
    before, after = bake(sphere, 32, 48), bake(turned, 32, 48)
    for name in ("shape", "shape_normals", "tangents"):
        expected = torch.einsum("ij,jhw->ihw", torch.from_numpy(turn).float(), before[name])
        assert torch.allclose(after[name], expected, atol=1e-5), name
    assert torch.equal(before["handedness"], after["handedness"])


def test_padding_fills_a_rim_and_leaves_the_rest(square):
    small = replace(square, uvs=0.25 + 0.5 * square.uvs)
    bare, padded = bake(small, 32, 32, padding=0), bake(small, 32, 32, padding=3)
    assert torch.equal(bare["mask"], padded["mask"])
    assert padded["mask"].sum() == 16 * 16
    inside = padded["mask"][0] > 0
    for name in ("shape", "shape_normals", "tangents", "handedness"):
        assert torch.equal(bare[name][:, inside], padded[name][:, inside])
    assert (padded["shape"][0, 8:24, 5:8] < 0.05).all()
    assert (padded["shape"][1, 5:8, 8:24] > 0.95).all()
    assert (padded["shape"][:, :5] == 0).all()
    assert ((padded["tangents"].norm(dim=0) - 1).abs() < 1e-6).all()


def test_smooth_normals_cross_uv_seams(sphere):
    normals = smooth_normals(sphere.positions, sphere.triangles)
    assert np.degrees(np.arccos((normals * sphere.positions).sum(1).clip(-1, 1))).max() < 2
    left, right = np.isclose(sphere.uvs[:, 0], 0), np.isclose(sphere.uvs[:, 0], 1)
    assert np.abs(normals[left] - normals[right]).max() < 1e-12
    north = sphere.uvs[:, 1] == 1
    assert np.allclose(normals[north], [0, 1, 0], atol=1e-6)


def test_smooth_normals_of_a_sheet_with_two_sides_do_not_cancel(square):
    positions = np.concatenate([square.positions, square.positions])
    triangles = np.concatenate([square.triangles, square.triangles[:, ::-1] + 4])
    normals = smooth_normals(positions, triangles)
    assert np.allclose(normals[:4], [0, 0, 1])
    assert np.allclose(normals[4:], [0, 0, -1])


def test_a_triangle_with_one_uv_for_all_corners_still_has_a_frame(square):
    # Its neighbours give it no tangent either: any orthogonal one will do, never zero or NaN.
    uvs = np.array([[0, 0], [1, 0], [0, 1], [0, 0]], dtype=np.float64)
    mesh = Mesh(square.positions, square.triangles, uvs, np.tile([1.0, 0.0, 0.0], (4, 1)))
    maps = bake(mesh, 8, 8)
    for name in ("tangents", "shape_normals"):
        assert ((maps[name].norm(dim=0) - 1).abs() < 1e-5).all()
    assert (maps["tangents"] * maps["shape_normals"]).sum(0).abs().max() < 1e-5


def test_overlaps_are_reported(square, caplog):
    twice = replace(square, triangles=np.concatenate([square.triangles, square.triangles]))
    bake(twice, 8, 8)
    assert "64 texels" in caplog.text


def test_strips_do_not_show(monkeypatch):
    mesh = make_sphere(8, 8)
    whole = bake(mesh, 30, 20)
    monkeypatch.setattr("realface.geometry.bake._TEXELS_AT_ONCE", 60)
    for name, values in bake(mesh, 30, 20).items():
        assert torch.allclose(values, whole[name], atol=1e-6), name
