"""GGX against its integrals, its limits, and known values."""

import math

import pytest
import torch

from realface.shading import ggx
from tests.shading.spheres import hemisphere, texel


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def reflected(f0: float, roughness: float, angle: float, **switch) -> float:
    """Share of constant radiance 1 that GGX returns at an angle of view."""
    cosines, weights = hemisphere(angle)
    values = ggx.specular_lobe(
        cosines["light"], cosines["view"], cosines["half"], cosines["view_half"],
        number(f0), number(roughness), **switch,
    )  # fmt: skip
    return float((values * weights).sum() / math.pi)


@pytest.mark.parametrize("alpha", [0.25, 0.7, 1.0])
def test_microfacets_cover_the_surface_once(alpha):
    """The projected area of all facets is the surface's: integral of D (n . h) = 1."""
    cosines, weights = hemisphere(0.0)
    density = ggx.distribution(cosines["light"], number(alpha)) * cosines["light"]
    assert float((density * weights).sum()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("roughness", [0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("degrees", [0, 40, 70, 85])
def test_a_perfect_mirror_of_facets_never_returns_more_than_arrives(roughness, degrees):
    assert reflected(1.0, roughness, math.radians(degrees)) < 1.003


def test_one_bounce_loses_nothing_where_smooth_and_ln_2_where_roughest():
    """At alpha 1 and v = n the integral is that of mu / (mu + 1): 1 - ln 2."""
    assert reflected(1.0, 0.3, 0.0) == pytest.approx(1, abs=0.015)
    assert reflected(1.0, 1.0, 0.0) == pytest.approx(1 - math.log(2), abs=1e-4)


def test_smooth_skin_head_on_reflects_its_f0():
    for f0 in (0.028, 0.04):
        assert reflected(f0, 0.25, 0.0) == pytest.approx(f0, rel=0.02)


def test_fresnel_runs_from_f0_to_one_and_can_be_shut_off():
    assert ggx.fresnel(number(0.04), number(1.0)).item() == pytest.approx(0.04)
    assert ggx.fresnel(number(0.04), number(0.0)).item() == pytest.approx(1)
    half = ggx.fresnel(number(0.04), number(0.5)).item()
    assert half == pytest.approx(0.04 + 0.96 / 32)
    grazing = math.radians(75)
    assert reflected(0.04, 0.4, grazing) > 3 * reflected(0.04, 0.4, grazing, with_fresnel=False)
    flat = reflected(0.08, 0.4, grazing, with_fresnel=False)
    assert flat == pytest.approx(2 * reflected(0.04, 0.4, grazing, with_fresnel=False))


def test_peak_is_the_closed_form():
    """At l = v = h = n: pi D / 4 F0 = F0 / (4 alpha^2)."""
    one = texel(1)
    for roughness in (0.3, 0.7):
        lobe = ggx.specular_lobe(one, one, one, one, number(0.04), number(roughness))
        assert lobe.item() == pytest.approx(0.04 / (4 * roughness**4))


def test_reflectance_is_reciprocal():
    low, high, half, between = texel(0.3), texel(0.8), texel(0.9), texel(0.7)
    surface = number(0.04), number(0.5)
    there = ggx.specular_lobe(low, high, half, between, *surface) / low
    back = ggx.specular_lobe(high, low, half, between, *surface) / high
    torch.testing.assert_close(there, back)


def test_nothing_below_the_horizon_and_no_gradient_that_is_not_finite():
    cosines = torch.tensor(((-0.1, 0.5), (0.5, -0.1), (0.0, 0.0)), dtype=torch.float64)
    light, view = (c.view(1, 1, 3, 1).clone().requires_grad_() for c in cosines.unbind(1))
    half, between = torch.full_like(light, 0.6), torch.full_like(light, 0.6)
    lobe = ggx.specular_lobe(light, view, half, between, number(0.04), number(0.5))
    assert lobe.abs().max() == 0
    lobe.sum().backward()
    assert torch.isfinite(light.grad).all()
    assert torch.isfinite(view.grad).all()


@pytest.mark.parametrize("roughness", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("degrees", [0, 30, 60, 80])
def test_directional_albedo_is_the_integral(roughness, degrees):
    angle = math.radians(degrees)
    for f0 in (0.04, 1.0):
        found = ggx.directional_albedo(texel(math.cos(angle)), number(f0), texel(roughness))
        assert found.item() == pytest.approx(reflected(f0, roughness, angle), abs=0.01)


def test_directional_albedo_passes_gradients():
    cos_view = torch.rand(1, 1, 3, 3, dtype=torch.float64).requires_grad_()
    f0 = torch.rand(1, 1, 3, 3, dtype=torch.float64).requires_grad_()
    roughness = texel(0.43).requires_grad_()
    assert torch.autograd.gradcheck(ggx.directional_albedo, (cos_view, f0, roughness))


def test_roughness_and_exponent_convert_both_ways():
    roughness = torch.linspace(0.1, 1, 50, dtype=torch.float64)
    exponent = ggx.exponent_from_roughness(roughness)
    torch.testing.assert_close(ggx.roughness_from_exponent(exponent), roughness)
    assert exponent[-1] == pytest.approx(0, abs=1e-12)
    assert ggx.exponent_from_roughness(number(0.5)).item() == pytest.approx(30)


def test_a_table_made_without_gradients_serves_where_there_are_some():
    ggx._albedo_table.cache_clear()
    ones = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    with torch.inference_mode():
        ggx.directional_albedo(0.5 * ones, 0.04 * ones, 0.4 * ones)
    rough = (0.4 * ones).requires_grad_()
    ggx.directional_albedo(0.5 * ones, 0.04 * ones, rough).sum().backward()
    assert rough.grad.abs() > 0
