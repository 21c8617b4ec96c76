"""Two real meshes, against maps that were made from them by other means."""

import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch

from realface.geometry.bake import bake
from realface.geometry.mesh import load_mesh
from realface.geometry.normals import unit_or
from tests.geometry.conftest import degrees_between

DATA = os.environ.get("REALFACE_REAL_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="REALFACE_REAL_DATA does not name the folder of real heads"
)
UP = (0.0, 0.0, 1.0)


def read(name):
    """A 16-bit PNG as ``(C, H, W)`` in [0, 1]."""
    pixels = imagecodecs.png_decode((Path(DATA) / name).read_bytes())
    return torch.from_numpy(pixels.astype(np.float32) / 65535).movedim(2, 0)


def bake_real(name, parts=None):
    return bake(load_mesh(Path(DATA) / name, parts=parts), 1024, 1024)


@pytest.mark.parametrize(
    ("folder", "mesh", "parts", "scale", "offset", "mean_degrees"),
    [
        ("lee-perry-smith", "LeePerrySmith.obj", None, 8.552642, (-4.276, -3.973, -2.590), 0.02),
        (
            "ict-facekit",
            "generic_neutral_mesh.obj",
            ["M_Face"],
            33.8131,
            (-12.416, -19.308, -9.232),
            0.6,  # other weights of the vertex normals
        ),
    ],
)
def test_bakes_agree_with_the_derived_maps(folder, mesh, parts, scale, offset, mean_degrees):
    maps = bake_real(f"{folder}/{mesh}", parts)
    mask = maps["mask"][0] > 0
    derived = read(f"{folder}/derived_shape_16bit.png") * scale
    distance = (derived + torch.tensor(offset)[:, None, None] - maps["shape"]).norm(dim=0)[mask]
    assert distance.median() < scale * 2e-4
    assert (distance > scale * 1e-3).float().mean() < 1e-3  # where islands overlap
    normals = unit_or(read(f"{folder}/derived_shapeNormals_object_16bit.png") * 2 - 1, UP)
    assert degrees_between(normals, maps["shape_normals"])[mask].mean() < mean_degrees


def test_tangent_map_of_lee_perry_smith_through_our_frame():
    cv2 = pytest.importorskip("cv2")
    maps = bake_real("lee-perry-smith/LeePerrySmith.obj")
    folder = Path(DATA) / "lee-perry-smith"
    pixels = cv2.imread(str(folder / "Infinite-Level_02_Tangent_SmoothUV.jpg"))[..., ::-1]
    x, y, z = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).movedim(2, 0)
    normals, tangents = maps["shape_normals"], maps["tangents"]
    bitangents = maps["handedness"] * torch.linalg.cross(normals, tangents, dim=0)
    ours = unit_or(x * tangents + y * bitangents + z * normals, UP)
    derived = read("lee-perry-smith/derived_detailNormals_object_16bit.png") * 2 - 1
    length = (derived**2).sum(dim=0).sqrt()
    filled = (maps["mask"][0] > 0) & ((length - 1).abs() < 0.01)  # it leaves rims and holes black
    assert filled.float().mean() > 0.85
    ours_off = degrees_between(ours, unit_or(derived, UP))[filled].mean()
    base_off = degrees_between(normals, unit_or(derived, UP))[filled].mean()
    assert ours_off < 0.5
    assert base_off > 2  # so that the agreement means something
