"""Procedural busts: heads that repeat, differ, and are solid all around."""

from itertools import pairwise

import pytest
import torch

from realface.maps.encoding import unit
from realface.synthetic.bust import bust_maps

HEIGHT, WIDTH = 96, 128
SEEDS = (3, 4, 5, 13)
CHANNELS = {
    "diffuse_albedo": 3,
    "specular_albedo": 1,
    "diffuse_normals": 3,
    "specular_normals": 3,
    "shape_normals": 3,
    "shape": 3,
    "mask": 1,
}
NORMALS = [kind for kind in CHANNELS if kind.endswith("normals")]


@pytest.fixture(scope="module")
def busts():
    return [bust_maps(seed, HEIGHT, WIDTH) for seed in SEEDS]


@pytest.fixture(scope="module")
def large():
    return bust_maps(SEEDS[2], 3 * HEIGHT, 3 * WIDTH)  # bald, all around


def valid_of(maps):
    return maps["mask"][0] > 0


def test_kinds_channels_and_ranges(busts):
    for maps in busts:
        assert {kind: len(values) for kind, values in maps.items()} == CHANNELS
        for kind, values in maps.items():
            assert values.shape[1:] == (HEIGHT, WIDTH)
            assert values.dtype == torch.float32
            assert values.isfinite().all(), kind
        assert set(maps["mask"].unique().tolist()) <= {0.0, 1.0}
        for kind in ("diffuse_albedo", "specular_albedo"):
            assert 0 <= maps[kind].min() < maps[kind].max() <= 1


def test_a_seed_gives_the_same_bust_again(busts):
    again = bust_maps(SEEDS[2], HEIGHT, WIDTH)
    for kind, values in busts[2].items():
        assert torch.equal(values, again[kind]), kind


def test_seeds_differ_in_shape_and_colour(busts):
    for one, other in pairwise(busts):
        both = valid_of(one) & valid_of(other)
        apart = (one["shape"] - other["shape"])[:, both].square().sum(0).sqrt()
        assert apart.median() > 2  # mm
        assert (one["diffuse_albedo"] - other["diffuse_albedo"])[:, both].abs().mean() > 0.02


def test_the_same_bust_at_another_size(busts, large):
    small = busts[2]
    both = valid_of(small) & valid_of(large)[1::3, 1::3]
    assert both.sum() > 0.95 * valid_of(small).sum()
    moved = (small["shape"] - large["shape"][:, 1::3, 1::3])[:, both]
    assert moved.square().sum(0).sqrt().quantile(0.99) < 1.5  # mm; a texel is 4.4
    changed = (small["diffuse_albedo"] - large["diffuse_albedo"][:, 1::3, 1::3])[:, both]
    assert changed.abs().quantile(0.99) < 0.05


def test_outside_the_mask_nothing_is_claimed(busts):
    for maps in busts:
        outside = ~valid_of(maps)
        assert outside.any()
        for kind in ("diffuse_albedo", "specular_albedo"):
            assert not maps[kind][:, outside].any()
        for kind in NORMALS:
            assert (maps[kind][:, outside] == torch.tensor((0.0, 0.0, 1.0))[:, None]).all()


def test_most_of_the_chart_is_valid_and_the_face_always(busts):
    for maps in busts:
        assert 0.3 < maps["mask"].mean() < 0.995
        assert valid_of(maps)[20:60, 50:78].float().mean() > 0.99


def test_no_texel_alone_is_invalid(busts):
    for maps in busts:
        valid = valid_of(maps)
        beside = valid.roll(1, 1) & valid.roll(-1, 1)  # once around
        assert not (~valid[1:-1] & valid[:-2] & valid[2:] & beside[1:-1]).any()


def test_normals_are_unit_and_those_of_the_shape(busts):
    for maps in busts:
        shape, valid = maps["shape"], valid_of(maps)
        by_x = shape[:, 1:-1, 2:] - shape[:, 1:-1, :-2]
        by_y = shape[:, :-2, 1:-1] - shape[:, 2:, 1:-1]
        inner = valid[1:-1, 2:] & valid[1:-1, :-2] & valid[:-2, 1:-1] & valid[2:, 1:-1]
        facets = unit(torch.linalg.cross(by_x, by_y, dim=0))[:, inner]
        for kind in NORMALS:
            normals = maps[kind]
            assert (normals.square().sum(0) - 1).abs().max() < 1e-4
            cosine = (normals[:, 1:-1, 1:-1][:, inner] * facets).sum(0)
            assert cosine.mean() > 0.9
            assert (cosine > 0).float().mean() > 0.97


def test_texels_are_about_square_and_even(busts):
    for maps in busts[:3]:
        shape, valid = (
            maps["shape"][:, 30:],
            valid_of(maps)[30:],
        )  # below the vertex, where rays meet
        across = (shape[:, :, 1:] - shape[:, :, :-1]).square().sum(0).sqrt()
        down = (shape[:, 1:] - shape[:, :-1]).square().sum(0).sqrt()
        across = across[valid[:, 1:] & valid[:, :-1]].median()
        down = down[valid[1:] & valid[:-1]].median()
        for size in (across, down):
            assert 0.7 < size / (560 / WIDTH) < 1.3


def test_the_front_looks_ahead_the_back_behind_the_crown_up_the_chin_down(busts):
    for maps in busts[1:3]:  # all around
        normals = maps["shape_normals"]
        assert normals[2, 25:35, 60:68].mean() > 0.6
        assert normals[2, 30:40, :4].mean() < -0.6
        assert normals[1, :4].mean() > 0.9
        assert normals[1, 50:75, 56:72].min() < -0.5


def test_ears_stand_off_with_hollows(large):
    x, normals = large["shape"][0], large["shape_normals"]
    for columns, side in ((slice(250, 310), 1), (slice(74, 134), -1)):
        outwards = side * x[80:150, columns]
        steps = (outwards[:, 1:] - outwards[:, :-1]).abs()
        assert steps.max() > 6  # mm from the rim to the head behind it
        assert (side * normals[0, 80:150, columns]).min() < 0.2  # walls of the hollow
        assert normals[2, 80:150, columns].max() > 0.7


def test_skin_goes_from_dark_to_light(busts):
    tones = [maps["diffuse_albedo"][:, 40:48, 56:72].mean().item() for maps in busts]
    assert min(tones) < 0.4
    assert max(tones) > 0.6
