"""Tile mismatch: none for what is local, the step in tone of what looks at its window."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.metrics.tile_mismatch import TileMismatch, tile_mismatch
from realface.networks.generator import GENERATORS
from realface.networks.receptive import measured_margin


def ramp(height: int = 24, width: int = 40) -> torch.Tensor:
    """Rises by 1 a texel to the right: the tone of a window is where it lies."""
    return torch.arange(width, dtype=torch.float32).expand(1, 1, height, width)


@given(st.integers(0, 3), st.integers(1, 7))
def test_what_looks_at_each_texel_alone_never_disagrees(margin, more):
    overlap = 2 * margin + more
    made = tile_mismatch(lambda x: x.square(), torch.rand(1, 2, 50, 60), 16, overlap, margin)
    assert made == (0, 0)


@given(st.integers(1, 15))
def test_a_tone_of_the_window_is_the_step_from_one_to_the_next(step):
    made = tile_mismatch(lambda x: x - x.mean(), ramp(16, 60), 16, 16 - step)
    assert made.mean == pytest.approx(step, rel=1e-5)
    assert made.largest == pytest.approx(step, rel=1e-5)


def test_windows_below_one_another_are_compared_too():
    made = tile_mismatch(lambda x: x - x.mean(), ramp(16, 60).mT, 16, 4)
    assert made.mean == pytest.approx(12)


def test_a_border_that_reaches_inwards_goes_with_the_margin():
    def pad(x):
        return torch.nn.functional.max_pool2d(x, 5, stride=1, padding=2)

    assert tile_mismatch(pad, torch.rand(1, 1, 40, 40), 16, 8).largest > 0
    assert tile_mismatch(pad, torch.rand(1, 1, 40, 40), 16, 8, margin=2).largest == 0


def test_only_texels_of_the_mask_count():
    mask = torch.zeros(1, 1, 16, 28)
    mask[..., 13] = 1
    wrong = tile_mismatch(lambda x: x - x[..., :1], ramp(16, 28), 16, 4, mask=mask)
    assert wrong == (12, 12)
    with pytest.raises(ValueError, match="no texel of the mask"):
        tile_mismatch(lambda x: x, ramp(16, 28), 16, 4, mask=torch.zeros(1, 1, 16, 28))


@pytest.mark.parametrize(
    ("size", "overlap", "margin"), [((16, 40), 0, 0), ((16, 40), 4, 2), ((16, 20), 4, 0)]
)
def test_nothing_to_compare_is_refused(size, overlap, margin):
    with pytest.raises(ValueError, match=f"overlap={overlap}.*{size[0]}x{size[1]}"):
        tile_mismatch(lambda x: x, ramp(*size), 16, overlap, margin)


def test_units():
    assert TileMismatch(0.5, 1.0).grey_levels() == (127.5, 255)
    assert TileMismatch(0.5, 1.0).grey_levels(span=2) == (63.75, 127.5)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("norm", ["instance", "batch_renorm", "position", "none"])
def test_of_the_norms_instance_alone_shifts_tone(name, norm):
    torch.manual_seed(0)
    arguments = {"base_channels": 4, "downsamples": 1, "blocks": 1, "norm": norm}
    network = GENERATORS[name](1, 1, **arguments)
    inputs = ramp(96, 160) / 80 - 1
    network(inputs)  # in training: running statistics
    twin = GENERATORS[name](1, 1, **{**arguments, "norm": "none"})
    margin = measured_margin(twin)
    made = tile_mismatch(network.eval(), inputs, 96, 80, margin)
    if norm == "instance":
        assert made.mean > 1e-3
    else:
        assert made.largest < 1e-6
