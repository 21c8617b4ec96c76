"""R1 against closed forms."""

import pytest
import torch
from torch import nn

from realface.losses.gradient_penalty import gradient_penalty
from realface.networks.discriminator import MultiScaleDiscriminator


def test_of_a_linear_verdict_is_half_its_squared_weights_whatever_the_size():
    weight = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1)
    for size in (4, 9):
        real, mask = torch.rand(2, 3, size, size), torch.ones(2, 1, size, size)
        mask[..., 0] = 0
        scales = 2 * [lambda x, m=mask: [(weight * x * m).sum(dim=1, keepdim=True)]]
        value = gradient_penalty(lambda x, s=scales: [one(x) for one in s], real, mask)
        assert float(value) == pytest.approx(2 * 0.5 * float(weight.square().sum()), rel=1e-5)


def test_its_gradient_reaches_the_weights_as_the_second_derivative_says():
    layer = nn.Conv2d(3, 1, 1).double()
    real = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    gradient_penalty(lambda x: [[layer(x)]], real, torch.ones(1, 1, 5, 5)).backward()
    torch.testing.assert_close(layer.weight.grad, layer.weight.detach())  # of |w|^2 / 2
    assert layer.bias.grad is None or not layer.bias.grad.any()
    assert real.grad is None


@pytest.mark.parametrize("norm", ["instance", "spectral", "none"])
def test_a_discriminator_can_be_differentiated_twice(norm):
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator(2, base_channels=4, layers=2, norm=norm)
    value = gradient_penalty(judge, torch.rand(1, 2, 32, 32), torch.ones(1, 1, 32, 32))
    value.backward()
    assert value > 0
    weights = [one for name, one in judge.named_parameters() if "bias" not in name]
    assert all(one.grad is not None and one.grad.isfinite().all() for one in weights)
    assert all(one.grad.any() for one in weights)


def test_without_a_valid_texel_it_is_zero():
    mask = torch.zeros(1, 1, 4, 4)
    layer = nn.Conv2d(3, 1, 1)
    assert gradient_penalty(lambda x: [[layer(x * mask)]], torch.rand(1, 3, 4, 4), mask) == 0
