"""Ambient occlusion of the lattice: closed forms, the real thing, and nothing from afar."""

import math

import pytest
import torch

from realface.shading.visibility import ambient_occlusion
from realface.synthetic import ProceduralSubject
from realface.synthetic.lattice import LATTICE_SPACING
from realface.synthetic.occlusion import REACH, cavity, openness


def plate(height):
    """A height field ``z = height(x, y)`` of 90 x 80 mm."""
    y, x = torch.meshgrid(
        torch.arange(160) * LATTICE_SPACING, torch.arange(180) * LATTICE_SPACING, indexing="ij"
    )
    return torch.stack((x, y, height(x, y)))[None]


@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_a_plane_is_open(slope):
    shape = plate(lambda x, y: slope * x - 0.3 * slope * y)
    assert (openness(shape) - 1).abs().max() < 1e-6
    assert cavity(shape)[:, 30:-30, 30:-30].abs().max() < 1e-6


def test_a_ball_is_open():
    shape = plate(lambda x, y: (90**2 - (x - 45) ** 2 - (y - 40) ** 2).sqrt())
    assert (openness(shape) - 1).abs().max() < 1e-6


def test_a_valley_of_two_planes():
    """At its bottom between slopes of 45 degrees: sin 45 = cos 45 of the sky's cosine is left."""
    shape = plate(lambda x, y: (x - 45).abs() + 0 * y)
    assert openness(shape)[0, 80, 90] == pytest.approx(math.sqrt(0.5), abs=0.06)
    assert openness(shape)[0, 80, 10] == pytest.approx(1, abs=1e-6)  # 40 mm up its side
    assert cavity(shape)[0, 80, 90] > 0.5 > 0.01 > cavity(shape)[0, 80, 40]


def test_it_is_the_true_occlusion_of_faces_nearly():
    maps = ProceduralSubject(3).maps(256, 384)
    shape, normals, mask = (maps[kind][None] for kind in ("shape", "shape_normals", "mask"))
    true = ambient_occlusion(shape, normals, mask, 64)[mask > 0.5]
    found = maps["occlusion"][None][mask > 0.5]
    assert torch.corrcoef(torch.stack((true, found)))[0, 1] > 0.85
    assert (true - found).abs().mean() < 0.015
    assert found.mean() == pytest.approx(true.mean().item(), abs=0.01)


def test_what_lies_beyond_the_reach_does_not_matter():
    generator = torch.Generator().manual_seed(1)
    shape = plate(lambda x, y: 6 * torch.sin(x / 5) * torch.cos(y / 4))
    rim = int(REACH / LATTICE_SPACING)
    part = shape[..., 10:150, 20:170] + 0
    inner = (slice(None), slice(rim, -rim), slice(rim, -rim))
    for measure in (openness, cavity):
        whole = measure(shape)[:, 10:150, 20:170][inner]
        assert torch.equal(measure(part)[inner], whole)
    moved = shape + 5 * torch.rand(3, generator=generator)[:, None, None]
    assert (openness(moved) - openness(shape)).abs().max() < 1e-3
