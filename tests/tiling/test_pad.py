import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.tiling.engine import stitch
from realface.tiling.pad import cropped, padded
from realface.tiling.plan import plan
from realface.tiling.tensors import TensorSink, TensorSource
from tests.tiling.maps import Ledger, coordinates, noise


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    multiple_of=st.sampled_from([1, 4, 16, 32]),
)
def test_padding_and_cropping_give_the_map_back(size, multiple_of):
    values = coordinates(*size)
    source, sink = padded(TensorSource(values), multiple_of), TensorSink(size)
    assert all(side % multiple_of == 0 for side in source.size)
    laid = plan(source.size, window=64, overlap=9, multiple_of=multiple_of)
    stitch(lambda maps: {"out": maps["in"]}, {"in": source}, {"out": cropped(sink, size)}, laid)
    assert (sink.values - values).abs().max() <= 3e-7


def test_padding_reflects_as_torch_does():
    values = noise(2, 17, 20)
    source = padded(TensorSource(values), 16)
    assert source.size == (32, 32)
    expected = torch.nn.functional.pad(values, (0, 12, 0, 15), mode="reflect")
    assert torch.equal(source.read(0, 0, 32, 32), expected)


@settings(deadline=None)
@given(
    y=st.integers(0, 31), x=st.integers(0, 31), height=st.integers(1, 32), width=st.integers(1, 32)
)
def test_any_window_of_the_padded_map_is_a_cut_of_it(y, x, height, width):
    height, width = min(height, 32 - y), min(width, 32 - x)
    source = padded(TensorSource(noise(1, 17, 20)), 16)
    whole = source.read(0, 0, 32, 32)
    assert torch.equal(source.read(y, x, height, width), whole[:, y : y + height, x : x + width])


def test_a_map_too_small_to_reflect_repeats_its_last_reflected_pixel():
    values = torch.tensor([[[1.0, 2.0, 3.0]]])
    row = padded(TensorSource(values), 8).read(0, 0, 8, 8)[0, 0]
    assert row.tolist() == [1, 2, 3, 2, 1, 1, 1, 1]


def test_a_map_that_fits_is_left_alone():
    source = TensorSource(noise(1, 32, 16))
    assert padded(source, 16) is source


def test_cropping_drops_what_lies_outside():
    ledger = Ledger()
    sink = cropped(ledger, (10, 12))
    sink.write(0, 0, torch.zeros(1, 8, 16))
    sink.write(8, 0, torch.zeros(1, 4, 16))
    sink.write(12, 0, torch.zeros(1, 4, 16))
    assert ledger.writes == [(0, 0, (1, 8, 12)), (8, 0, (1, 2, 12))]


def test_padding_to_no_multiple_is_refused():
    with pytest.raises(InputError, match="multiple_of=0"):
        padded(TensorSource(noise(1, 4, 4)), 0)
