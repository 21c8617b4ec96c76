"""The front view: where things are in it, and what hides what."""

import numpy as np
import pytest
import torch

from realface.report.front import front_view
from realface.report.page import PAPER

GREY = PAPER / 255


def sheet(height=48, width=64, depth=0.0, side=100.0):
    """A square of ``side`` mm facing the viewer at ``depth``."""
    y, x = torch.meshgrid(
        torch.linspace(side / 2, -side / 2, height),
        torch.linspace(-side / 2, side / 2, width),
        indexing="ij",
    )
    return torch.stack((x, y, torch.full_like(x, depth)))


def seen(colours, positions, mask=None, turn=0.0, size=(225, 225)):
    mask = torch.ones_like(positions[:1]) if mask is None else mask
    return front_view(colours, positions, mask, *size, turn=turn)


def test_a_millimetre_is_a_pixel_at_the_median_depth():
    positions = sheet()
    view = seen(torch.ones_like(positions), positions)
    inside = (view[0] > 0.9).nonzero()
    low, high = inside.amin(0), inside.amax(0)
    assert (high - low + 1).tolist() == pytest.approx([100, 100], abs=1)
    assert ((low + high) / 2).tolist() == pytest.approx([112, 112], abs=1)
    assert view[0, 0, 0] == pytest.approx(GREY)


def test_colours_keep_their_place():
    positions = sheet()
    view = seen((positions / 100 + 0.5).clamp(0, 1), positions)
    assert view[0, 112, 70] < 0.2 < 0.8 < view[0, 112, 154]  # x grows to the right
    assert view[1, 154, 112] < 0.2 < 0.8 < view[1, 70, 112]  # y upwards


def test_what_is_nearer_hides_what_is_behind():
    back, front = sheet(depth=-20.0), sheet(depth=20.0, side=40.0)
    positions = torch.cat((back, front), dim=1)
    colours = torch.cat((torch.zeros_like(back), torch.ones_like(front)), dim=1)
    mask = torch.ones_like(positions[:1])
    mask[:, 47:49] = 0  # the two are not joined
    for order in (slice(None), torch.arange(95, -1, -1)):
        view = seen(colours[:, order], positions[:, order], mask[:, order])
        assert view[0, 112, 112] == 1
        assert view[0, 112, 70] == 0


def test_invalid_texels_are_not_drawn():
    positions = sheet()
    mask = torch.ones_like(positions[:1])
    mask[..., :32] = 0
    view = seen(torch.ones_like(positions), positions, mask)
    assert view[0, 112, 80] == pytest.approx(GREY)
    assert view[0, 112, 150] == 1


def test_a_positive_turn_brings_the_left_side_forward():
    """The subject's left is on the picture's right; what comes nearer grows."""
    positions = sheet()
    view = seen(torch.ones_like(positions), positions, turn=0.6)
    heights = (view[0] > 0.9).sum(dim=0)
    columns = np.flatnonzero(heights.numpy())
    assert heights[columns[-3]] > heights[columns[2]] + 3
