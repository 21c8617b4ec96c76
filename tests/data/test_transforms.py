import random
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.transforms import (
    SkinTone,
    centre_crop,
    collate,
    crop,
    random_crop,
    stored,
    to_maps,
)
from realface.errors import InputError
from realface.maps.io import decode, encode
from realface.maps.kinds import KINDS
from realface.maps.record import default_record
from tests.faces import face_maps

seeds = st.integers(0, 2**31 - 1)
STORABLE = sorted(kind for kind in KINDS if KINDS[kind].encoding != "position")


def located(height, width):
    """A sample whose maps hold their own coordinates, so that a crop tells where it was."""
    where = np.arange(height * width, dtype=np.uint16).reshape(height, width, 1)
    return {"key": "a", "mask": where, "diffuse_albedo": where.repeat(3, axis=2)}


def face(bits=16, phase=0.0, key="a"):
    """A face as it is stored."""
    maps = face_maps(12, 12, phase)
    records = {kind: default_record(kind, "face.png", 12, 12, bits) for kind in maps}
    pixels = {
        kind: encode(values, KINDS[kind], records[kind], np.dtype(f"u{bits // 8}"))
        for kind, values in maps.items()
        if kind != "shape"
    }
    return stored(key, {**pixels, "shape": maps["shape"].permute(1, 2, 0).numpy()})


def same(one, other):
    return one.dtype == other.dtype and np.array_equal(one, other)


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 12), st.randoms())
def test_crops_are_at_the_same_place_in_every_map(size, below, right, rng):
    sample = located(size + below, size + right)
    for cropped in (random_crop(sample, size, rng), centre_crop(sample, size)):
        assert cropped["key"] == "a"
        assert cropped["mask"].shape == (size, size, 1)
        y, x = divmod(int(cropped["mask"][0, 0, 0]), size + right)
        for kind in ("mask", "diffuse_albedo"):
            assert np.array_equal(cropped[kind], sample[kind][y : y + size, x : x + size])


def test_random_crops_reach_every_corner_and_centre_crops_the_middle():
    rng, sample = random.Random(0), located(5, 6)
    corners = {int(random_crop(sample, 4, rng)["mask"][0, 0, 0]) for _ in range(200)}
    assert corners == {0, 1, 2, 6, 7, 8}
    assert int(centre_crop(located(8, 10), 4)["mask"][0, 0, 0]) == 2 * 10 + 3


@pytest.mark.parametrize(
    "cut",
    [
        lambda sample: centre_crop(sample, 9),
        lambda sample: random_crop(sample, 9, random.Random(0)),
        lambda sample: crop(sample, 9, 0, 0),
    ],
)
def test_a_crop_larger_than_the_patch_is_refused_by_name(cut):
    with pytest.raises(InputError, match=r"crop 9, and sample a of 8x20"):
        cut(located(8, 20))


def test_a_missing_mask_is_all_valid_and_a_given_one_stays():
    albedo = np.zeros((4, 6, 3), np.uint16)
    made = stored("a", {"diffuse_albedo": albedo})
    assert to_maps(collate([made]))["mask"].equal(torch.ones(1, 1, 4, 6))
    mask = np.zeros((4, 6, 1), np.uint8)
    assert stored("a", {"diffuse_albedo": albedo, "mask": mask})["mask"] is mask


@given(seeds, st.sampled_from([8, 16]), st.sampled_from(STORABLE))
def test_maps_are_what_files_are_decoded_to(seed, bits, kind):
    dtype = np.dtype(f"u{bits // 8}")
    shape = (5, 7, KINDS[kind].channels)
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, True)
    made = to_maps(collate([stored("a", {kind: pixels})]))[kind]
    expected = decode(pixels, KINDS[kind], default_record(kind, "map.png", 5, 7, bits))
    assert made.is_contiguous()
    assert made.dtype == torch.float32
    torch.testing.assert_close(made[0], expected, atol=1e-6, rtol=0)


def test_what_is_in_memory_already_keeps_its_values():
    maps = to_maps(collate([face()]))
    assert maps["shape"][0].equal(face_maps(12, 12)["shape"])
    assert maps["key"] == ["a"]


def test_a_batch_is_its_samples():
    samples = [{**face(key=key, phase=phase), "mirrored": key == "b"}
               for phase, key in enumerate("abc")]  # fmt: skip
    batch = collate(samples)
    assert batch["key"] == ["a", "b", "c"]
    assert batch["mirrored"].tolist() == [False, True, False]
    maps = to_maps(batch)
    for number, sample in enumerate(samples):
        alone = to_maps(collate([sample]))
        for kind in alone.keys() & KINDS.keys():
            assert same(batch[kind][number].numpy(), sample[kind]), kind
            assert maps[kind][number].equal(alone[kind][0]), kind


