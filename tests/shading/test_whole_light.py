"""The light on a whole face: division, fit, and what neither can change."""

import pytest
import torch

from realface.maps.encoding import linear_to_srgb, unit
from realface.shading import harmonics
from realface.shading.whole_light import (
    LIGHT_CHANNELS,
    delit,
    fitted_light,
    least_squares_light,
    log_shading,
    true_log_shading,
)


@pytest.fixture
def sphere():
    """Normals of all directions, ``(1, 3, 40, 60)``."""
    return unit(torch.randn(1, 3, 40, 60, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def light():
    values = 0.2 * torch.randn(1, LIGHT_CHANNELS, generator=torch.Generator().manual_seed(1))
    return values


def everywhere(light, normals):
    return light[..., None, None].expand(-1, -1, *normals.shape[-2:])


def test_no_light_at_all_is_a_shading_of_one(sphere):
    assert log_shading(torch.zeros(1, LIGHT_CHANNELS, 40, 60), sphere).eq(0).all()


def test_each_colour_has_nine_functions_of_the_normal(sphere, light):
    found = log_shading(everywhere(light, sphere), sphere)
    functions = harmonics.basis(sphere)
    for colour in range(3):
        nine = light[0, 9 * colour : 9 * colour + 9].view(1, 9, 1, 1)
        torch.testing.assert_close(found[:, colour], (nine * functions).sum(1))


def test_what_was_multiplied_is_divided(sphere, light):
    albedo = 0.1 + 0.3 * torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(2))
    shading = log_shading(everywhere(light, sphere), sphere)
    texture = linear_to_srgb(albedo * shading.exp())
    torch.testing.assert_close(delit(texture, shading), linear_to_srgb(albedo), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        true_log_shading(texture, linear_to_srgb(albedo)), shading, atol=1e-4, rtol=0
    )


def test_a_face_of_one_albedo_tells_its_light(sphere, light):
    texture = linear_to_srgb(0.3 * log_shading(everywhere(light, sphere), sphere).exp())
    assert texture.max() < 0.99
    found = fitted_light(texture, sphere, torch.ones(1, 1, 40, 60))
    unlit = delit(texture, log_shading(everywhere(found, sphere), sphere) + torch.tensor(0.3).log())
    torch.testing.assert_close(unlit, torch.full_like(unlit, 1.0), atol=5e-3, rtol=0)


def test_what_lies_beside_the_mask_has_no_say(sphere, light):
    texture = linear_to_srgb(0.3 * log_shading(everywhere(light, sphere), sphere).exp())
    mask = torch.ones(1, 1, 40, 60)
    mask[..., :20] = 0
    spoilt = torch.where(mask > 0, texture, torch.rand_like(texture))
    assert torch.equal(fitted_light(spoilt, sphere, mask), fitted_light(texture, sphere, mask))


def test_a_gain_is_an_offset_of_the_constant(sphere, light):
    usable = torch.ones(1, 3, 40, 60, dtype=torch.bool)
    shading = log_shading(everywhere(light, sphere), sphere)
    before = least_squares_light(shading, sphere, usable)
    after = least_squares_light(shading + 0.5, sphere, usable)
    change = (after - before).view(3, 9)
    torch.testing.assert_close(
        change[:, 0], torch.full((3,), 0.5 / harmonics.Y0), atol=0.01, rtol=0
    )
    assert change[:, 1:].abs().max() < 0.01


def test_few_texels_of_another_kind_bend_the_fit_little(sphere, light):
    usable = torch.ones(1, 3, 40, 60, dtype=torch.bool)
    shading = log_shading(everywhere(light, sphere), sphere)
    hairy = shading.clone()
    hairy[..., :4, :] -= 2  # a tenth of the face
    found = least_squares_light(hairy, sphere, usable)
    off = log_shading(everywhere(found, sphere), sphere) - shading
    assert off.abs().mean() < 0.05  # a plain mean would be off by 0.2
