import dataclasses
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.data.packing import groups
from realface.data.packing.groups import group, signature, split_groups
from realface.errors import InputError

HEIGHT, WIDTH, SIDE = 512, 640, 128
LEVEL = 180 / 255  # mm


def curved():
    """A cheek's shape [mm]: a part of a sphere."""
    y, x = torch.meshgrid(
        (HEIGHT / 2 - torch.arange(HEIGHT)) * 0.18, torch.arange(WIDTH) * 0.18, indexing="ij"
    )
    x = x - x.mean()
    return torch.stack([x, y, (120**2 - x**2 - y**2).sqrt()])


def skin(seed):
    """Blotches of all sizes over a tone, and an edge that all faces have in common."""
    generator = torch.Generator().manual_seed(seed)
    albedo = torch.full((3, HEIGHT, WIDTH), 0.5)
    for knots, strength in ((8, 0.05), (40, 0.02), (200, 0.015)):
        noise = torch.randn(1, 1, knots, knots, generator=generator)
        albedo += strength * F.interpolate(noise, (HEIGHT, WIDTH), mode="bicubic")[0]
    albedo[:, :, WIDTH // 2 :] *= 0.85
    return albedo


SHAPE = curved()
SKINS = {seed: skin(seed) for seed in range(4)}


def cut(subject, y, x):
    """A patch's signature, 8 bits."""
    window = slice(None), slice(y, y + SIDE), slice(x, x + SIDE)
    albedo = (SKINS[subject][window] * 255).round() / 255
    return signature(albedo, (SHAPE[window] / LEVEL).round() * LEVEL)


PLACES = [
    (random.Random(i).randrange(0, 380), random.Random(-i).randrange(0, 500)) for i in range(9)
]
PATCHES = [(subject, *place) for subject in range(3) for place in PLACES]
SIGNATURES = [cut(*patch) for patch in PATCHES]


def as_sets(numbers):
    members = {}
    for i, number in enumerate(numbers):
        members.setdefault(number, set()).add(i)
    return set(map(frozenset, members.values()))


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 3), st.integers(0, 300), st.integers(0, 400), st.integers(-90, 90),
    st.integers(-90, 90),
)  # fmt: skip
def test_overlapping_patches_are_one_group(subject, y, x, down, right):
    other_y, other_x = min(max(y + down, 0), 384), min(max(x + right, 0), 512)
    shared = (1 - abs(other_y - y) / SIDE) * (1 - abs(other_x - x) / SIDE)
    numbers = group([cut(subject, y, x), cut(subject, other_y, other_x)])
    assert shared < 0.15 or numbers == [0, 0]


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(4)), st.integers(0, 384), st.integers(0, 512), st.integers(0, 30))
def test_other_subjects_at_the_same_place_are_not(subjects, y, x, away):
    others = [cut(subject, y, min(x + away, 512)) for subject in subjects[1:]]
    assert group([cut(subjects[0], y, x), *others]) == [0, 1, 2, 3]


def test_same_skin_elsewhere_is_not():
    """Equal detail at another place of the face is no overlap: it could be a pattern."""
    one = cut(0, 100, 100)
    moved = dataclasses.replace(one, centre=one.centre + np.float32(60))
    assert group([one, moved]) == [0, 1]


@settings(deadline=None, max_examples=5)
@given(st.permutations(range(len(PATCHES))))
def test_order_does_not_matter(order):
    plain = as_sets(group(SIGNATURES))
    shuffled = as_sets(group([SIGNATURES[i] for i in order]))
    assert plain == {frozenset(order[i] for i in members) for members in shuffled}


def test_groups_never_join_subjects_and_blocks_do_not_matter(monkeypatch):
    numbers = group(SIGNATURES)
    assert len(set(numbers)) < len(numbers)  # some do overlap
    assert all(len({PATCHES[i][0] for i in members}) == 1 for members in as_sets(numbers))
    monkeypatch.setattr(groups, "_BLOCK", 5)
    monkeypatch.setattr(groups, "_AT_ONCE", 2)
    assert group(SIGNATURES) == numbers


