"""Fields of statistics: exact at their points, linear between, the same in every window."""

import pytest
import torch

from realface.networks.statistics_field import Position, StatisticsField


def field(mean, variance=None, *, stride: int = 1, y=(8.0, 24.0), x=(8.0, 40.0)):
    mean = torch.as_tensor(mean).float()
    variance = torch.ones_like(mean) if variance is None else torch.as_tensor(variance).float()
    y, x = (torch.tensor(points, dtype=torch.float64) for points in (y, x))
    return StatisticsField(mean, variance, y, x, stride, Position())


def normalised(one: StatisticsField, x: torch.Tensor, *origins) -> torch.Tensor:
    one.position.origins = list(origins)
    return one.normalise(x, 0.0)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_means_are_linear_between_the_points_and_constant_beyond(stride):
    one = field([[[8.0, 40.0], [8.0, 40.0]]], stride=stride)
    made = normalised(one, torch.zeros(1, 1, 32 // stride, 48 // stride), (0, 0))
    centre = (torch.arange(48 // stride) + 0.5) * stride
    expected = -centre.clamp(8, 40).expand(1, 1, 32 // stride, -1)
    torch.testing.assert_close(made, expected)


def test_variances_scale():
    made = normalised(
        field(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 4.0)), torch.ones(1, 1, 4, 4), (0, 0)
    )
    torch.testing.assert_close(made, torch.full((1, 1, 4, 4), 0.5))


@pytest.mark.parametrize("stride", [1, 4])
def test_windows_agree_bit_for_bit_wherever_they_lie(stride):
    one = field(torch.randn(3, 2, 2), torch.rand(3, 2, 2) + 0.1, stride=stride)
    x = torch.randn(1, 3, 32 // stride, 48 // stride)
    whole = normalised(one, x, (0, 0))
    boxes = [(0, 4), (8, 12), (16, 20)]
    size = 12 // stride
    parts = [x[0, :, a // stride :, b // stride :][:, :size, :size] for a, b in boxes]
    made = normalised(one, torch.stack(parts), *boxes)
    for part, (top, left) in zip(made, boxes, strict=True):
        expected = whole[0, :, top // stride :, left // stride :][:, :size, :size]
        assert torch.equal(part, expected)


def test_one_point_is_one_value_everywhere():
    one = field([[[3.0]]], y=(8.0,), x=(8.0,))
    assert (normalised(one, torch.zeros(1, 1, 4, 4), (100, 7)) == -3).all()


def test_half_precision_stays_half_and_is_reckoned_in_float32():
    one = field([[[1e5]]], y=(8.0,), x=(8.0,))
    made = normalised(one, torch.full((1, 1, 2, 2), 6e4, dtype=torch.float16), (0, 0))
    assert made.dtype == torch.float16
    assert (made == -4e4).all()


def test_windows_without_a_position_are_refused():
    with pytest.raises(ValueError, match="2 windows, and the position of 1"):
        normalised(field(torch.zeros(1, 2, 2)), torch.zeros(2, 1, 4, 4), (0, 0))
