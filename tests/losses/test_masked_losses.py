"""Reconstruction, angular and gradient losses: values, masks, gradients."""

import math

import pytest
import torch

from realface.losses.angular import angular
from realface.losses.gradient import gradient
from realface.losses.reconstruction import reconstruction

LOSSES = [reconstruction, angular, gradient]


def maps(kind: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=kind).unbind()
    mask = torch.rand(2, 1, 4, 5, generator=generator) > 0.4
    return predicted, truth, mask.to(kind)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("garbage", [1e30, float("nan"), float("inf")])
def test_what_lies_outside_the_mask_changes_neither_value_nor_gradient(loss, garbage):
    predicted, truth, mask = maps()
    outside = mask.expand_as(predicted) == 0
    clean = predicted.clone().requires_grad_()
    spoilt = predicted.masked_fill(outside, garbage).requires_grad_()
    expected, value = (
        loss(clean, truth, mask),
        loss(spoilt, truth.masked_fill(outside, garbage), mask),
    )
    expected.backward()
    value.backward()
    assert value == expected
    assert torch.equal(spoilt.grad, clean.grad)
    assert (spoilt.grad[outside] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_no_valid_texel_costs_nothing_and_still_has_a_gradient(loss):
    predicted, truth, mask = maps()
    predicted.requires_grad_()
    value = loss(predicted, truth, torch.zeros_like(mask))
    value.backward()
    assert value == 0
    assert (predicted.grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_and_boolean_masks(loss):
    predicted, truth, mask = maps(torch.float64)
    predicted.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(p, truth, mask), predicted)
    assert loss(predicted, truth, mask > 0) == loss(predicted, truth, mask)


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_would_broadcast_are_refused(loss):
    predicted, truth, mask = maps()
    with pytest.raises(ValueError, match="one shape"):
        loss(predicted, truth[:, :1], mask)
    with pytest.raises(ValueError, match=r"mask \(B, 1, H, W\)"):
        loss(predicted, truth, mask[:1])


def test_reconstruction_is_the_mean_over_valid_texels_and_channels():
    predicted, truth, mask = maps()
    expected = (predicted - truth).abs().mean(dim=1, keepdim=True)[mask > 0].mean()
    torch.testing.assert_close(reconstruction(predicted, truth, mask), expected)


@pytest.mark.parametrize("degrees", [0.0, 0.01, 1.0, 90.0, 180.0])
def test_angular_is_one_minus_cosine_whatever_the_lengths(degrees):
    angle = math.radians(degrees)
    truth = torch.tensor([0.0, 0.0, 3.0]).view(1, 3, 1, 1)
    predicted = 0.2 * torch.tensor([math.sin(angle), 0.0, math.cos(angle)]).view(1, 3, 1, 1)
    value = angular(predicted, truth, torch.ones(1, 1, 1, 1)).item()
    assert value == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-3, abs=1e-12)


def test_angular_at_the_zero_vector_has_a_bounded_gradient():
    predicted = torch.zeros(1, 3, 2, 2, requires_grad=True)
    truth = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    angular(predicted, truth, torch.ones(1, 1, 2, 2)).backward()
    assert predicted.grad.isfinite().all()
    assert predicted.grad.abs().max() <= 1e4


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_widened(loss):
    predicted, truth, mask = maps()
    assert loss(predicted.bfloat16(), truth.bfloat16(), mask).dtype == torch.float32
