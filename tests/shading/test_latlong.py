"""Latitude-longitude maps: where texels lie, and looking them up."""

import math

import torch

from realface.maps.encoding import unit
from realface.shading import latlong
from tests.shading.spheres import random_directions, rotation, smooth_surround, texel

LIKE = torch.zeros((), dtype=torch.float64)


def test_rows_run_from_up_to_down_and_columns_to_plus_x():
    towards = latlong.directions(90, 180, LIKE)
    torch.testing.assert_close(unit(towards), towards)
    up, ahead = towards[:, 0].mean(1), towards[:, 44:46, 89:91].mean((1, 2))
    torch.testing.assert_close(unit(up[:, None, None]).flatten(), texel(0, 1, 0).flatten())
    torch.testing.assert_close(unit(ahead[:, None, None]).flatten(), texel(0, 0, 1).flatten())
    assert towards[0, 45, 135] > 0.99  # three quarters across


def test_solid_angles_are_those_of_the_sphere():
    for height, width in ((1, 1), (5, 7), (64, 128)):
        angles = latlong.solid_angles(height, width, LIKE)
        assert abs(float(angles.sum()) * width - 4 * math.pi) < 1e-12
        torch.testing.assert_close(angles, angles.flip(0))


def test_texel_centres_return_themselves_and_levels_mix():
    levels = torch.rand(2, 3, 4, 6, 12, dtype=torch.float64)
    towards = latlong.directions(6, 12, LIKE).expand(2, -1, -1, -1)
    torch.testing.assert_close(latlong.sample(levels, towards), levels[:, 0])
    level = torch.full((2, 1, 6, 12), 1.25, dtype=torch.float64)
    mixed = latlong.sample(levels, towards, level)
    torch.testing.assert_close(mixed, 0.75 * levels[:, 1] + 0.25 * levels[:, 2])


def test_no_seam_behind_nor_at_the_poles():
    levels = torch.rand(1, 1, 3, 6, 12, dtype=torch.float64)
    for axis in ((0, 0, -1), (0, 1, 0), (0, -1, 0)):
        around = unit(texel(*axis) + 1e-7 * torch.randn(1, 3, 8, 8, dtype=torch.float64))
        values = latlong.sample(levels, around)
        assert float(values.std(dim=(2, 3)).max()) < 1e-5, axis
    pole = latlong.sample(levels, texel(0, 1, 0)).flatten()
    torch.testing.assert_close(pole, levels[0, 0, :, 0].mean(1), atol=1e-5, rtol=0)


def test_lookup_of_a_smooth_map_is_close_between_texels_and_passes_gradients():
    levels = torch.rand(1, 2, 2, 4, 8, dtype=torch.float64).requires_grad_()
    towards = random_directions(1, 3).requires_grad_()
    level = torch.full((1, 1, 3, 3), 0.3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(latlong.sample, (levels, towards, level))
    coarse, fine = smooth_surround(32), smooth_surround(96)
    towards = latlong.directions(96, 192, LIKE)[None]
    error = latlong.sample(coarse[None, None], towards)[0] - fine
    assert float(error.abs().max()) < 0.05 * float(fine.max())


def test_gradient_is_finite_at_the_poles():
    towards = texel(0, 1, 0).requires_grad_()
    latlong.sample(torch.rand(1, 1, 3, 4, 8, dtype=torch.float64), towards).sum().backward()
    assert torch.isfinite(towards.grad).all()


def test_rotated_maps_hold_at_the_turned_direction_what_was_there():
    radiance = smooth_surround(64)[None, None]
    matrix = rotation(0.4, -0.8, 0.3)
    turned = latlong.rotated(radiance, matrix)
    towards = random_directions()
    there = torch.einsum("ij,bjhw->bihw", matrix, towards)
    before, after = latlong.sample(radiance, towards), latlong.sample(turned, there)
    torch.testing.assert_close(after, before, atol=0.03, rtol=0)
    columns = rotation(0, 2 * math.pi * 5 / 128, 0)  # five whole columns towards +x
    torch.testing.assert_close(latlong.rotated(radiance, columns), radiance.roll(5, -1))
    both = latlong.rotated(radiance.expand(2, -1, -1, -1, -1), torch.stack((columns, matrix)))
    torch.testing.assert_close(both[1:], turned)
