"""The rendering loss."""

import pytest
import torch

from realface.losses.rendering import rendering


def images(*values: float) -> torch.Tensor:
    return torch.stack([torch.full((3, 8, 8), value) for value in values])


def test_is_the_root_mean_square_of_each_image():
    mask = torch.ones(2, 1, 8, 8)
    loss = rendering(images(0.5, 0.2), images(0.1, 0.3), mask)
    torch.testing.assert_close(loss, torch.tensor((0.4 + 0.1) / 2))


def test_does_not_depend_on_the_size():
    small, large = (
        rendering(torch.rand(1, 3, n, n), torch.zeros(1, 3, n, n), torch.ones(1, 1, n, n))
        for n in (64, 256)
    )
    torch.testing.assert_close(small, large, atol=0.02, rtol=0)


def test_only_valid_texels_count():
    mask = torch.ones(1, 1, 8, 8)
    mask[..., 4:] = 0
    made = images(0.5)
    made[..., 4:] = torch.nan
    torch.testing.assert_close(rendering(made, images(0.25), mask), torch.tensor(0.25))


def test_equal_images_and_empty_masks_cost_nothing_and_keep_gradients_finite():
    made = images(0.5).requires_grad_()
    for mask in (torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)):
        loss = rendering(made, images(0.5), mask)
        assert loss < 1e-5
        (gradient,) = torch.autograd.grad(loss, made)
        assert gradient.isfinite().all()


def test_gradient():
    made = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    truth = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    mask = (torch.rand(2, 1, 4, 4) > 0.3).double()
    assert torch.autograd.gradcheck(lambda x: rendering(x, truth, mask), made)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="mask"):
        rendering(images(0.5), images(0.5), torch.ones(1, 1, 4, 4))
