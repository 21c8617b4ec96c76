import math

import pytest
import torch

from realface.errors import InputError
from realface.tiling.plan import exact_plan, plan
from realface.tiling.seams import seam_lines, seam_ratio
from tests.tiling.maps import noise

PLAN = plan((64, 100), window=40, overlap=10)


def test_lines_are_where_kept_parts_begin_or_end_inside_the_map():
    rows, columns = seam_lines(PLAN)
    edges = {edge for kept in PLAN.kept_rows for edge in kept} - {0, 64}
    assert rows == sorted(edges)
    assert len(columns) == 2 * (len(PLAN.columns) - 1)
    assert 0 not in columns
    assert 100 not in columns


def test_a_cut_is_one_line():
    laid = exact_plan((64, 100), margin=5, window=40)
    _, columns = seam_lines(laid)
    assert len(columns) == len(laid.columns) - 1 > 0


def test_touching_windows_share_a_line():
    assert seam_lines(plan((40, 20), window=20, overlap=0)) == ([20], [])


def test_identical_maps_have_ratio_one():
    values = noise(3, 64, 100)
    assert seam_ratio(values, values, PLAN) == 1


@pytest.mark.parametrize("axis", [1, 2])
def test_a_planted_step_is_seen(axis):
    reference = noise(1, 64, 100) * 0.1
    line = seam_lines(PLAN)[axis - 1][0]
    stitched = reference.clone()
    stitched.narrow(axis, line, stitched.shape[axis] - line).add_(1)
    assert seam_ratio(stitched, reference, PLAN) > 2


def test_a_step_elsewhere_is_not_a_seam():
    reference = noise(1, 64, 100)
    stitched = reference.clone()
    line = seam_lines(PLAN)[1][0] + 3
    stitched[:, :, line:] += 1
    assert seam_ratio(stitched, reference, PLAN) == pytest.approx(1, abs=1e-5)


def test_one_window_and_flat_maps():
    flat, values = torch.zeros(1, 64, 100), noise(1, 64, 100)
    assert seam_ratio(values, flat, plan((64, 100))) == 1
    assert seam_ratio(flat, flat, PLAN) == 1
    assert seam_ratio(values, flat, PLAN) == math.inf


def test_maps_of_another_size_are_refused():
    with pytest.raises(InputError, match="64, 99"):
        seam_ratio(noise(1, 64, 99), noise(1, 64, 99), PLAN)
