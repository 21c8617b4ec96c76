from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.tiling.windows import axis_windows, next_multiple


@st.composite
def axes(draw):
    """(size, window, overlap, multiple_of) that are allowed together."""
    multiple_of = draw(st.sampled_from([1, 2, 16, 32]))
    size = multiple_of * draw(st.integers(1, 300))
    window = draw(st.integers(multiple_of, 80 * multiple_of))
    usable = window // multiple_of * multiple_of
    overlap = draw(st.integers(0, usable - multiple_of))
    return size, window, overlap, multiple_of


@settings(deadline=None)
@given(axes())
def test_windows_cover_the_axis_on_the_grid_with_at_least_the_overlap(axis):
    size, window, overlap, multiple_of = axis
    windows = axis_windows(size, window, overlap, multiple_of)
    assert windows[0][0] == 0
    assert windows[-1][1] == size
    lengths = {stop - start for start, stop in windows}
    assert len(lengths) == 1
    assert lengths.pop() <= window
    assert all(start % multiple_of == 0 and stop % multiple_of == 0 for start, stop in windows)
    for (_, stop), (start, _) in pairwise(windows):
        assert stop - start >= overlap


@settings(deadline=None)
@given(axes())
def test_neither_fewer_nor_smaller_windows_would_do(axis):
    size, window, overlap, multiple_of = axis
    windows = axis_windows(size, window, overlap, multiple_of)
    shared = next_multiple(overlap, multiple_of)

    def reach(count, length):
        return count * length - (count - 1) * shared

    length = windows[0][1] - windows[0][0]
    if len(windows) > 1:
        assert reach(len(windows) - 1, window // multiple_of * multiple_of) < size
        assert reach(len(windows), length - multiple_of) < size


def test_windows_shrink_to_fit_and_are_not_shifted_back():
    # 4 windows of 1536 would reach 4992; 4 of 1312 reach 4096 exactly.
    assert axis_windows(4096, 1536, 384, 16) == [
        (0, 1312),
        (928, 2240),
        (1856, 3168),
        (2784, 4096),
    ]


def test_a_map_no_larger_than_the_window_gets_one_window():
    assert axis_windows(64, 64, 16, 16) == [(0, 64)]
    assert axis_windows(48, 1536, 384, 16) == [(0, 48)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((64, 32, 32, 1), "overlap=32"),
        ((64, 32, 40, 1), "overlap=40"),
        ((64, 32, -1, 1), "overlap=-1"),
        ((64, 40, 30, 16), "overlap=30"),  # on the grid: 32 in a window of 32
        ((64, 8, 0, 16), "window=8"),
        ((64, 0, 0, 1), "window=0"),
        ((64, 32, 8, 0), "multiple_of=0"),
        ((65, 32, 16, 16), "size=65"),
        ((0, 32, 8, 1), "size=0"),
        ((-64, 32, 8, 16), "size=-64"),
    ],
)
def test_what_is_out_of_range_is_named(arguments, named):
    with pytest.raises(InputError) as error:
        axis_windows(*arguments)
    assert named in error.value.given
