"""Metrics against closed forms; masks."""

import math

import pytest
import torch

from realface.metrics.angular import angular_error_degrees, angular_error_map
from realface.metrics.image import psnr, ssim

METRICS = [psnr, ssim, angular_error_degrees]


def maps() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(2, 2, 3, 16, 18, generator=generator).unbind()
    return predicted, truth, (torch.rand(2, 1, 16, 18, generator=generator) > 0.3).float()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("garbage", [1e30, float("nan")])
def test_what_lies_outside_the_mask_changes_nothing(metric, garbage):
    predicted, truth, mask = maps()
    outside = mask.expand_as(predicted) == 0
    spoilt = metric(predicted.masked_fill(outside, garbage), truth, mask)
    assert spoilt == metric(predicted, truth, mask)
    assert metric(predicted, truth.masked_fill(outside, garbage), mask) == spoilt


@pytest.mark.parametrize("metric", METRICS)
def test_no_valid_texel_gives_no_number(metric):
    predicted, truth, mask = maps()
    assert metric(predicted, truth, torch.zeros_like(mask)).isnan()


@pytest.mark.parametrize("metric", METRICS)
def test_an_image_without_valid_texels_does_not_count(metric):
    predicted, truth, mask = maps()
    mask[1] = 0
    torch.testing.assert_close(
        metric(predicted, truth, mask), metric(predicted[:1], truth[:1], mask[:1])
    )


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_has_no_gradient_and_refuses_shapes_that_would_broadcast(metric):
    predicted, truth, mask = maps()
    assert not metric(predicted.requires_grad_(), truth, mask).requires_grad
    with pytest.raises(ValueError, match="one shape"):
        metric(predicted, truth[:1], mask)


@pytest.mark.parametrize(("offset", "maximum"), [(0.1, 1.0), (0.01, 1.0), (0.1, 2.0)])
def test_psnr_of_a_uniform_offset(offset, maximum):
    _, truth, mask = maps()
    value = psnr(truth + offset, truth, mask, max=maximum).item()
    assert value == pytest.approx(20 * math.log10(maximum / offset), abs=1e-3)


def test_psnr_of_a_batch_is_the_mean_of_its_images():
    predicted, truth, mask = maps()
    each = [psnr(predicted[i : i + 1], truth[i : i + 1], mask[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(psnr(predicted, truth, mask), torch.stack(each).mean())
    assert psnr(truth, truth, mask).isposinf()


@pytest.mark.parametrize("metric", METRICS)
def test_a_nan_at_a_valid_texel_is_not_hidden(metric):
    predicted, truth, mask = maps()
    mask[0, 0, 3, 3] = 1
    predicted[0, :, 3, 3] = float("nan")
    assert metric(predicted, truth, mask).isnan()


def test_ssim_is_one_for_equal_images_black_ones_too_and_falls_with_noise():
    _, truth, mask = maps()
    assert ssim(truth, truth, mask).item() == pytest.approx(1, abs=1e-6)
    assert ssim(0 * truth, 0 * truth, mask).item() == pytest.approx(1, abs=1e-6)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    values = [ssim(truth + sigma * noise, truth, mask).item() for sigma in (0, 0.05, 0.2, 0.8)]
    assert values == sorted(values, reverse=True)


def test_ssim_of_flat_images_is_the_luminance_term():
    truth, mask = torch.full((1, 1, 16, 16), 0.5), torch.ones(1, 1, 16, 16)
    expected = (2 * 0.5 * 0.4 + 1e-4) / (0.5**2 + 0.4**2 + 1e-4)
    assert ssim(truth - 0.1, truth, mask).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.01, 30.0, 90.0, 179.99, 180.0])
def test_angle_of_a_known_rotation(degrees):
    angle = math.radians(degrees)
    truth = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    turned = torch.tensor([math.sin(angle), 0.0, math.cos(angle)]).view(1, 3, 1, 1)
    predicted = 0.3 * turned.expand(2, 3, 4, 4)
    value = angular_error_degrees(predicted, truth, torch.ones(2, 1, 4, 4)).item()
    assert value == pytest.approx(degrees, rel=1e-4, abs=1e-5)


def test_angle_map_keeps_places_and_calls_a_vector_without_length_90():
    truth = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 1, 3)
    predicted = truth.clone()
    predicted[..., 1] = torch.tensor([0.0, 1.0, 0.0]).view(3, 1)
    predicted[..., 2] = 0
    assert angular_error_map(predicted, truth).flatten().tolist() == [0, 90, 90]
