"""Least-squares GAN losses against closed values."""

import pytest
import torch

from realface.losses.adversarial import least_squares_discriminator, least_squares_generator


def says(*values: float, kind: torch.dtype = torch.float32) -> list[list[torch.Tensor]]:
    """A discriminator's output with these logits, one for each scale."""
    feature = torch.full((2, 3, 4, 4), float("nan"))
    return [[feature, torch.full((2, 1, 5, 3), v, dtype=kind)] for v in values]


def test_closed_values():
    assert least_squares_discriminator(says(1, 1), says(0, 0)) == 0
    assert least_squares_discriminator(says(0.5, 0.5), says(0.5, 0.5)) == pytest.approx(0.5)
    assert least_squares_discriminator(says(0), says(1)) == pytest.approx(1)
    assert least_squares_generator(says(1, 1, 1)) == 0
    assert least_squares_generator(says(0, -1)) == pytest.approx(1 + 4)


def test_half_precision_is_widened():
    assert least_squares_generator(says(300, kind=torch.float16)) == pytest.approx(299**2)


def test_gradients():
    fake = torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    real = torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: least_squares_generator([[f]]), fake)
    assert torch.autograd.gradcheck(
        lambda r, f: least_squares_discriminator([[r]], [[f]]), (real, fake)
    )
