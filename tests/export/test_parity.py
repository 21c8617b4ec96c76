"""The parity check: what is the same passes, whatever is not is refused."""

import pytest
import torch

from realface.errors import FailureError
from realface.export.graph import example_shape
from realface.export.parity import TOLERANCE, check_parity, check_shapes
from tests.export.generators import generator


@pytest.mark.parametrize("name", ["global", "local"])
def test_inputs_share_no_size_with_the_example(name):
    one = generator(name)
    shapes = check_shapes(one)
    for axis in (0, 2, 3):
        sizes = [shape[axis] for shape in (example_shape(one), *shapes)]
        assert len(set(sizes)) == 3
    for _, _, *size in shapes:
        assert all(n >= one.minimum_size and n % one.multiple_of == 0 for n in size)


def test_the_generator_itself_passes():
    one = generator()
    assert check_parity(one, one, "one.onnx") == 0


def test_difference_is_the_largest_of_all():
    one = generator()

    def nearly(channels):
        result = one(channels)
        result[-1, 0, 3, 2] += 0.5 * TOLERANCE if len(channels) == 1 else 0.8 * TOLERANCE
        return result

    assert check_parity(one, nearly, "one.onnx") == pytest.approx(0.8 * TOLERANCE, rel=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda result: result + 1.5 * TOLERANCE,
        lambda result: torch.full_like(result, float("nan")),
        lambda result: result[..., :1],
        lambda result: result if len(result) == 1 else result.roll(1, dims=0),
    ],
)
def test_another_result_is_refused_with_the_numbers(wrong):
    one = generator()
    with pytest.raises(FailureError, match=r"one\.onnx differs") as caught:
        check_parity(one, lambda channels: wrong(one(channels)), "one.onnx")
    assert f"{TOLERANCE:g}" in caught.value.expected
