"""Subject folders from meshes and images: what is kept, converted and refused."""

import numpy as np
import pytest
import torch

from realface.errors import InputError
from realface.geometry.placement import place
from realface.geometry.subject_maps import (
    add_map,
    bake_subject,
    derive_diffuse_normals,
    derive_shape_normals,
)
from realface.maps.encoding import linear_to_srgb, unit
from realface.maps.files import write_image
from realface.maps.io import encode
from realface.maps.kinds import KINDS
from realface.maps.record import FILE_NAME, SIGNED_RANGE, SubjectRecord, default_record
from realface.maps.spaces import object_to_offset, offset_to_object
from realface.maps.subject import Subject, save_map
from tests.faces import face_maps, write_face
from tests.geometry.conftest import degrees_between, write_obj
from tests.maps.conftest import pixels


@pytest.fixture
def mesh(tmp_path, square):
    return write_obj(tmp_path / "square.obj", square)


@pytest.fixture
def baked(tmp_path, mesh):
    bake_subject(mesh, tmp_path / "baked", 12, 16)
    return tmp_path / "baked"


def bits_of(folder, kind):
    return Subject(folder).record.maps[kind].bits


# Bake


def test_bake_makes_a_subject_with_what_is_said_of_it(tmp_path, mesh):
    about = SubjectRecord(millimetres_per_unit=10.0, source="a", licence="b")
    bake_subject(mesh, tmp_path / "face", 12, 16, about=about)
    subject = Subject(tmp_path / "face")
    assert set(subject.record.maps) == {"shape", "shape_normals", "mask"}
    assert subject.size() == (12, 16)
    assert (subject.record.millimetres_per_unit, subject.record.licence) == (10.0, "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face", "square.obj"]


