import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.data.order import Stream, permutation, steps_of

SIZES = st.integers(1, 40)


def positions(stream: Stream, epochs: int, first: int = 0) -> list[int]:
    return [
        request.position
        for epoch in range(epochs)
        for step in range(first if epoch == 0 else 0, stream.steps)
        for request in stream.batch(epoch, step)
    ]


@given(SIZES, st.integers(0, 9), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4))
def test_processes_together_take_every_position_once(samples, seed, batch, steps, world):
    streams = [Stream(samples, seed, batch, steps, rank, world) for rank in range(world)]
    seen = sorted(position for stream in streams for position in positions(stream, 3))
    assert seen == list(range(3 * steps * batch * world))
    assert len({len(positions(stream, 3)) for stream in streams}) == 1


@given(SIZES, st.integers(0, 9), st.integers(1, 5), st.integers(1, 3))
def test_no_sample_comes_again_before_all_others_have(samples, seed, batch, world):
    """All but those that would not fill a step."""
    stream = Stream(samples, seed, batch, 1, 0, world)
    length = samples // (batch * world) * batch * world or samples
    numbers = [stream.number(position) for position in range(3 * length)]
    for start in range(0, 3 * length, length):
        once = set(numbers[start : start + length])
        assert len(once) == length
        assert once <= set(range(samples))


@given(st.integers(2, 60), st.integers(1, 5), st.integers(1, 3))
def test_an_epoch_over_all_samples_repeats_none(samples, batch, world):
    steps = steps_of(samples, batch, world)
    streams = [Stream(samples, 0, batch, steps, rank, world) for rank in range(world)]
    if steps * batch * world > samples:
        return  # fewer samples than one step takes
    for epoch in range(3):
        counts = Counter(
            request.number
            for stream in streams
            for step in range(steps)
            for request in stream.batch(epoch, step)
        )
        assert set(counts.values()) == {1}
        assert len(counts) > samples - batch * world


@pytest.mark.parametrize("change", ["seed", "which"])
def test_passes_and_seeds_differ(change):
    one = permutation(100, 0, 0)
    assert one == permutation(100, 0, 0)
    assert one != permutation(100, **({"seed": 0, "which": 0} | {change: 1}))


def test_neighbours_in_a_shard_are_torn_apart():
    """A pass is shuffled as a whole, not within a window."""
    order = permutation(1000, 0, 0)
    steps = [abs(after - before) for before, after in itertools.pairwise(order)]
    assert 250 < sum(steps) / len(steps) < 420  # a third of the range for independent draws
