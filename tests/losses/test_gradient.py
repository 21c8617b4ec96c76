"""Gradient loss: known values, what it does not see, and symmetry."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.losses.gradient import gradient

WHOLE = torch.ones(2, 1, 9, 11)


def maps() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(2, 2, 3, 9, 11, generator=generator).unbind()
    return predicted, truth, (torch.rand(2, 1, 9, 11, generator=generator) > 0.2).float()


@pytest.mark.parametrize("steps", [(1,), (2,), (1, 2, 4)])
def test_a_ramp_costs_its_rise_times_the_steps(steps):
    ramp = 0.1 * torch.arange(11.0).expand(2, 3, 9, 11)
    expected = 0.1 * sum(steps) / len(steps) / 2  # none along y
    value = gradient(ramp, torch.zeros(2, 3, 9, 11), WHOLE, steps)
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_a_blurred_edge_costs_more_than_an_offset_of_the_same_mean():
    edge = (torch.arange(11.0) > 5).float().expand(2, 3, 9, 11)
    blurred = torch.nn.functional.avg_pool1d(edge.flatten(0, 2)[:, None], 3, 1, 1).view_as(edge)
    assert gradient(edge + 0.3, edge, WHOLE) < 1e-6
    assert gradient(blurred, edge, WHOLE) > 0.01


@given(offset=st.floats(-5, 5), scale=st.floats(0, 3))
def test_offsets_cost_nothing_and_errors_count_linearly(offset, scale):
    predicted, truth, mask = (one.double() for one in maps())
    value = gradient(truth + scale * (predicted - truth) + offset, truth, mask)
    torch.testing.assert_close(value, scale * gradient(predicted, truth, mask))


def test_mirrors_quarter_turns_and_exchange_cost_the_same():
    predicted, truth, mask = (one.double() for one in maps())
    value = gradient(predicted, truth, mask)
    torch.testing.assert_close(gradient(truth, predicted, mask), value)
    for turn in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))):
        torch.testing.assert_close(gradient(turn(predicted), turn(truth), turn(mask)), value)


def test_pairs_across_the_edge_of_the_mask_do_not_count():
    predicted, truth = torch.zeros(2, 3, 9, 11), torch.zeros(2, 3, 9, 11)
    mask = WHOLE.clone()
    mask[..., 5] = 0
    predicted[..., 6:] = 1.0  # a step that no valid pair of neighbours sees
    assert gradient(predicted, truth, mask, (1,)) == 0
    assert gradient(predicted, truth, WHOLE, (1,)) > 0


def test_a_map_that_is_too_small_for_a_step_has_no_such_pair():
    value = gradient(torch.rand(1, 1, 1, 1), torch.rand(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    assert value == 0
