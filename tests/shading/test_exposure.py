"""The meter: known lights read as what they are, and exposure undoes scale."""

import torch

from realface.shading import harmonics
from realface.shading.environment import Environment
from realface.shading.exposure import exposed, scaled, white_card
from realface.shading.lights import point_lights
from realface.shading.random_lights import varied_lights


def test_white_amid_constant_radiance_returns_it():
    radiance = torch.tensor([[0.2, 0.4, 0.9]])
    lights = point_lights(torch.zeros(1, 0, 3), torch.zeros(1, 0, 3), radiance)
    assert torch.allclose(white_card(lights), radiance, atol=1e-6)


def test_a_lamp_counts_by_the_cosine_of_each_card():
    lights = point_lights(
        torch.tensor([[[0.0, 0.0, 900.0]]]), torch.ones(1, 1, 3), torch.zeros(1, 3)
    )
    expected = (1 + 2 * 0.5**0.5 + 2 * 0.8) / 5
    assert torch.allclose(white_card(lights), torch.full((1, 3), expected), atol=1e-6)
    behind = point_lights(
        torch.tensor([[[0.0, 0.0, -900.0]]]), torch.ones(1, 1, 3), torch.zeros(1, 3)
    )
    assert (white_card(behind) == 0).all()


def test_exposure_does_not_depend_on_the_lights_scale():
    lights = varied_lights(5, generator=torch.Generator().manual_seed(1))
    dim = scaled(lights, torch.full((5, 1), 1e-3))
    for one in (lights, dim):
        assert torch.allclose(white_card(exposed(one)).mean(dim=1), torch.ones(5), atol=1e-5)
        assert torch.allclose(
            white_card(exposed(one, 1.0)).mean(dim=1), 2 * torch.ones(5), atol=1e-5
        )
    assert torch.allclose(exposed(lights).harmonics, exposed(dim).harmonics, atol=1e-4)


def test_reflections_are_scaled_with_the_rest():
    surround = Environment(torch.rand(3, 8, 16) + 0.1).prefiltered([10.0, 40.0])
    double = scaled(surround, torch.tensor([[1.0, 2.0, 4.0]]))
    factor = torch.tensor([1.0, 2.0, 4.0])
    assert torch.allclose(double.harmonics, surround.harmonics * factor)
    ratio = double.reflections.radiance / surround.reflections.radiance
    assert torch.allclose(ratio, factor.view(3, 1, 1).expand_as(ratio))


def test_darkness_stays_dark():
    dark = point_lights(torch.zeros(1, 0, 3), torch.zeros(1, 0, 3), torch.zeros(1, 3))
    assert (exposed(dark).harmonics == 0).all()
    assert torch.equal(harmonics.constant(torch.zeros(1, 3)), exposed(dark).harmonics)
