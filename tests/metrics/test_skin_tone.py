"""Colour of skin: CIELAB by its definition, typology angles by theirs."""

import pytest
import torch

from realface.metrics.skin_tone import TONES, lab, tone_counts, tone_of, typology_angle


@pytest.mark.parametrize(
    ("srgb", "expected"),
    [  # CIE 15 by way of IEC 61966-2-1: the primaries' published L*a*b*
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_of_white_black_and_the_primaries(srgb, expected):
    assert torch.allclose(lab(torch.tensor(srgb)), torch.tensor(expected), atol=0.05)


def test_greys_have_no_chroma_and_l_follows_the_cube_root():
    linear = 0.18
    grey = torch.full((3,), 1.055 * linear ** (1 / 2.4) - 0.055)
    colour = lab(grey)
    assert abs(float(colour[0]) - (116 * linear ** (1 / 3) - 16)) < 1e-2
    assert colour[1:].abs().max() < 1e-3


def test_lab_is_continuous_over_its_knee():
    low, high = 0.1004, 0.1006  # around linear 0.008856, where the cube root begins
    steps = torch.linspace(low, high, 50)[:, None].expand(-1, 3)
    jumps = lab(steps).diff(dim=0).abs()
    assert jumps.max() < 2 * jumps.median(dim=0).values.max()


def test_typology_angle_at_known_places():
    colours = torch.tensor([[50.0, 10.0, 15.0], [65.0, 10.0, 15.0], [35.0, 10.0, 15.0]])
    assert torch.allclose(typology_angle(colours), torch.tensor([0.0, 45.0, -45.0]))


def test_classes_share_their_borders_and_miss_no_angle():
    angles = torch.arange(-89.5, 90, 0.5)
    counts = tone_counts(angles)
    assert list(counts) == [name for name, _ in TONES]
    assert sum(counts.values()) == len(angles)
    assert tone_counts(torch.tensor([41.0, 41.1])) == {
        **dict.fromkeys(counts, 0), "light": 1, "intermediate": 1
    }  # fmt: skip


@pytest.mark.parametrize("angle", [-89.0, -30.0, -29.9, 10.0, 24.0, 41.0, 41.1, 89.0])
def test_an_angle_is_of_the_class_that_counts_it(angle):
    assert tone_counts(torch.tensor([angle]))[tone_of(angle)] == 1
