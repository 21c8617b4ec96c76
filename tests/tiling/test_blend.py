from typing import get_args

import pytest
import torch

from realface.tiling.blend import Fade, ramp_up

FADES = get_args(Fade)


@pytest.mark.parametrize("fade", FADES)
@pytest.mark.parametrize("length", [0, 1, 2, 7, 384])
def test_a_ramp_rises_and_with_its_mirror_image_sums_to_one(fade, length):
    up = ramp_up(length, fade)
    assert up.shape == (length,)
    assert up.dtype == torch.float32
    assert ((up > 0) & (up < 1)).all()
    assert (up.diff() > 0).all()
    torch.testing.assert_close(up + up.flip(0), torch.ones(length), atol=1e-7, rtol=0)


@pytest.mark.parametrize("fade", FADES)
def test_a_ramp_has_no_floor(fade):
    # A floor would leave a step at the ends, as wide windows show in MONAI's blend.
    assert ramp_up(4096, fade)[0] < 3e-3 * 0.1


def test_the_gaussian_ramp_is_that_of_two_normalised_gaussians():
    # Sigma 1/8 window, centres half a window apart, a ramp of a quarter window between them.
    window, length = 512, 128
    u = (torch.arange(length) + 0.5) / length - 0.5
    distance = u * length
    first, second = (
        torch.exp(-((distance + side * window / 4) ** 2) / (2 * (window / 8) ** 2))
        for side in (1, -1)
    )
    share = second / (first + second)
    low = float(1 / (1 + torch.exp(torch.tensor(4.0))))
    torch.testing.assert_close(ramp_up(length, "gaussian"), (share - low) / (1 - 2 * low))
