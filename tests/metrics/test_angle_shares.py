"""Shares of texels within an angle."""

import math

import pytest
import torch

from realface.metrics.angle_shares import angle_shares


def tilted(degrees, height=300, width=4):
    angle = math.radians(degrees)
    vector = torch.tensor((math.sin(angle), 0.0, math.cos(angle)))
    return vector.view(1, 3, 1, 1).expand(1, 3, height, width)


def whole(normals):
    return torch.ones_like(normals[:, :1], dtype=torch.bool)


def test_a_known_angle():
    found = angle_shares(tilted(7.0), tilted(0.0), {"whole": whole(tilted(0.0))})["whole"]
    assert found["mean_angle"] == pytest.approx(7.0, abs=1e-3)
    assert found["median_angle"] == pytest.approx(7.0, abs=1e-3)
    assert (found["within_5"], found["within_10"], found["within_20"]) == (0.0, 1.0, 1.0)


def test_halves_of_a_map_in_regions_of_their_own():
    predicted = torch.cat((tilted(2.0, 280), tilted(15.0, 20)), dim=2)
    top = whole(predicted)
    top[:, :, 280:] = False
    regions = {"top": top, "bottom": ~top, "both": top | ~top, "none": top & ~top}
    found = angle_shares(predicted, tilted(0.0), regions)
    assert "none" not in found
    assert found["top"]["mean_angle"] == pytest.approx(2.0, abs=1e-3)
    assert found["bottom"]["mean_angle"] == pytest.approx(15.0, abs=1e-3)
    assert found["both"]["within_5"] == pytest.approx(280 / 300)
    assert found["both"]["median_angle"] == pytest.approx(2.0, abs=1e-3)


def test_no_error():
    normals = torch.nn.functional.normalize(torch.randn(1, 3, 8, 8), dim=1)
    found = angle_shares(normals, normals, {"whole": whole(normals)})["whole"]
    assert found["mean_angle"] == pytest.approx(0, abs=1e-3)
    assert found["within_5"] == 1
