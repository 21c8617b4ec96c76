import pytest
import torch

from realface.errors import InputError
from realface.geometry.measure import (
    median_position,
    millimetres_per_texel,
    millimetres_per_unit_from_width,
    texel_sides,
)


def plane(height, width, slope=0.0):
    """15 wide and 20 tall, centred on x = 1, z = slope * x + 4."""
    y = 20 * (0.5 - (torch.arange(height) + 0.5) / height)
    x = 15 * ((torch.arange(width) + 0.5) / width - 0.5) + 1
    x, y = x.expand(height, width), y[:, None].expand(height, width)
    return torch.stack([x, y, slope * x + 4]), torch.ones(1, height, width)


@pytest.mark.parametrize("size", [(40, 30), (1500, 1200)])
def test_plane(size):
    shape, mask = plane(*size)
    x, y, z = median_position(shape, mask)
    assert x == pytest.approx(1, abs=0.3)
    assert y == pytest.approx(0, abs=0.3)
    assert z == 4
    assert millimetres_per_unit_from_width(shape, mask) == pytest.approx(150 / 15 / 0.98, rel=0.03)
    texel = (15 / size[1] * 20 / size[0]) ** 0.5
    assert millimetres_per_texel(shape, mask, 10) == pytest.approx(10 * texel, rel=1e-3)


def test_slant_adds_surface():
    shape, mask = plane(40, 30, slope=1.0)
    flat, _ = plane(40, 30)
    ratio = millimetres_per_texel(shape, mask, 1) / millimetres_per_texel(flat, mask, 1)
    assert ratio == pytest.approx(2**0.25, rel=1e-4)


def test_sides_of_texels_that_are_no_squares():
    shape, mask = plane(40, 30)
    assert texel_sides(shape, mask, 10) == pytest.approx((10 * 20 / 40, 10 * 15 / 30), rel=1e-4)
    shape, mask = plane(40, 60, slope=1.0)
    assert texel_sides(shape, mask, 10) == pytest.approx((5.0, 2.5 * 2**0.5), rel=1e-4)


def test_only_the_mask_counts():
    shape, mask = plane(40, 30)
    mask[:, :, 15:] = 0
    shape = torch.where(mask > 0, shape, 1000.0)
    assert median_position(shape, mask)[0] < 1
    assert millimetres_per_unit_from_width(shape, mask) > 19
    assert millimetres_per_texel(shape, mask, 10) == pytest.approx(5, rel=1e-3)


def test_shoulders_do_not_count():
    shape, mask = plane(40, 30)
    alone = millimetres_per_unit_from_width(shape, mask)
    shape[0, 25:] *= 3
    assert millimetres_per_unit_from_width(shape, mask) == pytest.approx(alone)


def test_empty_masks_and_flat_shapes_are_explained():
    shape, mask = plane(8, 8)
    for measure in (median_position, millimetres_per_unit_from_width):
        with pytest.raises(InputError, match="without a valid texel"):
            measure(shape, torch.zeros_like(mask))
    with pytest.raises(InputError, match="neighbours"):
        millimetres_per_texel(shape, torch.zeros_like(mask), 1)
    with pytest.raises(InputError, match="wide"):
        millimetres_per_unit_from_width(torch.zeros_like(shape), mask)
