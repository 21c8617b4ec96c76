import pytest
import torch

from realface.maps.kinds import REFLECTANCE
from realface.maps.record import read_record
from realface.maps.subject import Subject, save_map
from realface.pipeline.texel_size import FOLDER, bring_back, of_texel, tell, texel_size
from tests.faces import face_maps, write_face
from tests.trained import translator


@pytest.fixture
def face(tmp_path):
    return Subject(write_face(tmp_path / "face"))


def trained_at(texel):
    return {"diffuse_albedo": translator("diffuse_albedo", millimetres_per_texel=texel)}


FACE_TEXEL = 1.8
"""Of `face`, about [mm]: 150 mm over 96 columns, 110 over 64 rows, and a tenth for its slope."""


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (1.0, None),
        (1.2, None),
        (0.85, None),
        (2.0, (128, 192)),
        (0.5, (32, 48)),
        (1.5, (96, 144)),
        (3.97, (256, 380)),
    ],
)
def test_size_that_texels_ask_for(face, ratio, size):
    found = texel_size(face, trained_at(1.0), texel=ratio)
    assert found.size == size
    assert not found.refused
    if size:
        assert all(side % 4 == 0 for side in size)


@pytest.mark.parametrize(("ratio", "word"), [(4.5, "4 is the most"), (0.1, "8 is the most")])
def test_beyond_the_limits_it_is_run_as_it_is(face, caplog, ratio, word):
    found = texel_size(face, trained_at(1.0), texel=ratio)
    assert found.size is None
    tell(found)
    assert word in caplog.text


def test_no_other_size_where_none_is_wanted(face, caplog):
    found = texel_size(face, trained_at(1.0), 2.0, "none")
    assert (found.size, found.refused) == (None, "")
    assert "run as it is" in str(found)
    tell(found)
    assert not caplog.text


def test_a_side_has_a_limit(tmp_path):
    wide = tmp_path / "wide"
    save_map(wide, "texture", torch.zeros(3, 4, 4000), bits=8)
    found = texel_size(Subject(wide), trained_at(1.0), texel=3.0)
    assert found.size is None
    assert "12x12000" in found.refused


def test_texels_are_measured(face):
    found = texel_size(face, trained_at(0.8))
    assert found.texel == pytest.approx(FACE_TEXEL, rel=0.05)
    assert found.size is not None
    assert "run at" in str(found)


def test_unknown_texels(face, tmp_path):
    assert texel_size(face, {"diffuse_albedo": translator("diffuse_albedo")}) is None
    save_map(tmp_path / "flat", "texture", torch.rand(3, 8, 8))
    assert texel_size(Subject(tmp_path / "flat"), trained_at(1.0)) is None


def test_a_texel_that_is_known_gives_the_shape_its_unit(face):
    told = of_texel(face, 0.3)
    assert texel_size(told, trained_at(0.3)).texel == pytest.approx(0.3, rel=1e-3)
    assert read_record(face.folder).millimetres_per_unit == 1.0  # nothing is written


@pytest.fixture
def larger(face, tmp_path):
    """Maps at twice the face's size, in the folder that they are brought back from."""
    out = tmp_path / "out"
    maps = face_maps(128, 192)
    for kind in REFLECTANCE:
        save_map(out / FOLDER, kind, maps[kind], derived=True)
    return out


def back(face, out, outside="constant"):
    bring_back(
        face, REFLECTANCE, out, form="tif", bits=16, compression="zlib", outside=outside
    )  # fmt: skip
    return Subject(out)


def test_maps_come_back_to_the_subjects_size(face, larger):
    made = back(face, larger)
    assert made.size() == face.size()
    core = face_maps()["mask"][0] > 0.5
    core[2:-2, 2:-2] &= core[:-4, 2:-2] & core[4:, 2:-2] & core[2:-2, :-4] & core[2:-2, 4:]
    for kind in REFLECTANCE:
        values, truth = made.open(kind).whole(), face_maps()[kind]
        assert (values - truth)[:, core].abs().max() < 0.03
        assert made.record.maps[kind].derived
        if kind.endswith("normals"):
            torch.testing.assert_close(values.norm(dim=0), torch.ones(face.size()))
    outside = face.open("mask").whole()[0] < 0.5
    assert not made.open("diffuse_albedo").whole()[:, outside].any()


def test_what_is_there_already_is_kept(face, larger, caplog):
    back(face, larger)
    with caplog.at_level("INFO"):
        back(face, larger)
        assert caplog.text.count("is there already") == 4
        caplog.clear()
        back(face, larger, "input")
        assert "is there already" not in caplog.text


def test_outside_the_mask(face, larger):
    outside = face.open("mask").whole()[0] < 0.5
    made = back(face, larger, "input").open("diffuse_albedo").whole()
    texture = face.open("texture").whole()
    torch.testing.assert_close(made[:, outside], texture[:, outside], atol=2e-5, rtol=0)
