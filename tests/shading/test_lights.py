"""Random lights: seeded, around the set-up, mirrored by x alone."""

import torch

from realface.shading.lights import random_lights


def seeded(seed: int, **arguments):
    return random_lights(4, generator=torch.Generator().manual_seed(seed), **arguments)


def test_equal_seeds_give_equal_lights():
    one, same, other = seeded(1), seeded(1), seeded(2)
    for name in ("positions", "colours", "ambient"):
        assert torch.equal(getattr(one, name), getattr(same, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_samples_of_a_batch_differ_and_no_colour_is_negative():
    lights = seeded(0)
    assert lights.positions.shape == (4, 3, 3)
    assert lights.colours.shape == (4, 3, 3)
    assert lights.ambient.shape == (4, 3)
    assert not torch.equal(lights.positions[0], lights.positions[1])
    assert lights.colours.min() > 0
    assert lights.ambient.min() > 0


def test_without_spread_and_tint_every_sample_has_the_same_white_lights():
    lights = seeded(0, spread=0.0, tint=0.0)
    assert torch.equal(lights.positions[0], lights.positions[3])
    assert torch.equal(lights.colours[..., 0], lights.colours[..., 2])


def test_mirrored_negates_x_and_twice_is_nothing():
    lights = seeded(0)
    mirrored = lights.mirrored()
    assert torch.equal(mirrored.positions[..., 0], -lights.positions[..., 0])
    assert torch.equal(mirrored.positions[..., 1:], lights.positions[..., 1:])
    assert torch.equal(mirrored.mirrored().positions, lights.positions)
    assert torch.equal(mirrored.colours, lights.colours)
