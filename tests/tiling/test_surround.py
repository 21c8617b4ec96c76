import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.tiling.engine import stitch
from realface.tiling.plan import exact_plan
from realface.tiling.surround import Surrounded
from realface.tiling.tensors import TensorSink, TensorSource


def largest(maps):
    """Reaches 3 px far, and is exact in floats."""
    return {"out": F.max_pool2d(maps["in"], 7, stride=1, padding=3)}


class Once(TensorSink):
    """Counts how often each texel is written."""

    def __init__(self, size):
        super().__init__(size)
        self.count = torch.zeros(size)

    def write(self, y, x, values):
        self.count[y : y + values.shape[1], x : x + values.shape[2]] += 1
        super().write(y, x, values)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_counts_is_the_whole_images_and_the_rest_is_filled_in(data):
    multiple = data.draw(st.sampled_from([1, 4]))
    size = tuple(data.draw(st.integers(3, 20)) * multiple for _ in range(2))
    within = []
    for side in size:
        start = data.draw(st.integers(0, side - 1))
        within.append((start, data.draw(st.integers(start + 1, side))))
    texture = torch.rand(1, *size, generator=torch.Generator().manual_seed(0))
    plan = exact_plan(
        size, margin=3, window=data.draw(st.integers(12, 40)), multiple_of=multiple, within=within
    )
    sink = Once(size)
    stitch(
        largest,
        {"in": TensorSource(texture)},
        {"out": Surrounded(sink, plan, lambda y, x, h, w: torch.full((1, h, w), -1.0))},
        plan,
    )
    assert (sink.count == 1).all()
    inside = tuple(slice(*span) for span in within)
    assert torch.equal(sink.values[0][inside], largest({"in": texture[None]})["out"][0, 0][inside])
    (top, bottom), (left, right) = plan.covered
    sink.values[:, top:bottom, left:right] = -1
    assert (sink.values == -1).all()


def test_fewer_pixels_are_computed():
    full = exact_plan((1024, 1024), margin=8, window=256, multiple_of=8)
    part = exact_plan(
        (1024, 1024), margin=8, window=256, multiple_of=8, within=((200, 700), (50, 600))
    )
    assert part.covered == ((192, 712), (40, 608))
    assert part.redundancy < 0.35 * full.redundancy
    assert "covered     520x568 of it, from y=192, x=40" in str(part)
    assert "covered" not in str(full)


def test_a_speck_gets_a_window_that_the_network_can_read():
    for place in (0, 500, 1023):
        plan = exact_plan(
            (1024, 1024), margin=2, minimum=64, multiple_of=8, within=((place, place + 1),) * 2
        )
        assert plan.window == (64, 64) or place == 0
        assert min(plan.window) >= 64
        (top, bottom), _ = plan.covered
        assert top <= max(place - 2, 0)
        assert bottom >= min(place + 3, 1024)


def test_what_is_no_part_of_the_map_is_refused():
    for within in (((0, 9), (0, 4)), ((3, 3), (0, 4)), ((-1, 3), (0, 4))):
        with pytest.raises(InputError, match="within="):
            exact_plan((8, 8), margin=1, within=within)
