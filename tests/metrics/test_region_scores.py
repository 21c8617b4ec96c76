"""PSNR and SSIM by region: the same numbers as of the whole image, in bands."""

import math

import pytest
import torch

from realface.maps.encoding import linear_to_srgb
from realface.metrics.image import psnr, ssim
from realface.metrics.region_scores import region_scores


def images(height=61, width=40):
    truth = torch.rand(1, 3, height, width)
    predicted = (truth + 0.1 * torch.randn_like(truth)).clamp(0, 1)
    mask = torch.rand(1, 1, height, width) < 0.8
    return predicted, truth, mask


@pytest.mark.parametrize("rows", [7, 16, 61, 128])
def test_bands_are_the_whole(rows):
    predicted, truth, mask = images()
    found = region_scores(predicted, truth, mask, {"whole": mask}, rows=rows)["whole"]
    assert found[0] == pytest.approx(float(psnr(predicted, truth, mask)), abs=1e-4)
    assert found[1] == pytest.approx(float(ssim(predicted, truth, mask)), abs=1e-5)


def test_what_is_outside_the_mask_or_the_region_does_not_count():
    predicted, truth, mask = images()
    region = mask.clone()
    region[:, :, 30:] = False
    regions = {"region": region}
    expected = region_scores(predicted, truth, mask, regions)["region"]
    spoilt = torch.where(mask, predicted, torch.nan)
    spoilt[:, :, 36:] = 0.0  # farther than a window reaches
    assert region_scores(spoilt, truth, mask, regions)["region"] == pytest.approx(expected)


def test_equal_images_have_no_error():
    _, truth, mask = images()
    assert region_scores(truth, truth, mask, {"whole": mask})["whole"] == (
        math.inf,
        pytest.approx(1.0, abs=1e-6),
    )


def test_values_are_compared_as_converted():
    predicted, truth, mask = images()
    by_convert = region_scores(predicted, truth, mask, {"a": mask}, linear_to_srgb)["a"]
    by_hand = region_scores(linear_to_srgb(predicted), linear_to_srgb(truth), mask, {"a": mask})[
        "a"
    ]
    assert by_convert[0] == pytest.approx(by_hand[0], abs=1e-4)


def test_an_empty_region_has_no_number():
    predicted, truth, mask = images()
    found = region_scores(predicted, truth, mask, {"none": torch.zeros_like(mask)})["none"]
    assert all(math.isnan(value) for value in found)


def test_thinned_bands_estimate_ssim_and_leave_psnr():
    predicted, truth, mask = images(height=256)
    regions = {"whole": mask}
    every = region_scores(predicted, truth, mask, regions, rows=8)["whole"]
    some = region_scores(predicted, truth, mask, regions, rows=8, every=3)["whole"]
    assert some[0] == every[0]
    assert some[1] == pytest.approx(every[1], abs=0.01)
    assert some[1] != every[1]