def test_8_and_16_bits_meet_exactly():
    samples = [face(8), face(16)]
    mixed, alone = to_maps(collate(samples)), [to_maps(collate([sample])) for sample in samples]
    for number, kind in [(n, kind) for n in (0, 1) for kind in sorted(KINDS.keys() & mixed.keys())]:
        close = 1e-6 if KINDS[kind].encoding == "unit_vector" else 0
        torch.testing.assert_close(mixed[kind][number], alone[number][kind][0], atol=close, rtol=0)


@given(seeds, st.sampled_from([8, 16]))
def test_skin_tone_changes_the_diffuse_albedo_and_nothing_else(seed, bits):
    sample, untouched = face(bits), face(bits)
    varied = TONE(sample, random.Random(seed))
    assert varied.keys() == sample.keys()
    for kind in sample.keys() & KINDS.keys():
        assert same(sample[kind], untouched[kind]), kind
        if kind != "diffuse_albedo":
            assert same(varied[kind], untouched[kind]), kind
    albedo = varied["diffuse_albedo"]
    assert albedo.shape == (12, 12, 3)
    assert albedo.dtype == np.float32
    assert albedo.min() >= 0
    assert albedo.max() <= 1
    assert np.abs(albedo - sample["diffuse_albedo"] / (2.0**bits - 1)).max() > 1e-4


TONE = SkinTone(1.0)


def test_skin_tone_depends_on_the_generator_and_not_on_what_came_before():
    one, other = SkinTone(0.5), SkinTone(0.5)
    other(face(), random.Random(99))
    for seed in range(20):
        first, second = (tone(face(), random.Random(seed)) for tone in (one, other))
        assert same(first["diffuse_albedo"], second["diffuse_albedo"])
    made = [one(face(), random.Random(seed))["diffuse_albedo"] for seed in range(40)]
    assert len({albedo.tobytes() for albedo in made}) > 25


def test_changes_of_tone_are_drawn_independently():
    """Seeds would give all three the same numbers: half of the samples would stay as they are."""
    plain = face()["diffuse_albedo"].astype(np.float32) / np.float32(65535)
    tone = SkinTone(0.5)
    alike = sum(same(tone(face(), random.Random(n))["diffuse_albedo"], plain) for n in range(200))
    assert 8 <= alike <= 45  # an eighth


def test_skin_tone_is_the_same_in_another_process():
    program = (
        "import random, sys, zlib\nimport numpy as np\n"
        "from realface.data.transforms import SkinTone\n"
        "ramp = np.arange(3 * 4096, dtype=np.uint16).reshape(64, 64, 3) * np.uint16(5)\n"
        "varied = SkinTone(0.9)({'diffuse_albedo': ramp}, random.Random('7 3'))\n"
        "print(zlib.crc32(varied['diffuse_albedo']))"
    )
    ramp = np.arange(3 * 4096, dtype=np.uint16).reshape(64, 64, 3) * np.uint16(5)
    here = SkinTone(0.9)({"diffuse_albedo": ramp}, random.Random("7 3"))["diffuse_albedo"]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert there.stdout.strip() == str(zlib.crc32(here)), there.stderr


def test_skin_tone_keeps_16_bits():
    y, x = np.mgrid[:128, :128]
    ramp = np.stack((30000 + 128 * y + x, 20000 + 128 * x + y, 15000 + 64 * (x + y)), axis=-1)
    ramp = ramp.astype(np.uint16)
    varied = TONE({"diffuse_albedo": ramp}, random.Random(1))["diffuse_albedo"]
    assert len(np.unique(varied[..., 0])) > 0.8 * len(np.unique(ramp[..., 0]))


def test_8_and_16_bits_of_the_same_albedo_vary_alike():
    eight = face(8)["diffuse_albedo"]
    sixteen = eight.astype(np.uint16) * np.uint16(257)
    made = [TONE({"diffuse_albedo": albedo}, random.Random(5)) for albedo in (eight, sixteen)]
    assert same(made[0]["diffuse_albedo"], made[1]["diffuse_albedo"])


def test_skin_tone_never_or_without_an_albedo():
    sample = face()
    assert SkinTone(0.0)(sample, random.Random(0)) is sample
    assert TONE({"key": "a"}, random.Random(0)) == {"key": "a"}


def test_without_skin_tones_albumentations_is_not_imported():
    program = (
        "import random, sys\nfrom realface.data.transforms import SkinTone\n"
        "SkinTone(0.0)({'diffuse_albedo': None}, random.Random(0))\n"
        "sys.exit('albumentations' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
