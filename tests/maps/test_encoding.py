import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.maps.encoding import convert, linear_to_srgb, luminance, srgb_to_linear, unit

KNOWN = ((0.0, 0.0), (0.5, 0.7353569831), (0.18, 0.4613561295), (0.002, 0.02584), (1.0, 1.0))


@pytest.mark.parametrize(("linear", "srgb"), KNOWN)
def test_values_of_the_standard(linear, srgb):
    assert linear_to_srgb(torch.tensor(linear).double()).item() == pytest.approx(srgb, abs=1e-6)
    assert srgb_to_linear(torch.tensor(srgb).double()).item() == pytest.approx(linear, abs=1e-6)


@given(st.floats(-1, 2))
def test_inverse_also_outside_the_range(value):
    values = torch.tensor([value], dtype=torch.float64)
    # Around the toe the standard's two constants disagree in the seventh digit.
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6, rtol=0)
    torch.testing.assert_close(srgb_to_linear(linear_to_srgb(values)), values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_gradient_is_right_and_finite_at_zero_and_outside(function):
    values = torch.tensor([-0.5, -1e-3, 0.0, 1e-3, 0.02, 0.5, 1.0, 1.5]).double()
    values.requires_grad_()
    assert torch.autograd.gradcheck(function, values)


def test_order_is_kept():
    values = torch.linspace(-0.2, 1.2, 5000)
    assert (linear_to_srgb(values).diff() > 0).all()
    assert (srgb_to_linear(values).diff() > 0).all()


def test_unit_vectors_are_unit_and_zero_stays_zero():
    vectors = torch.randn(2, 3, 5, 7) * torch.tensor([1e-3, 1e3]).view(2, 1, 1, 1)
    vectors[0, :, 0, 0] = 0
    lengths = unit(vectors).norm(dim=1)
    assert lengths[0, 0, 0] == 0
    lengths[0, 0, 0] = 1
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_unit_widens_half_and_has_a_gradient_at_zero():
    assert unit(torch.ones(3, 2, 2).half()).dtype == torch.float32
    zero = torch.zeros(3, 1, 1, requires_grad=True)
    unit(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_convert():
    values = torch.rand(3, 4, 4)
    assert convert(values, "srgb", "srgb") is values
    torch.testing.assert_close(convert(values, "srgb", "linear"), srgb_to_linear(values))
    torch.testing.assert_close(convert(values, "linear", "srgb"), linear_to_srgb(values))
    with pytest.raises(ValueError, match="'srgb' cannot be read as 'position'"):
        convert(values, "srgb", "position")


def test_luminance_is_linear_and_that_of_white_is_one():
    a, b = torch.rand(2, 2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(luminance(torch.ones(3, 5, 4)), torch.ones(1, 5, 4))
    torch.testing.assert_close(luminance(2 * a + b), 2 * luminance(a) + luminance(b))
    green, blue = (luminance(torch.eye(3)[channel].view(3, 1, 1)) for channel in (1, 2))
    assert green > 5 * blue > 0