def test_a_bake_that_breaks_off_leaves_nothing_and_can_be_run_again(tmp_path, mesh, monkeypatch):
    def interrupted(folder, kind, *arguments, **keywords):
        if kind == "mask":
            raise KeyboardInterrupt
        save_map(folder, kind, *arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr("realface.geometry.subject_maps.save_map", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bake_subject(mesh, tmp_path / "face", 12, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["square.obj"]
    (tmp_path / "face").mkdir()  # an empty folder is as good as none
    bake_subject(mesh, tmp_path / "face", 12, 16)
    with pytest.raises(InputError, match="a new or empty folder"):
        bake_subject(mesh, tmp_path / "face", 12, 16)
    assert Subject(tmp_path / "face").size() == (12, 16)


def test_a_mesh_that_covers_no_texel_is_refused(tmp_path, square):
    square.uvs[:] = 0.5 + 1e-5 * square.uvs
    mesh = write_obj(tmp_path / "tiny.obj", square)
    with pytest.raises(InputError, match="covers nothing"):
        bake_subject(mesh, tmp_path / "face", 8, 8)
    assert not (tmp_path / "face").exists()


@pytest.mark.parametrize(
    ("height", "width", "padding", "words"),
    [(0, 8, 8, "height 0"), (8, -3, 8, "width -3"), (8, 8, -1, "padding -1")],
)
def test_numbers_of_bake_are_refused_by_name(tmp_path, mesh, height, width, padding, words):
    with pytest.raises(InputError, match=words):
        bake_subject(mesh, tmp_path / "face", height, width, padding=padding)


# Add


def test_unconverted_8_bit_colours_and_masks_stay_at_8_bits(tmp_path, baked):
    for kind, channels in (("texture", 3), ("mask", 1)):
        image = pixels(12, 16, channels, "uint8")
        write_image(tmp_path / "image.png", image)
        add_map(baked, kind, tmp_path / "image.png", resample=True)  # of the right size already
        assert bits_of(baked, kind) == 8
        back = Subject(baked).open(kind).whole().mul(255).round().byte().permute(1, 2, 0)
        np.testing.assert_array_equal(back.numpy(), image)


@pytest.mark.parametrize(
    ("kind", "size", "arguments"),
    [
        ("diffuse_albedo", (12, 16), {"encoding": "linear"}),
        ("diffuse_albedo", (10, 16), {"resample": True}),
        ("specular_albedo", (12, 16), {"encoding": "srgb"}),
        ("specular_normals", (12, 16), {}),
        ("specular_normals", (12, 16), {"space": "offset"}),
        ("shape", (12, 16), {}),
    ],
)
def test_what_was_converted_is_kept_at_16_bits(tmp_path, baked, kind, size, arguments):
    write_image(tmp_path / "image.png", pixels(*size, KINDS[kind].channels, "uint8"))
    add_map(baked, kind, tmp_path / "image.png", **arguments)
    assert bits_of(baked, kind) == 16


def test_float_colours_are_linear(tmp_path, caplog):
    caplog.set_level("INFO")
    values = torch.rand(3, 6, 8)
    write_image(tmp_path / "light.exr", values.permute(1, 2, 0).numpy())
    add_map(tmp_path / "face", "texture", tmp_path / "light.exr")
    stored = Subject(tmp_path / "face").open("texture").whole()
    torch.testing.assert_close(stored, linear_to_srgb(values), atol=1e-4, rtol=0)
    assert "light.exr: taken as linear" in caplog.text


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("specular_normals", {"encoding": "linear"}, "--encoding linear for specular_normals"),
        ("shape", {"encoding": "srgb"}, "--encoding srgb for shape"),
        ("texture", {"space": "object"}, "--space object for texture"),
        ("shape", {"green": "dx"}, "--green dx for shape"),
        ("shape_normals", {"mesh": "square.obj"}, "--mesh .* object space"),
        ("shape_normals", {"tile": (1, 0)}, "--tile .* object space"),
        ("shape_normals", {"parts": ["skin"]}, "--part .* object space"),
        ("shape_normals", {"flip_v": True}, "--flip-v .* object space"),
        ("mask", {"mesh": "square.obj"}, "--mesh .* mask"),
        ("shape_normals", {"space": "tangent"}, "without a mesh"),
    ],
)
def test_flags_that_mean_nothing_are_refused(tmp_path, kind, arguments, words):
    write_image(tmp_path / "image.png", pixels(4, 4, 3, "uint16"))
    with pytest.raises(InputError, match=words):
        add_map(tmp_path / "face", kind, tmp_path / "image.png", **arguments)
    assert not (tmp_path / "face").exists()


def test_the_size_is_checked_without_a_json_too(tmp_path):
    folder = tmp_path / "face"
    folder.mkdir()
    write_image(folder / "texture.png", pixels(6, 8, 3, "uint8"))
    write_image(tmp_path / "mask.png", pixels(3, 4, 1, "uint8"))
    with pytest.raises(InputError, match=r"mask.png is 3x4 .*\n.*6x8, as .*\n.*--resample"):
        add_map(folder, "mask", tmp_path / "mask.png")
    assert not (folder / FILE_NAME).exists()
    add_map(folder, "mask", tmp_path / "mask.png", resample=True)
    assert Subject(folder).size() == (6, 8)


def test_a_map_of_the_wrong_size_can_be_added_again(tmp_path):
    folder = write_face(tmp_path / "face", 12, 16)
    save_map(folder, "mask", torch.ones(1, 6, 8))
    write_image(tmp_path / "mask.png", pixels(6, 8, 1, "uint8"))
    add_map(folder, "mask", tmp_path / "mask.png", resample=True)
    assert Subject(folder).size() == (12, 16)


def test_tangent_normals_take_the_frame_of_their_tile_and_part(tmp_path, square):
    """Two squares in tile (1, 0), one turned by 90 degrees: the part decides the frame."""
    from dataclasses import replace

    from realface.geometry.mesh import Mesh

    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    beside = np.array((1.0, 0.0))
    turned = replace(square, positions=square.positions @ turn)
    both = Mesh(*(
        np.concatenate(pair)
        for pair in (
            (square.positions, turned.positions),
            (square.triangles, turned.triangles + 4),
            (square.uvs + beside, turned.uvs + beside),
            (square.normals, turned.normals),
        )
    ))  # fmt: skip
    mesh = write_obj(tmp_path / "both.obj", both, material=["skin", "skin", "other", "other"])
    leaning = unit(torch.tensor((0.6, 0.0, 0.8)).view(3, 1, 1).expand(3, 8, 8))
    record = default_record("specular_normals", "n.png", 8, 8, 16)
    stored = encode(leaning, KINDS["specular_normals"], record, np.dtype("u2"))
    write_image(tmp_path / "n.png", stored)
    expected = {"skin": (0.6, 0.0, 0.8), "other": (0.0, 0.6, 0.8)}
    for part, direction in expected.items():
        add_map(tmp_path / part, "specular_normals", tmp_path / "n.png", space="tangent",
                mesh=mesh, tile=(1, 0), parts=[part])  # fmt: skip
        found = Subject(tmp_path / part).open("specular_normals").whole()
        truth = torch.tensor(direction).view(3, 1, 1).expand(3, 8, 8)
        assert degrees_between(found, truth).max() < 0.1


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_offset_normals_come_back_through_files(tmp_path, dtype):
    """Steep offsets whose stored vector is not of unit length: z means nothing in them."""
    maps = face_maps(12, 16)
    folder = tmp_path / "face"
    save_map(folder, "shape_normals", maps["shape_normals"])
    offsets = object_to_offset(maps["specular_normals"], maps["shape_normals"])
    offsets[2] = 0.0  # as some programs store it
    expected = offset_to_object(offsets, maps["shape_normals"])
    suffix = ".png" if dtype == "u2" else ".exr"
    record = default_record("specular_normals", f"n{suffix}", 12, 16, 16 if dtype == "u2" else 32)
    span = record.range
    stored = (offsets.permute(1, 2, 0) - torch.tensor(span.offset)) / span.scale
    if dtype == "u2":
        stored = (stored * 65535).round()
    write_image(tmp_path / f"n{suffix}", stored.numpy().astype(dtype))
    assert (span == SIGNED_RANGE) == (dtype == "f4")
    add_map(folder, "specular_normals", tmp_path / f"n{suffix}", space="offset")
    found = Subject(folder).open("specular_normals").whole()
    assert degrees_between(found, expected).max() < 0.05


# Derive


def test_derived_maps_are_marked(tmp_path):
    folder = write_face(tmp_path / "face", leave_out=("diffuse_normals", "shape_normals"))
    derive_diffuse_normals(folder)
    derive_shape_normals(folder)
    for kind in ("diffuse_normals", "shape_normals"):
        assert Subject(folder).record.maps[kind].derived
    found = Subject(folder).open("shape_normals").whole()
    inside = face_maps()["mask"][0] > 0.5
    assert degrees_between(found, face_maps()["shape_normals"])[inside].median() < 1


@pytest.mark.parametrize("deriving", [derive_diffuse_normals, derive_shape_normals])
def test_deriving_refuses_maps_of_two_sizes_and_a_negative_blur(tmp_path, deriving):
    folder = write_face(tmp_path / "face", 12, 16)
    with pytest.raises(InputError, match="blur -1"):
        deriving(folder, -1.0)
    save_map(folder, "mask", torch.ones(1, 6, 8))
    with pytest.raises(InputError, match=r"mask is 6x8"):
        deriving(folder)


def test_placing_refuses_a_mask_of_another_size(tmp_path):
    folder = write_face(tmp_path / "face", 12, 16)
    save_map(folder, "mask", torch.ones(1, 6, 8))
    subject = Subject(folder)
    with pytest.raises(InputError, match=r"(?s)mask.tif of 6x8 .*shape.tif is 12x16"):
        place(subject.open("shape"), subject.open("mask"), 1.0)
