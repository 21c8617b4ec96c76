"""Charts: bars where the counts are, marks where the values are."""

import numpy as np
import pytest

from realface.report.chart import histogram_chart
from realface.report.page import PAPER

EDGES = np.arange(91) * 0.5
LEFT, RIGHT, FLOOR = 76, 960 - 36, 480 - 64
BAR = (92, 142, 196)


def chart(counts, **marks):
    return histogram_chart("normals", np.asarray(counts), EDGES, "deg", marks)


def bars(image):
    return (image == BAR).all(axis=2)


def test_bars_stand_where_the_counts_are():
    counts = np.zeros(90, np.int64)
    counts[:88] = 100
    counts[44] = 200
    heights = bars(chart(counts)).sum(axis=0)
    columns = np.linspace(LEFT, RIGHT, 91)
    middle = heights[((columns[:-1] + columns[1:]) / 2).round().astype(int)]
    assert abs(middle[44] - 2 * middle[0]) <= 2
    assert (middle[:44] == middle[0]).all()
    assert not middle[88:].any()


@pytest.mark.parametrize(("largest", "end"), [(2, 5.5), (8, 11), (20, 22.5), (40, 45)])
def test_the_axis_ends_where_the_errors_do(largest, end):
    counts = np.zeros(90, np.int64)
    counts[int(largest / 0.5)] = 10
    filled = np.flatnonzero(bars(chart(counts)).any(axis=0))
    expected = LEFT + np.array((largest, largest + 0.5)) / end * (RIGHT - LEFT)
    assert abs(filled[[0, -1]] - expected).max() <= 2


def test_marks_stand_at_their_values_and_missing_ones_are_left_out():
    counts = np.ones(90, np.int64)
    image = chart(counts, median=22.5, most=float("nan"))
    line = (image[FLOOR - 5] == (242, 196, 80)).all(axis=1)
    assert np.flatnonzero(line).tolist() == [(LEFT + RIGHT) // 2, (LEFT + RIGHT) // 2 + 1]
    assert not (image == (240, 140, 70)).all(axis=2).any()


def test_what_has_no_end_is_no_bar():
    counts = np.ones(90, np.int64)
    counts[-1] = 10_000
    filled = bars(chart(counts))
    assert filled[:, LEFT + 5].sum() > 100  # the others are not dwarfed
    assert not filled[:, RIGHT - 4].any()


def test_all_beyond_the_end_and_nothing_at_all():
    counts = np.zeros(90, np.int64)
    empty = chart(counts)
    assert empty.shape == (480, 960, 3)
    assert not bars(empty).any()
    counts[-1] = 5
    assert not bars(chart(counts, median=44.5)).any()
    assert (chart(counts)[FLOOR + 40 :] > PAPER).any()  # how many is written
