"""Detail in its place: waves of known length on a plane."""

import math

import pytest
import torch

from realface.maps.encoding import unit
from realface.metrics.detail import (
    band_passed,
    correlation,
    detail_slopes,
    sobel_slopes,
    with_neighbours,
)

SIZE = 96


def wave(length, phase=0.0, height=1.0):
    """Height of a wave along x and y, ``(1, 1, H, W)``; y is up."""
    x = torch.arange(SIZE).float()
    along, up = (2 * math.pi * values / length + phase for values in (x, -x[:, None]))
    return height * (torch.sin(along) + torch.sin(up)).view(1, 1, SIZE, SIZE)


def normals_of(heights):
    """Normals of a height field in texels."""
    down, across = torch.gradient(heights[0, 0])
    return unit(torch.stack((-across, down, torch.ones_like(down)))[None])


def flat():
    return torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)


def everywhere():
    return torch.ones(1, 1, SIZE, SIZE, dtype=torch.bool)


def inner():
    made = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.bool)
    made[:, :, 16:-16, 16:-16] = True
    return made


def slopes(normals):
    return detail_slopes(normals, flat(), everywhere(), longest=20.0, shortest=2.0)


def correlations(a, b):
    return [correlation(a[:, i, None], b[:, i, None], inner()) for i in (0, 1)]


def test_truth_correlates_with_itself_at_any_strength():
    fine = slopes(normals_of(wave(8)))
    assert correlations(fine, fine) == pytest.approx([1, 1])
    assert correlations(slopes(normals_of(wave(8, height=0.2))), fine) == pytest.approx(
        [1, 1], abs=0.02
    )


def test_negated_x_turns_the_sign_of_x_alone():
    normals = normals_of(wave(8))
    negated = normals * torch.tensor((-1.0, 1.0, 1.0)).view(1, 3, 1, 1)
    assert correlations(slopes(negated), slopes(normals)) == pytest.approx([-1, 1], abs=1e-5)


def test_relief_in_another_place_scores_nothing():
    moved = slopes(normals_of(wave(8, phase=math.pi / 2)))
    assert correlations(moved, slopes(normals_of(wave(8)))) == pytest.approx([0, 0], abs=0.02)


def test_what_is_coarser_than_the_band_does_not_count():
    both = wave(8, height=0.3) + wave(96, height=-8)
    assert correlations(slopes(normals_of(both)), slopes(normals_of(wave(8)))) == pytest.approx(
        [1, 1], abs=0.05
    )


def test_sobel_reads_relief_from_a_picture_that_is_dark_where_deep():
    heights = wave(8, height=0.1)
    picture = (0.5 + heights).expand(1, 3, SIZE, SIZE)
    found = band_passed(sobel_slopes(picture), everywhere(), 20.0, 2.0)
    assert correlations(found, slopes(normals_of(heights))) == pytest.approx([1, 1], abs=0.02)


def test_nothing_outside_the_mask_is_read():
    mask = inner()
    values = wave(8)
    spoilt = torch.where(mask, values, torch.nan)
    found = band_passed(spoilt, mask, 20.0, 4.0)
    assert torch.equal(found, band_passed(values, mask, 20.0, 4.0))
    assert (found[~mask] == 0).all()


def test_a_flat_map_has_no_correlation():
    assert math.isnan(correlation(torch.zeros(1, 1, SIZE, SIZE), wave(8), inner()))


def test_neighbours():
    mask = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    mask[..., 1:4, 1:4] = True
    assert with_neighbours(mask).nonzero().tolist() == [[0, 0, 2, 2]]
