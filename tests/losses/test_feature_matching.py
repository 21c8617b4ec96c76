"""Feature matching: weights, what counts, gradients."""

import pytest
import torch

from realface.losses.feature_matching import feature_matching


def features(value: float, layers: int = 4, scales: int = 2) -> list[list[torch.Tensor]]:
    return [
        [torch.full((2, 3 + i, 8 - i, 4), value) for i in range(layers + 1)] for _ in range(scales)
    ]


def test_equal_features_cost_nothing_whatever_the_logits():
    real, fake = features(0.3), features(0.3)
    fake[0][-1] += 7
    assert feature_matching(real, fake) == 0


@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize("scales", [1, 3])
def test_a_uniform_difference_costs_four_times_it_for_any_depth(layers, scales):
    """Weights 4 / layers / scales add up to 4; 4 layers and 2 scales give pix2pixHD's 1 x 0.5."""
    cost = feature_matching(features(0, layers, scales), features(0.25, layers, scales))
    assert cost == pytest.approx(4 * 0.25)


def test_only_the_generated_side_has_a_gradient():
    real = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    feature_matching([[real, real]], [[fake, fake]]).backward()
    assert real.grad is None
    assert torch.autograd.gradcheck(lambda f: feature_matching([[real, real]], [[f, f]]), fake)


def test_scales_must_match():
    with pytest.raises(ValueError, match="zip"):
        feature_matching(features(0, scales=1), features(0, scales=2))
