"""What gain takes away, and what it leaves."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.metrics.gain import best_gain, with_best_gain
from realface.metrics.image import psnr

MASK = torch.zeros(1, 1, 16, 16)
MASK[..., 3:12, 2:14] = 1


@given(st.lists(st.floats(0.2, 3.0), min_size=3, max_size=3))
def test_a_gain_of_each_channel_is_undone(gains):
    truth = 0.2 + 0.6 * torch.rand(1, 3, 16, 16)
    gain = torch.tensor(gains).view(1, 3, 1, 1)
    predicted = linear_to_srgb(srgb_to_linear(truth) * gain)
    torch.testing.assert_close(
        with_best_gain(predicted, truth, MASK) * MASK, truth * MASK, atol=2e-5, rtol=0
    )


def test_no_other_gain_is_nearer_in_linear_light():
    truth, predicted = torch.rand(2, 1, 3, 16, 16)
    gain = best_gain(predicted, truth, MASK)

    def score(factor):
        return psnr(predicted * gain * factor, truth, MASK)

    assert score(1.0) > score(0.98)
    assert score(1.0) > score(1.02)


def test_texels_outside_the_mask_do_not_count():
    truth, predicted = torch.rand(2, 1, 3, 16, 16)
    spoilt = torch.where(MASK > 0, predicted, torch.nan)
    assert torch.equal(best_gain(spoilt, truth, MASK), best_gain(predicted, truth, MASK))


def test_black_stays_as_it_is():
    assert torch.equal(best_gain(0 * MASK, MASK, MASK), torch.ones(1, 1, 1, 1))
