"""Moments piece by piece: the law of total variance."""

import pytest
import torch

from realface.errors import FailureError
from realface.networks.moments import Moments


@pytest.mark.parametrize("lengths", [(40,), (1, 39), (7, 13, 20), (10, 0, 30)])
def test_pieces_give_the_moments_of_the_whole(lengths):
    values = 5 + 3 * torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    values[1] += torch.arange(40)
    moments = Moments()
    for piece in values.split(lengths, dim=1):
        moments.add(piece)
    result = moments.result(torch.float64)
    expected = torch.var_mean(values.double(), 1, correction=0)
    torch.testing.assert_close(result.variance, expected[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(result.mean, expected[1], rtol=1e-6, atol=0)


def test_pieces_that_are_flat_have_the_variance_of_their_means():
    moments = Moments()
    moments.add(torch.full((1, 8, 8), 1.0))
    moments.add(torch.full((1, 8, 8), 3.0))
    assert moments.result().mean == 2
    assert moments.result().variance == 1


def test_half_precision_does_not_overflow():
    moments = Moments()
    moments.add(torch.tensor([[-6e4, 6e4]], dtype=torch.float16))
    assert moments.result().variance.item() == pytest.approx(3.6e9, rel=1e-2)


def test_a_small_ripple_on_a_large_mean_survives():
    moments = Moments()
    for piece in torch.arange(64).remainder(2).float().add(1e5).view(4, 1, 16):
        moments.add(piece)
    assert moments.result().variance.item() == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "said"), [([[1.0, float("nan")]], "NaN or infinite"), ([[]], "no texel")]
)
def test_what_has_no_statistics_is_refused(values, said):
    moments = Moments()
    moments.add(torch.tensor(values))
    with pytest.raises(FailureError, match=said):
        moments.result()
