import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.packing.statistics import measure, merge


def patches(count, seed, offset=100.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "diffuse_albedo": torch.rand(3, 6, 7, generator=generator) * number + offset,
            "mask": (torch.rand(1, 6, 7, generator=generator) > 0.4).float(),
        }
        for number in range(1, count + 1)
    ]


@given(st.integers(1, 6), st.integers(0, 50))
def test_patch_by_patch_is_all_at_once(count, seed):
    given = patches(count, seed)
    valid = torch.cat([p["diffuse_albedo"][:, p["mask"][0] > 0.5] for p in given], dim=1)
    found = merge(measure(patch) for patch in given)["diffuse_albedo"].summary()
    exact = valid.double().numpy()
    assert np.allclose(found["mean"], exact.mean(axis=1), rtol=1e-9)
    assert np.allclose(found["std"], exact.std(axis=1), rtol=1e-5)
    assert found["min"] == exact.min(axis=1).tolist()
    assert found["max"] == exact.max(axis=1).tolist()


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 50))
def test_parts_merge_to_the_whole(count, first, seed):
    parts = [measure(patch) for patch in patches(count, seed)]
    whole = merge(parts)["diffuse_albedo"]
    halves = merge((merge(parts[:first]), merge(parts[first:])))["diffuse_albedo"]
    assert halves.count == whole.count
    assert (halves.low, halves.high) == (whole.low, whole.high)
    assert np.allclose(halves.mean, whole.mean, rtol=1e-12)
    assert np.allclose(halves.squares, whole.squares, rtol=1e-9)


def test_a_constant_far_from_zero_has_no_spread():
    values = torch.full((3, 64, 64), 1e4 + 1 / 3)
    assert measure({"shape": values})["shape"].summary()["std"] == [0.0, 0.0, 0.0]


def test_what_is_outside_the_mask_does_not_count():
    given = patches(1, 0)[0]
    outside = given["mask"] < 0.5
    spoilt = torch.where(outside, torch.nan, given["diffuse_albedo"])
    assert measure({**given, "diffuse_albedo": spoilt}) == measure(given)
    without = measure({"diffuse_albedo": given["diffuse_albedo"]})["diffuse_albedo"]
    assert without.count == 42
    assert measure(given)["mask"].count == 42


def test_a_patch_without_a_valid_texel_adds_nothing():
    given = patches(2, 0)
    empty = {**given[0], "mask": torch.zeros(1, 6, 7)}
    assert "diffuse_albedo" not in measure(empty)
    parts = [measure(patch) for patch in given]
    assert merge([*parts, measure(empty)])["diffuse_albedo"] == merge(parts)["diffuse_albedo"]


def test_numbers_survive_json_and_do_not_depend_on_threads():
    generator = torch.Generator().manual_seed(0)
    given = {"specular_albedo": torch.rand(1, 300, 300, generator=generator)}
    before = torch.get_num_threads()
    found = []
    for threads in (1, 4):
        torch.set_num_threads(threads)
        found.append(measure(given)["specular_albedo"])
    torch.set_num_threads(before)
    assert found[0] == found[1]
    assert json.loads(json.dumps(asdict(found[0])))["mean"] == pytest.approx(found[0].mean, rel=0)
