"""bake, add and derive as commands: what flags do and how they are refused."""

import pytest

from realface.maps.files import write_image
from realface.maps.subject import Subject
from tests.cli.command import refused, run
from tests.faces import write_face
from tests.geometry.conftest import make_square, write_obj
from tests.maps.conftest import pixels


@pytest.fixture
def mesh(tmp_path):
    return write_obj(tmp_path / "square.obj", make_square())


def test_bake_and_add(tmp_path, capsys, mesh):
    folder = tmp_path / "face"
    code, _, err = run(capsys, "bake", mesh, folder, "--height", 8, "--width", 12,
                       "--millimetres-per-unit", 150)  # fmt: skip
    assert code == 0, err
    write_image(tmp_path / "n.png", pixels(8, 12, 3, "uint8"))
    code, _, err = run(capsys, "add", folder, "specular_normals", tmp_path / "n.png",
                       "--space", "tangent", "--mesh", mesh, "--tile", 0, 0)  # fmt: skip
    assert code == 0, err
    assert Subject(folder).record.maps["specular_normals"].bits == 16
    code, _, err = run(capsys, "derive", "diffuse_normals", folder)
    assert code == 0, err
    assert "blurred by 1 mm" in err


def test_a_tile_that_is_not_there_reaches_the_mesh(tmp_path, capsys, mesh):
    write_image(tmp_path / "n.png", pixels(8, 12, 3, "uint8"))
    flags = ("--space", "tangent", "--mesh", mesh)
    add = ("add", tmp_path / "face", "specular_normals", tmp_path / "n.png", *flags)
    assert "tile (1, 0)" in refused(capsys, *add, "--tile", 1, 0)
    assert "lips" in refused(capsys, *add, "--part", "lips")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--millimetres-per-unit", "-1"), "--millimetres-per-unit -1"),
        (("--millimetres-per-unit", "nan"), "--millimetres-per-unit nan"),
        (("--padding", "-1"), "padding -1"),
        (("--height", "0"), "height 0"),
        (("--width", "-4"), "width -4"),
    ],
)
def test_numbers_of_bake(tmp_path, capsys, mesh, flags, words):
    err = refused(capsys, "bake", mesh, tmp_path / "face", "--height", 8, "--width", 12, *flags)
    assert words in err
    assert not (tmp_path / "face").exists()


@pytest.mark.parametrize("kind", ["specular_normals", "shape"])
def test_encoding_of_vectors(tmp_path, capsys, kind):
    write_image(tmp_path / "n.png", pixels(8, 12, 3, "uint8"))
    err = refused(
        capsys, "add", tmp_path / "face", kind, tmp_path / "n.png", "--encoding", "linear"
    )
    assert "--encoding linear" in err


def test_deriving_a_texture_from_maps_of_two_sizes(tmp_path, capsys):
    folder = write_face(tmp_path / "face", 12, 16, leave_out=("mask", "texture"))
    write_image(folder / "mask.png", pixels(6, 8, 1, "uint8"))
    assert "6x8" in refused(capsys, "derive", "texture", folder)


def test_occlusion_is_derived_and_may_be_derived_again(tmp_path, capsys):
    folder = write_face(tmp_path / "face")
    for _ in range(2):
        code, _, err = run(capsys, "derive", "occlusion", folder)
        assert code == 0, err
        assert Subject(folder).record.maps["occlusion"].derived


def test_a_captured_map_is_not_derived_over(tmp_path, capsys):
    folder = write_face(tmp_path / "face")
    before = Subject(folder).open("texture").whole()
    assert "not as derived" in refused(capsys, "derive", "texture", folder)
    assert (Subject(folder).open("texture").whole() == before).all()


def test_a_panorama_that_is_none_is_refused(tmp_path, capsys):
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    write_image(tmp_path / "sky.png", pixels(8, 16, 3, "uint8"))
    assert "sky.png" in refused(
        capsys, "derive", "texture", folder, "--light", tmp_path / "sky.png"
    )
    assert "texture" not in Subject(folder)
