"""Spherical harmonics: orthonormal, exact for what they can hold, turned and mirrored exactly."""

import math

import torch

from realface.shading import harmonics, latlong
from tests.shading.spheres import (
    as_directional_lights,
    random_directions,
    rotation,
    smooth_surround,
    texel,
)


def random_light(batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 9, 3, dtype=torch.float64)


def radiance_at(light: torch.Tensor, towards: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bkc,bkhw->bchw", light, harmonics.basis(towards))


def test_basis_is_orthonormal_and_ordered():
    like = torch.zeros((), dtype=torch.float64)
    values = harmonics.basis(latlong.directions(200, 400, like))
    weighted = values * latlong.solid_angles(200, 400, like)
    gram = torch.einsum("khw,lhw->kl", values, weighted)
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=1e-4, rtol=0)
    diagonal = math.sqrt(0.5)
    at = harmonics.basis(texel(diagonal, 0.0, diagonal)).flatten()
    expected = (0.282095, 0, 0.345494, 0.345494, 0, 0, 0.157696, 0.546274, 0.273137)
    torch.testing.assert_close(at, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


def test_projection_finds_the_coefficients_again():
    light = random_light()
    towards = latlong.directions(64, 128, light)[None]
    found = harmonics.project(radiance_at(light, towards))
    torch.testing.assert_close(found, light, atol=2e-3, rtol=0)


def test_constant_radiance_returns_itself():
    colour = torch.tensor(((0.2, 0.5, 1.0), (1.0, 0.0, 0.3)), dtype=torch.float64)
    light, towards = harmonics.constant(colour), random_directions(2)
    expected = colour[..., None, None].expand(2, 3, 6, 6)
    torch.testing.assert_close(radiance_at(light, towards), expected)
    torch.testing.assert_close(harmonics.irradiance(light, towards), expected)
    for exponent in (1.0, 27.0, 1000.0):
        power = torch.tensor(exponent, dtype=torch.float64)
        torch.testing.assert_close(harmonics.lobe(light, towards, power), expected)


def test_irradiance_is_the_sum_over_all_directions():
    radiance = smooth_surround()
    towards, colours = as_directional_lights(radiance)
    normals = random_directions()
    cosines = torch.einsum("nc,bchw->bnhw", towards, normals).clamp(min=0)
    expected = torch.einsum("nc,bnhw->bchw", colours, cosines)
    found = harmonics.irradiance(harmonics.project(radiance[None]), normals)
    # Nine coefficients: Ramamoorthi and Hanrahan's worst is 9 %, of the brightest.
    assert float((found - expected).abs().max()) < 0.05 * float(expected.max())


def test_irradiance_of_harmonic_light_is_exact():
    light, normals = random_light(), random_directions(1, 2)
    towards = latlong.directions(200, 400, light)
    every, colours = as_directional_lights(radiance_at(light, towards[None])[0])
    cosines = torch.einsum("nc,bchw->bnhw", every, normals).clamp(min=0)
    expected = torch.einsum("nc,bnhw->bchw", colours, cosines)
    torch.testing.assert_close(harmonics.irradiance(light, normals), expected, atol=1e-3, rtol=0)


def test_lobe_is_the_mean_under_the_lobe():
    light, towards = random_light(), random_directions(1, 2)
    every, colours = as_directional_lights(
        radiance_at(light, latlong.directions(200, 400, light)[None])[0]
    )
    weights = as_directional_lights(torch.ones(3, 200, 400, dtype=torch.float64))[1]
    cosines = torch.einsum("nc,bchw->bnhw", every, towards)
    for exponent in (2.0, 9.0, 60.0):
        lobe = (0.5 + 0.5 * cosines).clamp(min=0) ** (exponent / 2)
        expected = torch.einsum("nc,bnhw->bchw", colours, lobe)
        expected = expected / torch.einsum("nc,bnhw->bchw", weights, lobe)
        found = harmonics.lobe(light, towards, torch.tensor(exponent, dtype=torch.float64))
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_a_narrow_lobe_sees_the_light_itself_and_the_widest_its_mean():
    light, towards = random_light(), random_directions()
    sharp = harmonics.lobe(light, towards, torch.tensor(1e7, dtype=torch.float64))
    torch.testing.assert_close(sharp, radiance_at(light, towards), atol=1e-5, rtol=0)
    dull = harmonics.lobe(light, towards, torch.tensor(0.0, dtype=torch.float64))
    mean = light[:, 0, :, None, None] / math.sqrt(4 * math.pi)
    torch.testing.assert_close(dull, mean.expand_as(dull))


def test_turned_light_comes_from_the_turned_direction():
    light, towards = random_light(2), random_directions(2)
    matrices = torch.stack((rotation(0.3, 1.1, -0.6), rotation(2.0, -0.4, 0.9)))
    there = torch.einsum("bij,bjhw->bihw", matrices, towards)
    turned = harmonics.rotate(light, matrices)
    torch.testing.assert_close(radiance_at(turned, there), radiance_at(light, towards))
    torch.testing.assert_close(harmonics.rotate(light, matrices[0])[:1], turned[:1])
    torch.testing.assert_close(harmonics.rotate(turned, matrices.mT), light)


def test_mirrored_light_comes_from_the_mirrored_direction():
    light, towards = random_light(), random_directions()
    flip = texel(-1, 1, 1)
    mirrored = harmonics.mirror(light)
    torch.testing.assert_close(radiance_at(mirrored, towards * flip), radiance_at(light, towards))
    reflection = torch.diag(flip.flatten())
    torch.testing.assert_close(harmonics.rotate(light, reflection), mirrored)


def test_gradients():
    light, normals = random_light().requires_grad_(), random_directions(1, 2).requires_grad_()
    exponent = torch.full((1, 1, 2, 2), 9.0, dtype=torch.float64).requires_grad_()
    matrix = rotation(0.3, 1.1, -0.6).requires_grad_()
    assert torch.autograd.gradcheck(harmonics.irradiance, (light, normals))
    assert torch.autograd.gradcheck(harmonics.lobe, (light, normals, exponent))
    assert torch.autograd.gradcheck(harmonics.rotate, (light, matrix))
