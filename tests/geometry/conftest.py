"""Meshes in closed form."""

import math

import numpy as np
import pytest
import torch

from realface.geometry.mesh import Mesh


def make_square() -> Mesh:
    """The unit square in the xy plane, p = (u, v, 0), two triangles."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float64)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(corners, triangles, corners[:, :2], np.tile([0.0, 0.0, 1.0], (4, 1)))


def make_sphere(rows: int = 48, columns: int = 64) -> Mesh:
    """The unit sphere by latitude and longitude, u eastward, v to the north pole (+y)."""
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    latitude, longitude = (v - 0.5) * math.pi, (u - 0.5) * 2 * math.pi
    positions = np.stack(
        [
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
            np.cos(latitude) * np.cos(longitude),
        ],
        axis=-1,
    ).reshape(-1, 3)
    number = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    return Mesh(positions, triangles, np.stack([u, v], -1).reshape(-1, 2), positions)


def write_obj(path, mesh, material=None, normals=False):
    """Write an OBJ; ``material`` names, for each triangle, its material."""
    lines = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in mesh.positions]
    lines += [f"vt {u:.9f} {v:.9f}" for u, v in mesh.uvs]
    lines += [f"vn {x:.9f} {y:.9f} {z:.9f}" for x, y, z in mesh.normals] if normals else []
    if material is not None:
        names = sorted(set(material))
        path.with_suffix(".mtl").write_text("".join(f"newmtl {n}\nKd 1 1 1\n" for n in names))
        lines.insert(0, f"mtllib {path.with_suffix('.mtl').name}")
    for i, triangle in enumerate(mesh.triangles + 1):
        if material is not None and (i == 0 or material[i] != material[i - 1]):
            lines.append(f"usemtl {material[i]}")
        lines.append("f " + " ".join(f"{n}/{n}/{n}" if normals else f"{n}/{n}" for n in triangle))
    path.write_text("\n".join(lines) + "\n")
    return path


def degrees_between(a, b):
    """Angles [deg] between unit vectors ``(3, ...)``, exact near zero."""
    return torch.rad2deg(2 * torch.asin(((a - b).double().norm(dim=0) / 2).clamp(max=1)))


@pytest.fixture
def square():
    return make_square()


@pytest.fixture(scope="session")
def sphere():
    return make_sphere()


def as_mesh(maps, scale=1.0):
    """A subject's own shape as a mesh, in ``scale`` units to the millimetre."""
    _, height, width = maps["shape"].shape
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    uvs = np.stack(((column + 0.5) / width, 1 - (row + 0.5) / height), axis=-1).reshape(-1, 2)
    number = row * width + column
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, 1:].ravel(), number[1:, :-1].ravel()
    positions = maps["shape"].movedim(0, 2).reshape(-1, 3).double().numpy() * scale
    normals = maps["shape_normals"].movedim(0, 2).reshape(-1, 3).double().numpy()
    triangles = np.concatenate((np.stack((a, d, c), 1), np.stack((a, c, b), 1)))
    valid = maps["mask"].flatten().numpy() > 0
    return Mesh(positions, triangles[valid[triangles].all(1)], uvs, normals)
