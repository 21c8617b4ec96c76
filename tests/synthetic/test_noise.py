"""Noise must be of unit size, free of state, and silent where texels are too coarse for it."""

import pytest
import torch

from realface.synthetic.lattice import bspline_weights, texel_grid
from realface.synthetic.noise import (
    fade,
    hash_cells,
    nearest_points,
    octave,
    spots,
    strokes,
    unit_floats,
    value_noise,
)


def grid(width=1536, rows=256, columns=256):
    return texel_grid(width, [(100, 200, rows, columns)], torch.device("cpu"))


def test_hashes_are_uniform_and_independent_between_cells_and_seeds():
    row, column = torch.meshgrid(torch.arange(-128, 128), torch.arange(-128, 128), indexing="ij")
    first, second, third = unit_floats(hash_cells(row, column, 7))
    for values in (first, second, third):
        assert abs(values.mean().item() - 0.5) < 0.01
        assert abs(values.std().item() - 0.2887) < 0.01
    other = unit_floats(hash_cells(row, column, 8))[0]
    for a, b in ((first, second), (first, other), (first[1:], first[:-1])):
        assert abs(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1]) < 0.02


def test_octave_has_unit_variance_and_zero_mean():
    noise = octave(grid(), 1.5, 3)
    assert abs(noise.mean().item()) < 0.1
    assert 0.85 < noise.std().item() < 1.15


def test_octave_is_silent_below_two_texels():
    assert octave(grid(192), 2.0, 3).abs().max() == 0
    assert fade(2.0, 1.0) == 0
    assert fade(4.0, 1.0) == 1


@pytest.mark.parametrize("derivative", [False, True])
def test_bspline_reproduces_lines(derivative):
    position = torch.stack((torch.linspace(2.1, 9.7, 31), torch.linspace(-3.0, 4.6, 31)))
    first = torch.tensor([[1.0], [-4.0]])
    weights = bspline_weights(position, first, 14, derivative=derivative)
    knots = first + torch.arange(14)
    expected = torch.ones(2, 31) if derivative else position
    found = (weights @ knots[:, :, None])[..., 0]
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_seeds_of_a_batch_are_the_seeds_of_its_members():
    row, column = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 50
    seeds = torch.tensor([3, 2**31 - 2, 123456789])[:, None, None]
    together = value_noise(row, column, seeds * 31 + 7)
    for values, seed in zip(together, seeds.flatten().tolist(), strict=True):
        assert torch.equal(values, value_noise(row, column, seed * 31 + 7)[0])


def test_value_noise_is_continuous_across_cells():
    line = torch.linspace(-3, 3, 6001)[None]
    noise = value_noise(torch.full_like(line, 0.3), line, 5)
    assert noise.diff().abs().max() < 0.01
    assert noise.std() > 0.2


def test_nearest_points_are_ordered():
    row, column = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0)) * 50
    first, second = nearest_points(row, column, 3)
    assert (first <= second).all()
    assert first.max() < 1.5


def test_no_density_means_no_spots_and_no_hairs():
    y, x = grid(rows=32, columns=32).mesh()
    squared, _ = spots(y, x, 0.0, 1)
    assert squared.min() >= 4
    none = torch.zeros_like(x)
    assert strokes(y, x, none, 1.0, 0.1, none, 1).max() == 0
    assert strokes(y, x, none, 1.0, 0.1, none + 1, 1).max() > 0.9
