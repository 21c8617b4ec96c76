import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.maps.background import alpha_mask, background_mask, texture_mask
from realface.maps.files import write_image


def disc(height=48, width=64, colour=(0, 0, 0), dtype=np.uint8):
    """A noisy disc on one colour, and where it is."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / (height / 3)) ** 2 + ((x - width / 2) / (width / 3)) ** 2 < 1
    noise = np.random.default_rng(0).integers(1, np.iinfo(dtype).max, (height, width, 3))
    return np.where(inside[..., None], noise, np.array(colour)).astype(dtype), inside


@settings(max_examples=20, deadline=None)
@given(colour=st.tuples(*[st.integers(0, 65535)] * 3), dtype=st.sampled_from([np.uint8, np.uint16]))
def test_any_one_colour_around_a_face_is_its_background(colour, dtype):
    pixels, inside = disc(colour=tuple(v % (np.iinfo(dtype).max + 1) for v in colour), dtype=dtype)
    inside &= (pixels != pixels[0, 0]).any(2)  # a texel of noise may have that very colour
    found = background_mask(pixels)
    assert found is not None
    assert found[inside].all()
    assert found.sum() <= inside.sum() + 2


def test_what_has_the_colour_within_the_face_stays():
    pixels, inside = disc()
    pixels[20:24, 28:34] = 0  # a nostril, black as the background
    assert np.array_equal(background_mask(pixels), inside)


def test_a_face_that_fills_the_image_has_no_background():
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    assert background_mask(noise) is None
    assert background_mask(np.full((8, 8, 3), 7, np.uint8)) is None  # nothing would be left


def test_less_than_half_of_the_border_is_no_background():
    pixels = np.random.default_rng(0).integers(1, 255, (32, 32, 3)).astype(np.uint8)
    pixels[:8] = 0  # one side and a little of two
    assert background_mask(pixels) is None


def test_alpha():
    pixels = np.full((4, 6, 4), 255, np.uint8)
    assert alpha_mask(pixels) is None
    assert alpha_mask(pixels[..., :3]) is None
    pixels[:, :2, 3], pixels[:, 2, 3] = 0, 127
    assert np.array_equal(alpha_mask(pixels)[0], [False, False, False, True, True, True])


def test_alpha_comes_before_the_background(tmp_path, caplog):
    pixels, inside = disc()
    alpha = np.where(inside, 255, 0).astype(np.uint8)
    alpha[:, :32] = 0
    write_image(tmp_path / "a.png", np.dstack([pixels, alpha]))
    with caplog.at_level("INFO"):
        assert np.array_equal(texture_mask(tmp_path / "a.png"), alpha > 0)
    assert f"{(alpha == 0).sum()} texels" in caplog.text
    assert "alpha" in caplog.text


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 140, 40)])
def test_a_jpegs_background_need_not_be_exact(tmp_path, colour):
    import imagecodecs

    y, x = np.mgrid[:128, :128]
    inside = (y - 64) ** 2 + (x - 64) ** 2 < 40**2
    pixels = np.where(inside[..., None], (170, 130, 110), np.array(colour)).astype(np.uint8)
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpeg_encode(pixels, level=90))
    found = texture_mask(path)
    core, far = (y - 64) ** 2 + (x - 64) ** 2 < 36**2, (y - 64) ** 2 + (x - 64) ** 2 > 52**2
    assert found[core].all()
    assert not found[far].any()
