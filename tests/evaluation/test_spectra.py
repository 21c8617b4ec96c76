"""Which octaves are compared, and where."""

import torch

from realface.evaluation.spectra import log_luminance, middle, resolved


def test_only_resolved_octaves():
    assert resolved((0.2, 0.25), (400, 400)) == [(16, 8), (8, 4), (4, 2), (2, 1), (1, 0.5)]
    assert resolved((0.6, 0.3), (400, 400)) == [(16, 8), (8, 4), (4, 2)]
    assert resolved((0.2, 0.2), (100, 400)) == [(8, 4), (4, 2), (2, 1), (1, 0.5)]
    assert resolved((float("nan"), 0.2), (400, 400)) == []


def test_middle_of_a_bounding_box_is_at_most_2048_a_side():
    region = torch.zeros(1, 1, 3000, 100, dtype=torch.bool)
    region[:, :, 10:2990, 20:30] = True
    assert middle(region) == (slice(476, 2524), slice(20, 30))


def test_a_gain_only_shifts_the_logarithm():
    albedo = 0.1 + 0.4 * torch.rand(1, 3, 4, 4)
    shift = log_luminance(2 * albedo) - log_luminance(albedo)
    assert torch.allclose(shift, torch.full_like(shift, 2.0).log(), atol=1e-5)
