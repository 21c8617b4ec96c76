import pytest
import torch
from hypothesis import given, settings

from realface.tiling.blend import axis_weights
from realface.tiling.windows import axis_windows
from tests.tiling.test_windows import axes


def laid_out(windows):
    """(n, size): each window's weights at their place along the axis."""
    weights = axis_weights(windows)
    placed = torch.zeros(len(windows), windows[-1][1])
    for index, (start, stop) in enumerate(windows):
        placed[index, start:stop] = weights[index]
    return placed


@settings(deadline=None)
@given(axes())
def test_weights_are_a_partition_of_one(axis):
    placed = laid_out(axis_windows(*axis))
    assert placed.min() >= 0
    torch.testing.assert_close(placed.sum(0), torch.ones(placed.shape[1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "windows",
    [
        [(0, 10), (3, 13), (8, 18)],  # unequal overlaps: 7 and 5
        [(0, 10), (1, 11), (2, 12), (3, 13)],  # four windows meet
        [(0, 4), (4, 8)],  # none
        [(0, 7)],
    ],
)
def test_any_overlap_sums_to_one(windows):
    torch.testing.assert_close(
        laid_out(windows).sum(0), torch.ones(windows[-1][1]), atol=1e-6, rtol=0
    )


def test_there_is_no_ramp_at_the_edge_of_the_map_and_none_outside_the_overlap():
    first, last = axis_weights([(0, 16), (12, 28)])
    assert (first[:12] == 1).all()
    assert (last[4:] == 1).all()


def test_the_ramp_is_hann_and_symmetric():
    first, last = axis_weights([(0, 16), (8, 24)])
    position = (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(last[:8], torch.sin(torch.pi / 2 * position) ** 2)
    torch.testing.assert_close(first[8:], last[:8].flip(0))
