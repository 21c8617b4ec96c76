import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.geometry import quantised
from realface.geometry.normals import normals_from_shape
from realface.geometry.quantised import normals_from_quantised, stripe_width
from tests.geometry.conftest import degrees_between

LEVEL = 180 / 255  # mm: 8 bits over RealFaceDB's range


def ellipsoid(height=160, width=192, millimetres=0.08, latitude=0.3, longitude=0.5):
    """Shape [mm] and normals of a part of a head-sized ellipsoid."""
    north = latitude - (torch.arange(height).double() - height / 2) * millimetres / 90
    east = longitude + (torch.arange(width).double() - width / 2) * millimetres / 80
    north, east = torch.meshgrid(north, east, indexing="ij")
    direction = [north.cos() * east.sin(), north.sin(), north.cos() * east.cos()]
    radii = torch.tensor([75.0, 100.0, 85.0], dtype=torch.float64)[:, None, None]
    normals = torch.stack(direction) / radii
    return (torch.stack(direction) * radii).float(), (normals / normals.norm(dim=0)).float()


def rounded(shape, level=LEVEL):
    return (shape / level).round() * level


def full(shape):
    return torch.ones_like(shape[:1])


@settings(deadline=None, max_examples=8)
@given(st.floats(-0.6, 0.6), st.floats(0.3, 1.0), st.floats(0.06, 0.15), st.integers(160, 192))
def test_ellipsoid_of_few_levels(latitude, longitude, millimetres, width):
    shape, expected = ellipsoid(160, width, millimetres, latitude, longitude)
    stored, mask = rounded(shape), full(shape)
    error = degrees_between(normals_from_quantised(stored, mask, LEVEL), expected).mean()
    peer = degrees_between(normals_from_shape(stored, mask, 8.0), expected).mean()
    assert error < 2.5
    assert error < peer / 2


def test_better_than_any_blur_also_at_the_border():
    shape, expected = ellipsoid(256, 256)
    stored, mask = rounded(shape), full(shape)
    border = torch.ones(256, 256, dtype=torch.bool)
    border[16:-16, 16:-16] = False
    found = degrees_between(normals_from_quantised(stored, mask, LEVEL), expected)
    for blur in (4.0, 8.0, 16.0, 32.0):
        peer = degrees_between(normals_from_shape(stored, mask, blur), expected)
        assert found[~border].mean() < peer[~border].mean() / 2
        assert found[border].mean() < peer[border].mean() / 2


def test_more_bits_less_error():
    shape, expected = ellipsoid(millimetres=0.15)
    errors = []
    for bits in (6, 8, 10, 16):
        level = 180 / (2**bits - 1)
        found = normals_from_quantised(rounded(shape, level), full(shape), level)
        errors.append(float(degrees_between(found, expected).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1


def test_positions_that_were_not_rounded_are_differentiated():
    shape, _ = ellipsoid(64, 64)
    found = normals_from_quantised(shape, full(shape), 0.0)
    assert torch.equal(found, normals_from_shape(shape, full(shape)))


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.4, -0.2), (-1.0, 0.7)])
def test_plane(tilt):
    """A plane bends nowhere: only the place of its stripes' edges is unsure."""
    row, column = torch.meshgrid(torch.arange(120.0), torch.arange(150.0), indexing="ij")
    x, y = 0.05 * column + 0.2, -0.05 * row + 0.1
    shape = torch.stack([x, y, tilt[0] * x + tilt[1] * y + 0.3])
    expected = torch.tensor([-tilt[0], -tilt[1], 1.0])[:, None, None]
    expected = (expected / expected.norm()).expand(3, 120, 150)
    found = normals_from_quantised(rounded(shape), full(shape), LEVEL)
    assert degrees_between(found, expected).max() < 2.5
    assert degrees_between(found, expected).mean() < 0.7


def test_noise_beyond_rounding_gives_way_to_a_spline():
    shape, expected = ellipsoid(256, 256)
    noisy = shape + 0.3 * LEVEL * torch.randn(
        shape.shape, generator=torch.Generator().manual_seed(0)
    )
    found = normals_from_quantised(rounded(noisy), full(shape), LEVEL)
    peer = normals_from_shape(rounded(noisy), full(shape), 32.0)
    assert degrees_between(found, expected).mean() < 1.5
    assert degrees_between(found, expected).mean() < degrees_between(peer, expected).mean()


def test_only_the_mask_is_read_and_the_rest_points_at_the_viewer():
    shape, expected = ellipsoid()
    mask = torch.zeros_like(shape[:1])
    mask[:, 20:150, 10:120] = 1
    mask[:, 60:90, 50:80] = 0
    inside = mask[0] > 0
    stored = torch.where(mask > 0, rounded(shape), torch.nan)
    found = normals_from_quantised(stored, mask, LEVEL)
    assert degrees_between(found, expected)[inside].mean() < 1.5
    up = torch.tensor([0.0, 0.0, 1.0])[:, None]
    assert torch.equal(found[:, ~inside], up.expand(3, int((~inside).sum())))


def test_blocks_do_not_show(monkeypatch):
    shape, expected = ellipsoid(300, 420)
    stored, mask = rounded(shape), full(shape)
    whole = normals_from_quantised(stored, mask, LEVEL)
    monkeypatch.setattr(quantised, "_BLOCK", 250)
    blocks = normals_from_quantised(stored, mask, LEVEL)
    assert not torch.equal(blocks, whole)
    assert degrees_between(blocks, whole).mean() < 0.15
    assert degrees_between(blocks, expected).mean() < 1.1 * degrees_between(whole, expected).mean()


def test_turns_and_shifts_with_the_surface():
    shape, _ = ellipsoid()
    stored, mask = rounded(shape), full(shape)
    found = normals_from_quantised(stored, mask, LEVEL)
    turned = torch.stack([-stored[1], stored[0], stored[2]]) + 7 * LEVEL
    expected = torch.stack([-found[1], found[0], found[2]])
    assert degrees_between(normals_from_quantised(turned, mask, LEVEL), expected).max() < 0.1
    mirrored = stored.flip(-1)
    found_mirrored = normals_from_quantised(mirrored, mask, LEVEL)
    assert degrees_between(found_mirrored, -found.flip(-1)).max() < 0.3


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 300), (9, 8), (300, 12)])
def test_small_maps(size):
    shape, _ = ellipsoid(*size)
    found = normals_from_quantised(rounded(shape), full(shape), LEVEL)
    assert torch.isfinite(found).all()
    assert torch.allclose(found.norm(dim=0), torch.ones(size), atol=1e-5)


def test_empty_mask_and_one_level_point_at_the_viewer():
    shape, _ = ellipsoid(40, 40)
    up = torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 40, 40)
    assert torch.equal(normals_from_quantised(shape, torch.zeros(1, 40, 40), LEVEL), up)
    still = torch.full((3, 40, 40), 0.7)
    assert torch.equal(normals_from_quantised(still, torch.ones(1, 40, 40), LEVEL), up)


def test_stripe_width():
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    shape = torch.stack([column, -row, 0 * row]) * 0.05
    assert math.isclose(stripe_width(shape, torch.ones(1, 64, 64), 0.7), 14, rel_tol=1e-4)


@pytest.mark.parametrize(("size", "level"), [((8, 9), 1.0), ((8, 8), -1.0), ((8, 8), math.nan)])
def test_wrong_arguments_are_refused(size, level):
    with pytest.raises(ValueError, match="level="):
        normals_from_quantised(torch.zeros(3, 8, 8), torch.ones(1, *size), level)
