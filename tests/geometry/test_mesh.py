import logging
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from realface.errors import InputError
from realface.geometry.mesh import Mesh, load_mesh, select_tile
from tests.geometry.conftest import make_sphere, write_obj


def surface(mesh):
    """Positions, UVs and normals by corner of each triangle, whatever the vertices' order."""
    corners = np.concatenate([mesh.positions, mesh.uvs, mesh.normals], axis=1)[mesh.triangles]
    return corners[np.lexsort(corners.reshape(len(corners), -1).T.round(6))]


def two_tiles(square):
    beyond = replace(square, uvs=square.uvs * 0.9 + (1.05, 0.05))
    inside = replace(square, uvs=square.uvs * 0.9 + (0.05, 0.05))
    return Mesh(
        np.concatenate([inside.positions, beyond.positions + np.array([1, 0, 0])]),
        np.concatenate([inside.triangles, beyond.triangles + 4]),
        np.concatenate([inside.uvs, beyond.uvs]),
        np.concatenate([inside.normals, beyond.normals]),
    )


def test_obj_round_trip_with_its_own_normals(tmp_path, sphere):
    tilted = replace(sphere, normals=np.roll(sphere.normals, 1, axis=1))
    mesh = load_mesh(write_obj(tmp_path / "sphere.obj", tilted, normals=True))
    assert np.allclose(surface(mesh), surface(tilted), atol=1e-6)


def test_obj_without_normals_gets_smooth_ones(tmp_path, sphere):
    mesh = load_mesh(write_obj(tmp_path / "sphere.obj", sphere))
    cosine = (mesh.normals * mesh.positions).sum(axis=1)
    assert len(mesh.triangles) == len(sphere.triangles)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_other_files_hold_the_same_mesh(tmp_path, suffix):
    sphere = make_sphere(6, 8)
    visual = trimesh.visual.TextureVisuals(uv=sphere.uvs)
    path = tmp_path / f"sphere.{suffix}"
    trimesh.Trimesh(
        sphere.positions,
        sphere.triangles,
        vertex_normals=sphere.normals,
        visual=visual,
        process=False,
    ).export(path)
    mesh = load_mesh(path)
    assert np.allclose(mesh.positions, sphere.positions, atol=1e-6)
    assert np.allclose(mesh.uvs, sphere.uvs, atol=1e-6)
    assert (mesh.triangles == sphere.triangles).all()
    assert (mesh.normals * sphere.normals).sum(axis=1).min() > 0.97


def test_placed_and_mirrored_nodes_are_applied(tmp_path, square):
    scene = trimesh.Scene()
    matrix = np.diag([-2.0, 1.0, 1.0, 1.0])
    matrix[:3, 3] = (5, 0, 0)
    visual = trimesh.visual.TextureVisuals(uv=square.uvs)
    part = trimesh.Trimesh(
        square.positions,
        square.triangles,
        vertex_normals=square.normals,
        visual=visual,
        process=False,
    )
    scene.add_geometry(part, geom_name="part", transform=matrix)
    scene.export(tmp_path / "scene.glb")
    mesh = load_mesh(tmp_path / "scene.glb")
    assert np.allclose(mesh.positions[:, 0].min(), 3)
    a, b, c = mesh.positions[mesh.triangles[0]]
    assert np.cross(b - a, c - a)[2] > 0  # the winding still agrees with the normals
    assert np.allclose(mesh.normals, (0, 0, 1))


def test_flip_v(tmp_path, square):
    path = write_obj(tmp_path / "square.obj", replace(square, uvs=square.uvs * 0.5))
    flipped = load_mesh(path, flip_v=True)
    assert np.allclose(flipped.uvs[:, 1], 1 - load_mesh(path).uvs[:, 1])


def test_tiles(tmp_path, square, caplog):
    path = write_obj(tmp_path / "tiles.obj", two_tiles(square))
    with caplog.at_level(logging.WARNING):
        first, second = load_mesh(path), load_mesh(path, tile=(1, 0))
    assert "2 of 4 triangles" in caplog.text
    assert len(first.positions) == len(second.positions) == 4
    assert np.allclose(sorted(first.uvs.tolist()), sorted(second.uvs.tolist()))
    assert first.positions[:, 0].max() == 1
    assert second.positions[:, 0].max() == 2
    with pytest.raises(InputError, match=r"\(0, 0\), \(1, 0\)"):
        select_tile(two_tiles(square), 3, 0)


def test_parts_by_name_and_order(tmp_path, square):
    names = ["skin", "skin", "eye", "eye"]
    path = write_obj(tmp_path / "parts.obj", two_tiles(square), material=names)
    assert load_mesh(path, tile=(1, 0), parts=["eye"]).positions[:, 0].min() == 1
    with pytest.raises(InputError, match="skin"):
        load_mesh(path, parts=["teeth"])


def test_parts_that_overlap_come_in_the_file_s_order_or_the_one_asked_for(tmp_path, square):
    far = replace(square, positions=square.positions + np.array([10, 0, 0]))
    both = Mesh(
        np.concatenate([square.positions, far.positions]),
        np.concatenate([square.triangles, far.triangles + 4]),
        np.concatenate([square.uvs, far.uvs]),
        np.concatenate([square.normals, far.normals]),
    )
    path = write_obj(tmp_path / "parts.obj", both, material=["skin", "skin", "eye", "eye"])
    for parts, first in ((None, 1), (["skin", "eye"], 1), (["eye", "skin"], 11)):
        mesh = load_mesh(path, parts=parts)
        assert mesh.positions[mesh.triangles[0], 0].max() == first


def expect(error, *words):
    """An error states all three parts and holds the words."""
    assert error.value.given
    assert error.value.expected
    assert error.value.remedy
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.obj", None, ["existing file"]),
        ("mesh.stl", "solid", [".obj"]),
        ("mesh.glb", "not a GLB", ["cannot be read"]),
        ("mesh.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", ["UVs"]),
        ("mesh.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", ["no triangles"]),
        ("mesh.obj", "", ["mesh.obj"]),
        (
            "mesh.obj",
            "v nan 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n",
            ["finite"],
        ),
        (
            "mesh.obj",
            "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 2 0\nvt 3 0\nvt 2 1\nf 1/1 2/2 3/3\n",
            ["mesh.obj", "(2, 0)"],
        ),
    ],
)
def test_bad_files_are_explained(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        load_mesh(tmp_path / name)
    expect(error, *words)