def test_links_reach_through_others():
    chain = [cut(0, 100, x) for x in (0, 90, 180, 270, 360)]
    assert group(chain) == [0] * 5
    assert group([chain[0], chain[4]]) == [0, 1]


def test_another_capture_is_recognised():
    generator = torch.Generator().manual_seed(0)
    window = slice(None), slice(50, 50 + SIDE), slice(70, 70 + SIDE)
    noise = 0.004 * torch.randn(3, SIDE, SIDE, generator=generator)
    other = signature(SKINS[1][window] * 0.9 + noise, SHAPE[window] + 2.0)
    assert group([cut(1, 60, 90), other]) == [0, 0]


def test_copies_are_one_group_even_without_detail():
    flat = signature(torch.full((3, 64, 64), 0.5), torch.zeros(3, 64, 64))
    elsewhere = signature(torch.full((3, 64, 64), 0.5), torch.ones(3, 64, 64))
    assert group([flat, elsewhere, flat]) == [0, 1, 0]


def test_any_reflectance_map_and_proportion():
    window = slice(None), slice(50, 150), slice(70, 278)
    one = signature(SKINS[1][:1][window], SHAPE[window])
    assert one.detail.shape == (62, 128)
    assert group([one, one]) == [0, 0]


def test_signatures_are_small_and_travel():
    one = SIGNATURES[0]
    assert len(pickle.dumps(one)) < 20_000
    copy = pickle.loads(pickle.dumps(one))
    assert np.array_equal(copy.detail, one.detail)
    assert group([one, copy]) == [0, 0]


def test_of_nothing_and_one():
    assert group([]) == []
    assert group(SIGNATURES[:1]) == [0]


def test_sizes_must_agree():
    small = signature(torch.rand(3, 32, 64), torch.rand(3, 32, 64))
    with pytest.raises(InputError, match="size"):
        group([SIGNATURES[0], small])
    with pytest.raises(ValueError, match="maps of"):
        signature(torch.rand(3, 32, 64), torch.rand(3, 32, 32))


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda names: len(set(names)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 99),
)
def test_no_group_straddles_and_the_share_is_as_near_as_can_be(names, share, seed):
    training, validation = split_groups(names, share, seed)
    assert sorted(training + validation) == list(range(len(names)))
    assert training == sorted(training)
    assert training
    assert validation
    assert not {names[i] for i in training} & {names[i] for i in validation}
    assert (training, validation) == split_groups(names, share, seed)
    sums = {0}
    for size in Counter(names).values():
        sums |= {total + size for total in sums}
    best = min(abs(total - share * len(names)) for total in sums - {0, len(names)})
    assert abs(len(validation) - share * len(names)) == pytest.approx(best)


def test_the_draw_follows_the_seed():
    drawn = {tuple(split_groups(range(100), 0.1, seed)[1]) for seed in range(10)}
    assert len(drawn) == 10
    held = Counter(i for seed in range(200) for i in split_groups(range(20), 0.25, seed)[1])
    assert min(held.values()) > 20  # 50 of 200 for each
    assert max(held.values()) < 90


def test_a_giant_group_is_told_of(caplog):
    training, validation = split_groups([0] * 95 + [1, 2, 3, 4, 5], 0.2, 0)
    assert len(validation) == 5
    assert len(training) == 95
    assert "5 of 100 patches are for validation, not 20 %" in caplog.text


@pytest.mark.parametrize(
    ("names", "share"), [([], 0.1), ([3, 3, 3], 0.1), ([1, 2], 0.0), ([1, 2], 1.0)]
)
def test_what_cannot_be_split_is_refused(names, share):
    with pytest.raises(InputError, match="two groups"):
        split_groups(names, share, 0)
