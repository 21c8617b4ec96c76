import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.maps.kinds import KINDS
from realface.maps.resampled import resample_window
from realface.maps.subject import Subject, save_map
from realface.tiling.tensors import TensorSource
from tests.faces import write_face

SIDES = st.integers(4, 60)


def resampled(values, size):
    source = TensorSource(values)
    return resample_window(source.read, source.size, size, 0, 0, *size)


@settings(max_examples=25, deadline=None)
@given(source=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES), data=st.data())
def test_a_texel_is_the_same_in_every_window(source, size, data):
    values = torch.rand(2, *source)
    whole = resampled(values, size)
    y, x = (data.draw(st.integers(0, side - 1)) for side in size)
    height, width = (
        data.draw(st.integers(1, side - start)) for side, start in zip(size, (y, x), strict=True)
    )
    window = resample_window(TensorSource(values).read, source, size, y, x, height, width)
    assert torch.equal(window, whole[:, y : y + height, x : x + width])


@settings(max_examples=10, deadline=None)
@given(source=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES))
def test_what_is_even_stays_even(source, size):
    torch.testing.assert_close(resampled(torch.full((1, *source), 0.7), size),
                               torch.full((1, *size), 0.7))  # fmt: skip


@pytest.mark.parametrize("size", [(80, 120), (37, 61), (20, 30), (11, 100)])
def test_inside_it_is_torchs_antialiased_cubic(size):
    values = torch.rand(3, 40, 60)
    expected = F.interpolate(values[None], size, mode="bicubic", antialias=True)[0]
    rim = [slice(s // 3, -(s // 3)) for s in size]  # torch leaves out what lies beyond the edge
    made = resampled(values, size)
    torch.testing.assert_close(made[:, rim[0], rim[1]], expected[:, rim[0], rim[1]])


def test_of_its_own_size_it_is_the_map():
    values = torch.rand(3, 9, 14)
    assert torch.equal(resampled(values, (9, 14)), values)


@pytest.mark.parametrize("size", [(128, 192), (100, 150), (40, 60)])
def test_a_subject_at_another_size(tmp_path, size):
    face = Subject(write_face(tmp_path / "face"))
    other = face.at(size)
    assert other.size() == size
    assert face.size() == (64, 96)
    for kind in face.record.maps:
        opened = other.open(kind)
        whole = opened.whole()
        assert whole.shape == (KINDS[kind].channels, *size)
        assert torch.equal(opened.read(7, 11, 20, 30), whole[:, 7:27, 11:41])
        if KINDS[kind].encoding == "unit_vector":
            torch.testing.assert_close(whole.norm(dim=0), torch.ones(size))
    mask = other.open("mask").whole()
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert float(mask.mean()) == pytest.approx(float(face.open("mask").whole().mean()), abs=0.01)


@pytest.mark.parametrize("size", [(128, 192), (40, 60)])
def test_what_lies_outside_the_mask_does_not_bleed_in(tmp_path, size):
    face = Subject(write_face(tmp_path / "face"))
    black, mask = face.open("texture").whole(), face.open("mask").whole()
    inside = face.at(size).open("mask").whole()[0] > 0.5
    first = face.at(size).open("texture").whole()
    save_map(face.folder, "texture", torch.where(mask > 0.5, black, 1.0))
    second = Subject(face.folder).at(size).open("texture").whole()
    torch.testing.assert_close(first[:, inside], second[:, inside], atol=2e-5, rtol=0)
    assert not torch.allclose(first, second)
