"""Blinn-Phong's two lobes against closed forms and sums over the hemisphere."""

import math

import pytest
import torch

from realface.shading import blinn_phong
from tests.shading.spheres import hemisphere, texel

EXPONENTS = (3.0, 9.0, 27.0, 140.0)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def reflected(lobe, exponent: float, angle: float) -> float:
    """Share of constant radiance 1 that a lobe returns at an angle of view."""
    cosines, weights = hemisphere(angle)
    values = lobe(cosines["light"], cosines["half"], number(exponent))
    return float((values * weights).sum() / math.pi)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_lobe_is_one_where_the_normal_halves_light_and_view(exponent):
    for lit in (0.05, 0.7, 1.0):
        lobe = blinn_phong.specular_lobe(texel(lit), texel(1), number(exponent))
        assert lobe.item() == pytest.approx(1)


def test_lobe_falls_as_the_power_of_the_cosine():
    lobe = blinn_phong.specular_lobe(texel(0.8), texel(math.cos(0.3)), number(9.0))
    assert lobe.item() == pytest.approx(math.cos(0.3) ** 9)


@pytest.mark.parametrize("lobe", [blinn_phong.specular_lobe, blinn_phong.normalised_lobe])
def test_lobes_are_zero_below_the_horizon(lobe):
    assert lobe(texel(-0.01), texel(0.9), number(1.0)).item() == 0


def test_gradient_is_finite_where_the_highlight_is_not_seen():
    cosine = texel(-0.5).requires_grad_()
    for lobe in (blinn_phong.specular_lobe, blinn_phong.normalised_lobe):
        lobe(texel(0.3), cosine, number(0.5)).sum().backward()
    assert torch.isfinite(cosine.grad).all()


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_normalised_lobe_reflects_its_albedo_head_on_and_less_elsewhere(exponent):
    shares = [reflected(blinn_phong.normalised_lobe, exponent, a) for a in (0, 0.4, 0.8, 1.2, 1.5)]
    assert shares[0] == pytest.approx(1, abs=2e-3)
    assert shares == sorted(shares, reverse=True)


def test_normalisation_is_at_most_the_one_of_real_time_rendering():
    exponent = torch.logspace(-2, 4, 200, dtype=torch.float64)
    usual = (exponent + 8) / 8
    ratio = usual / blinn_phong.normalisation(exponent)
    assert ratio.min() >= 1
    assert 1.07 < ratio.max() < 1.08


def test_normalised_reflectance_is_reciprocal():
    """f(l, v) = lobe / (n . l): light and view exchanged."""
    light, view, half = texel(0.3), texel(0.8), texel(0.9)
    exponent = number(27.0)
    there = blinn_phong.normalised_lobe(light, half, exponent) / light
    back = blinn_phong.normalised_lobe(view, half, exponent) / view
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize("exponent", [9.0, 12.0, 27.0, 140.0])
@pytest.mark.parametrize(("degrees", "tolerance"), [(0, 0.002), (30, 0.02), (50, 0.05), (75, 0.12)])
def test_directional_albedo_is_the_integral(exponent, degrees, tolerance):
    angle = math.radians(degrees)
    head_on = blinn_phong.directional_albedo(texel(1), number(exponent)).item()
    found = blinn_phong.directional_albedo(texel(math.cos(angle)), number(exponent)).item()
    expected = reflected(blinn_phong.specular_lobe, exponent, angle)
    assert found == pytest.approx(expected, abs=tolerance * head_on)


@pytest.mark.parametrize("exponent", [9.0, 12.0, 27.0, 140.0])
@pytest.mark.parametrize("degrees", [0, 30, 50, 65, 80])
def test_normalised_directional_albedo_is_the_integral(exponent, degrees):
    angle = math.radians(degrees)
    cos_view = texel(math.cos(angle))
    found = blinn_phong.normalised_directional_albedo(cos_view, number(exponent)).item()
    expected = reflected(blinn_phong.normalised_lobe, exponent, angle)
    assert found == pytest.approx(expected, abs=0.04)
    assert blinn_phong.normalised_directional_albedo(-cos_view, number(exponent)) == 0


def test_conversions_keep_the_peak_and_return():
    albedo, exponent = torch.rand(1, 1, 4, 4), 1 + 100 * torch.rand(1, 1, 4, 4)
    f0 = blinn_phong.f0_from_specular_albedo(albedo, exponent)
    one = torch.ones_like(albedo)
    torch.testing.assert_close(
        f0 * blinn_phong.normalised_lobe(one, one, exponent),
        albedo * blinn_phong.specular_lobe(one, one, exponent),
    )
    torch.testing.assert_close(blinn_phong.specular_albedo_from_f0(f0, exponent), albedo)
    # AvatarMe's median albedo, 0.22, at its median exponent is skin's 3 to 5 %.
    skin = blinn_phong.f0_from_specular_albedo(number(0.22), number(27.0))
    assert 0.03 < skin < 0.06


def test_shininess_is_a_power_of_140():
    shininess = torch.tensor((0.0, 0.5, 1.0))
    expected = torch.tensor((1.0, math.sqrt(140), 140.0))
    torch.testing.assert_close(blinn_phong.exponent_from_shininess(shininess), expected)
