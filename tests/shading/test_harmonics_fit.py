"""The light is found again from what it lit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.shading.harmonics import irradiance
from realface.shading.harmonics_fit import fit_harmonics, fit_harmonics_robustly
from tests.shading.spheres import random_directions

ONES = torch.ones(2, 1, 24, 24, dtype=torch.float64)


@pytest.mark.parametrize("fit", [fit_harmonics, fit_harmonics_robustly])
@settings(max_examples=5)
@given(seed=st.integers(0, 999))
def test_light_of_nine_harmonics_is_found(fit, seed):
    torch.manual_seed(seed)
    normals, light = random_directions(2, 24), torch.randn(2, 9, 3, dtype=torch.float64)
    torch.testing.assert_close(
        fit(irradiance(light, normals), normals, ONES), light, atol=1e-5, rtol=1e-5
    )


def test_texels_without_weight_are_not_read():
    normals, light = random_directions(2, 24), torch.randn(2, 9, 3, dtype=torch.float64)
    returned, weights = irradiance(light, normals), ONES.clone()
    returned[..., :5], normals[..., :5], weights[..., :5] = torch.nan, torch.nan, 0
    torch.testing.assert_close(
        fit_harmonics(returned, normals, weights), light, atol=1e-5, rtol=1e-5
    )
    assert not fit_harmonics(returned, normals, 0 * weights).any()


def test_one_normal_everywhere_leaves_the_smallest_light_that_explains_it():
    normals = torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    returned = torch.full((1, 3, 8, 8), 0.5)
    light = fit_harmonics(returned, normals, torch.ones(1, 1, 8, 8))
    torch.testing.assert_close(irradiance(light, normals), returned, atol=1e-4, rtol=0)


def test_strangers_pull_the_robust_fit_less():
    normals, light = random_directions(2, 24), torch.randn(2, 9, 3, dtype=torch.float64)
    light[:, 0] += 4
    returned = irradiance(light, normals)
    returned += 0.01 * torch.randn_like(returned)
    returned[..., :4] *= 0.2
    plain, robust = (
        (fit(returned, normals, ONES) - light).abs().max()
        for fit in (fit_harmonics, fit_harmonics_robustly)
    )
    assert robust < 0.1 * plain


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 8\)"):
        fit_harmonics(torch.ones(2, 3, 8, 8), torch.ones(2, 3, 8, 8), torch.ones(1, 1, 8, 8))
