"""Bootstrap intervals of a mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.metrics.bootstrap import bootstrap_interval


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12), st.integers(0, 5))
def test_lies_within_the_values_and_repeats(values, seed):
    low, high = bootstrap_interval(values, seed, draws=100)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert bootstrap_interval(values, seed, draws=100) == (low, high)


def test_another_seed_draws_others():
    values = [1.0, 4.0, 2.0, 8.0]
    assert bootstrap_interval(values, 0, draws=101) != bootstrap_interval(values, 1, draws=101)


def test_covers_the_true_mean_about_as_often_as_it_says():
    torch.manual_seed(3)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(torch.randn(30).tolist(), draws=400)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_equal_values_leave_no_doubt():
    assert bootstrap_interval([2.5, 2.5, 2.5]) == (2.5, 2.5)


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="no value"):
        bootstrap_interval([])
