"""Rates, steps of several batches, and seeds, as numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.translators.schedule import batch_seed, batches_together, rate_share


@pytest.mark.parametrize("epoch", [0, 1, 1000])
@pytest.mark.parametrize("epochs", [None, -1])
def test_learning_rate_stays_where_the_training_has_no_end(epoch, epochs):
    assert rate_share(epoch, epochs, 0.5) == 1.0


@given(epochs=st.integers(1, 300), share=st.floats(0, 1))
def test_learning_rate_starts_whole_never_rises_and_ends_at_zero(epochs, share):
    rates = [rate_share(epoch, epochs, share) for epoch in range(epochs + 1)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0.0


@given(batches=st.integers(1, 100), accumulate=st.integers(1, 12))
def test_every_batch_belongs_to_a_full_step_or_to_the_epochs_last(batches, accumulate):
    together = [batches_together(index, accumulate, batches) for index in range(batches)]
    last = batches % accumulate
    assert together == [accumulate] * (batches - last) + [last] * last


def test_without_a_known_end_each_batch_is_a_step():
    assert batches_together(5, 4, math.inf) == 1


@given(st.lists(st.tuples(*4 * [st.integers(0, 20)]), min_size=2, max_size=2, unique=True))
def test_batches_have_seeds_of_their_own(numbers):
    one, other = (batch_seed(*each) for each in numbers)
    assert one != other
    assert one == batch_seed(*numbers[0])
