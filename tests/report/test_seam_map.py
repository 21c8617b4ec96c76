"""The picture of where windows disagreed."""

import torch

from realface.maps.files import read_image
from realface.report.seam_map import write_seam_map
from realface.tiling.disagreement import Disagreement


def test_the_brightest_square_is_where_windows_differ_most(tmp_path):
    picture = torch.zeros(4, 6)
    picture[1, 2], picture[3, 5] = 0.5, 0.125
    measured = {"diffuse_albedo": Disagreement(0.01, 0.5, 10, picture)}
    assert write_seam_map(measured, tmp_path / "seams.png")
    pixels = read_image(tmp_path / "seams.png")
    assert pixels.max() == 255
    assert 0.4 < (pixels > 250).all(2).sum() / (128 * 128) < 1.2  # of one square, 128 px a side


def test_windows_that_agree_have_no_picture(tmp_path):
    measured = {"diffuse_albedo": Disagreement(0.0, 0.0, 0, torch.zeros(4, 6))}
    assert not write_seam_map(measured, tmp_path / "seams.png")
    assert not (tmp_path / "seams.png").exists()
