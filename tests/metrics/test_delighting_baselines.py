"""Each baseline is exact where what it assumes holds, and none looks outside the mask."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.maps.encoding import linear_to_srgb, srgb_to_linear, unit
from realface.metrics.delighting_baselines import (
    divided_by_blur,
    divided_by_harmonics,
    divided_by_true_shading,
    flat_colour,
)
from realface.metrics.gain import with_best_gain
from realface.metrics.image import psnr
from realface.shading.harmonics import constant, irradiance

SIZE = 64
Y, X = torch.meshgrid(*2 * [torch.linspace(-1, 1, SIZE)], indexing="ij")
MASK = (X.square() + Y.square() < 0.95).float()[None, None]
NORMALS = unit(torch.stack((X, -Y, (1 - X.square() - Y.square()).clamp(min=0).sqrt()))[None])
SKIN = torch.tensor((0.6, 0.4, 0.3)).view(1, 3, 1, 1)  # linear

BASELINES = {
    "flat": flat_colour,
    "blur": lambda texture, mask: divided_by_blur(texture, mask, 1 / 16),
    "coloured blur": lambda texture, mask: divided_by_blur(texture, mask, 1 / 16, coloured=True),
    "wide blur": lambda texture, mask: divided_by_blur(texture, mask, 1 / 4),
    "harmonics": lambda texture, mask: divided_by_harmonics(texture, NORMALS, mask),
    "robust": lambda texture, mask: divided_by_harmonics(texture, NORMALS, mask, "robust"),
    "log": lambda texture, mask: divided_by_harmonics(texture, NORMALS, mask, "log"),
}


def light(seed: int, strength: float = 0.15):
    """Harmonics that leave every normal lit."""
    generator = torch.Generator().manual_seed(seed)
    varied = strength * torch.randn(1, 9, 3, generator=generator)
    varied[:, 0] = 0
    return constant(torch.full((1, 3), 0.6)) + varied


def score(albedo, truth):
    return psnr(with_best_gain(albedo, truth, MASK), truth, MASK)


@pytest.mark.parametrize("fit", ["least_squares", "robust"])
@settings(max_examples=5)
@given(seed=st.integers(0, 999))
def test_constant_albedo_under_nine_harmonics_is_found(fit, seed):
    texture = linear_to_srgb(SKIN * irradiance(light(seed), NORMALS))
    albedo = divided_by_harmonics(texture, NORMALS, MASK, fit)
    truth = linear_to_srgb(SKIN).expand_as(albedo)
    assert score(albedo, truth) > 80


def test_constant_albedo_under_exponential_harmonics_is_found_in_log_space():
    texture = linear_to_srgb(SKIN * (irradiance(light(3), NORMALS) - 0.6).exp())
    albedo = divided_by_harmonics(texture, NORMALS, MASK, "log")
    assert score(albedo, linear_to_srgb(SKIN).expand_as(albedo)) > 80


def test_clipped_texels_are_left_out_of_the_fit():
    lit = SKIN * irradiance(3 * light(5), NORMALS)
    clipped = (lit > 1).any(1, keepdim=True)
    assert clipped.any()
    albedo = divided_by_harmonics(linear_to_srgb(lit.clamp(max=1)), NORMALS, MASK)
    seen = MASK * ~clipped
    truth = linear_to_srgb(SKIN).expand_as(albedo)
    assert psnr(with_best_gain(albedo, truth, seen), truth, seen) > 80


def test_true_shading_of_constant_blocks_is_divided_out():
    truth = 0.3 + 0.5 * torch.rand(1, 3, SIZE, SIZE)
    shade = torch.rand(1, 3, 1, 1) + 0.2
    texture = linear_to_srgb(srgb_to_linear(truth) * shade)
    albedo = divided_by_true_shading(texture, truth, MASK)
    assert psnr(albedo, truth, MASK) > 80  # without a gain


def test_blur_takes_out_a_slow_slope_and_leaves_fine_grain():
    grain = 1 + 0.2 * torch.sin(X * math.pi * 16)
    texture = linear_to_srgb(SKIN * grain * (0.7 + 0.5 * X))
    truth = linear_to_srgb(SKIN * grain)
    assert score(divided_by_blur(texture, MASK, 1 / 12), truth) > score(texture, truth) + 6


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=5)
@given(gains=st.lists(st.floats(0.3, 1.1), min_size=3, max_size=3))
def test_gain_changes_the_gain_alone(name, gains):
    if name in ("blur", "wide blur"):  # of luminance: one gain for all channels
        gains = gains[:1] * 3
    albedo = SKIN * (1 + 0.3 * torch.sin(9 * X) * torch.cos(7 * Y))
    lit = albedo * irradiance(light(2), NORMALS)
    gain = torch.tensor(gains).view(1, 3, 1, 1)
    one, other = (
        srgb_to_linear(BASELINES[name](linear_to_srgb(values), MASK))
        for values in (lit, lit * gain)
    )
    torch.testing.assert_close(one * gain, other, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", BASELINES)
def test_what_lies_outside_the_mask_does_not_matter_and_is_zero(name):
    texture = 0.1 + 0.8 * torch.rand(1, 3, SIZE, SIZE)
    spoilt = torch.where(MASK > 0, texture, 1.0)
    made = BASELINES[name](texture, MASK)
    torch.testing.assert_close(made, BASELINES[name](spoilt, MASK))
    assert not (made * (1 - MASK)).any()
    assert (made >= 0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_one_colour_everywhere_stays_as_it_is(name):
    texture = linear_to_srgb(SKIN).expand(1, 3, SIZE, SIZE) * MASK
    torch.testing.assert_close(BASELINES[name](texture, MASK), texture, atol=1e-3, rtol=0)


def test_shading_near_zero_does_not_blow_up():
    lit = SKIN * irradiance(light(4, strength=1.0), NORMALS).clamp(min=0)
    albedo = divided_by_harmonics(linear_to_srgb(lit), NORMALS, MASK)
    assert srgb_to_linear(albedo).amax() <= 10 * lit.amax() + 1e-4
