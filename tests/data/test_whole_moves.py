"""Turned heads and drawn layouts: still the same surfaces."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.data.whole_moves import random_layout, random_turns, turned
from realface.maps.encoding import unit


def faces(count=2, size=(64, 96)):
    generator = torch.Generator().manual_seed(0)
    normals = unit(torch.randn(count, 3, *size, generator=generator))
    mask = torch.zeros(count, 1, *size)
    mask[..., 8:-8, 8:-8] = 1
    return {
        "shape_normals": normals,
        "shape": 80 * torch.rand(count, 3, *size, generator=generator),
        "diffuse_albedo": torch.rand(count, 3, *size, generator=generator),
        "mask": mask,
    }


def test_turns_are_rotations_and_turn_vectors_alone():
    maps = faces()
    turns = random_turns(2, (60.0, 30.0, 25.0), torch.device("cpu"))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(2))
    there = turned(maps, turns)
    assert there["diffuse_albedo"] is maps["diffuse_albedo"]
    back = turned(there, turns.mT)
    torch.testing.assert_close(back["shape"], maps["shape"], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        (there["shape_normals"] * there["shape"]).sum(1),
        (maps["shape_normals"] * maps["shape"]).sum(1), atol=1e-4, rtol=0,
    )  # fmt: skip


def test_no_turn_is_the_identity():
    turns = random_turns(3, (0.0, 0.0, 0.0), torch.device("cpu"))
    assert torch.equal(turns, torch.eye(3).expand(3, 3, 3))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_a_layout_keeps_normals_unit_and_invents_no_texel(seed):
    torch.manual_seed(seed)
    maps = faces()
    maps["diffuse_albedo"] = maps["mask"].expand(-1, 3, -1, -1) * 0.7
    there = random_layout(maps)
    height, width = there["mask"].shape[-2:]
    assert height % 32 == width % 32 == 0
    assert set(there["mask"].unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(
        there["shape_normals"].square().sum(1), torch.ones(2, height, width), atol=1e-4, rtol=0
    )
    inside = there["mask"].expand(-1, 3, -1, -1) > 0
    torch.testing.assert_close(
        there["diffuse_albedo"][inside], torch.full((int(inside.sum()),), 0.7), atol=0.01, rtol=0
    )


def test_layouts_differ_and_repeat_by_their_seed():
    torch.manual_seed(1)
    one = random_layout(faces())
    other = random_layout(faces())
    torch.manual_seed(1)
    again = random_layout(faces())
    assert torch.equal(one["shape"], again["shape"])
    assert one["shape"].shape != other["shape"].shape or not torch.equal(
        one["shape"], other["shape"]
    )
