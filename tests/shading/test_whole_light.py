"""The light on a whole face: what it means, and division by it."""

import pytest
import torch

from realface.maps.encoding import linear_to_srgb, unit
from realface.shading import harmonics
from realface.shading.whole_light import (
    LIGHT_CHANNELS,
    delit,
    even_light,
    log_shading,
    true_log_shading,
)


@pytest.fixture
def sphere():
    """Normals of all directions, ``(1, 3, 40, 60)``."""
    return unit(torch.randn(1, 3, 40, 60, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def light():
    """Of about 1, brighter from some sides, ``(1, 27, 40, 60)``."""
    nine = 0.3 * torch.randn(1, 3, 9, generator=torch.Generator().manual_seed(1))
    nine[..., 0] = 1 / harmonics.Y0
    return nine.flatten(1)[..., None, None].expand(-1, -1, 40, 60)


def test_even_light_shades_nothing(sphere):
    shading = log_shading(even_light(torch.rand(1, LIGHT_CHANNELS, 40, 60)), sphere)
    assert shading.abs().max() < 0.003  # of the bend that keeps it positive


def test_each_colour_has_nine_functions_of_the_normal(sphere, light):
    found = log_shading(light, sphere).exp()
    functions = harmonics.basis(sphere)
    for colour in range(3):
        irradiance = (light[:, 9 * colour : 9 * colour + 9] * functions).sum(1)
        bright = irradiance > 0.5
        torch.testing.assert_close(found[:, colour][bright], irradiance[bright], atol=0.006, rtol=0)


def test_it_stays_positive_where_harmonics_do_not_and_grows_with_them(sphere):
    light = even_light(torch.zeros(1, LIGHT_CHANNELS, 40, 60))
    light[:, 2::9] = 6.0  # along z: below zero from behind
    shading = log_shading(light, sphere)
    assert torch.isfinite(shading).all()
    order = sphere[0, 2].flatten().argsort()
    assert (shading[0, 0].flatten()[order].diff() >= -1e-5).all()


def test_a_gain_is_an_offset(sphere, light):
    before, after = log_shading(light, sphere), log_shading(3 * light, sphere)
    torch.testing.assert_close(after - before, torch.full_like(before, 3.0).log())


def test_what_was_multiplied_is_divided(sphere, light):
    albedo = 0.1 + 0.3 * torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(2))
    shading = log_shading(light, sphere)
    texture = linear_to_srgb(albedo * shading.exp())
    torch.testing.assert_close(delit(texture, shading), linear_to_srgb(albedo), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        true_log_shading(texture, linear_to_srgb(albedo)), shading, atol=1e-4, rtol=0
    )
