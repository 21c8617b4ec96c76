import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.transforms import (
    Augment,
    CentreCrop,
    ReadPatch,
    SkinTone,
    ToTensors,
    collate,
    mirror,
    random_crop,
)
from realface.errors import InputError
from realface.maps.encoding import srgb_to_linear
from realface.maps.kinds import KINDS
from realface.shading.random_lights import varied_lights
from realface.shading.shade import shade
from tests.data.conftest import samples_of
from tests.faces import face_batch, face_maps


def located(height, width):
    """A sample whose maps hold their own coordinates, so that a crop tells where it was."""
    where = torch.arange(height * width).float().view(1, height, width)
    return {"key": "a", "mask": where, "diffuse_albedo": where.expand(3, -1, -1).clone()}


@given(st.integers(1, 30), st.integers(0, 12), st.integers(0, 12), st.randoms())
def test_crops_are_at_the_same_place_in_every_map(size, below, right, rng):
    sample = located(size + below, size + right)
    for cropped in (random_crop(sample, size, rng), CentreCrop(size)(sample)):
        assert cropped["mask"].shape == (1, size, size)
        for channel in cropped["diffuse_albedo"]:
            assert torch.equal(channel, cropped["mask"][0])
        y, x = divmod(int(cropped["mask"][0, 0, 0]), size + right)
        assert torch.equal(cropped["mask"], sample["mask"][:, y : y + size, x : x + size])


def test_random_crops_reach_every_corner_and_centre_crops_the_middle():
    import random

    rng, sample = random.Random(0), located(5, 6)
    corners = {int(random_crop(sample, 4, rng)["mask"][0, 0, 0]) for _ in range(200)}
    assert corners == {0, 1, 2, 6, 7, 8}
    assert int(CentreCrop(4)(located(8, 10))["mask"][0, 0, 0]) == 2 * 10 + 3


def test_a_crop_larger_than_the_patch_is_refused_by_name():
    with pytest.raises(InputError, match=r"crop 9, and sample a of 8x20"):
        CentreCrop(9)(located(8, 20))


def test_reading_takes_what_is_asked_for_and_optional_maps_that_are_there(shards):
    sample = samples_of(shards, "train")[0]
    patch = ReadPatch(("diffuse_albedo", "shape"), ("mask", "occlusion"))(sample)
    assert set(patch.maps) == {"diffuse_albedo", "shape", "mask"}
    tensors = ToTensors()(patch)
    assert set(tensors) == {"key", "diffuse_albedo", "shape", "mask"}
    del patch.maps["mask"]
    assert ToTensors()(patch)["mask"].min() == 1
    with pytest.raises(InputError, match="occlusion is missing"):
        ReadPatch(("occlusion",))(sample)


@given(st.integers(0, 2**31 - 1))
def test_skin_tone_changes_the_diffuse_albedo_and_nothing_else(seed):
    sample = {"key": "a", **face_maps(12, 12)}
    before = {name: value.clone() for name, value in face_maps(12, 12).items()}
    varied = SkinTone(1.0, seed)(sample)
    for name, value in before.items():
        assert torch.equal(sample[name], value), name
        assert torch.equal(varied[name], value) == (name != "diffuse_albedo"), name
    albedo = varied["diffuse_albedo"]
    assert albedo.shape == (3, 12, 12)
    assert albedo.dtype == torch.float32
    assert albedo.min() >= 0
    assert albedo.max() <= 1
    assert torch.equal(SkinTone(1.0, seed)(sample)["diffuse_albedo"], albedo)


def test_skin_tone_never_or_without_an_albedo():
    sample = {"key": "a", **face_maps(12, 12)}
    albedo = SkinTone(0.0, 0)(sample)["diffuse_albedo"]
    torch.testing.assert_close(albedo, sample["diffuse_albedo"])
    assert SkinTone(1.0, 0)({"key": "a"}) == {"key": "a"}


def stream(augment, count=6):
    return list(augment([{"key": str(n), **face_maps(16, 16, n)} for n in range(count)]))


def same(one, other):
    return all(
        torch.equal(a["diffuse_albedo"], b["diffuse_albedo"])
        for a, b in zip(one, other, strict=True)
    )


def test_augmentation_repeats_with_its_seed_and_changes_with_epoch_and_rank():
    first = stream(Augment(8, 0.5, seed=3))
    assert same(first, stream(Augment(8, 0.5, seed=3)))
    twice = Augment(8, 0.5, seed=3)
    assert same(first, stream(twice))
    second = stream(twice)
    assert not same(first, second)
    assert same(second, stream(Augment(8, 0.5, seed=3, epoch=1)))
    for other in (Augment(8, 0.5, seed=4), Augment(8, 0.5, seed=3, rank=1)):
        assert not same(first, stream(other))


def test_collate():
    batch = collate([{"key": "a", **face_maps(8, 8)}, {"key": "b", **face_maps(8, 8, 1.0)}])
    assert batch["key"] == ["a", "b"]
    for kind, values in face_maps(8, 8).items():
        assert batch[kind].shape == (2, *values.shape)
        torch.testing.assert_close(batch[kind][0], values)


def lit(batch, lights):
    return shade(
        srgb_to_linear(batch["diffuse_albedo"]),
        batch["specular_albedo"],
        batch["diffuse_normals"],
        batch["specular_normals"],
        batch["shape"],
        lights,
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_mirrored_face_under_mirrored_lights_is_the_mirrored_image(seed):
    batch = face_batch(24, 3)
    lights = varied_lights(3, generator=torch.Generator().manual_seed(seed))
    mirrored = lit(mirror(batch, torch.ones(3, dtype=torch.bool)), lights.mirrored())
    torch.testing.assert_close(mirrored, lit(batch, lights).flip(-1))
    # The same lights, not mirrored, give another image: the test can fail.
    assert (
        lit(mirror(batch, torch.ones(3, dtype=torch.bool)), lights) - mirrored
    ).abs().max() > 0.01


def test_the_mirror_takes_the_chosen_ones_and_twice_is_once_too_many():
    batch = face_batch(16, 3)
    chosen = torch.tensor([True, False, True])
    once = mirror(batch, chosen)
    assert once["key"] == batch["key"]
    for kind in set(batch) & set(KINDS):
        assert torch.equal(once[kind][1], batch[kind][1])
        sign = torch.tensor((-1.0, 1, 1)).view(3, 1, 1) if KINDS[kind].is_vector else 1.0
        assert torch.equal(once[kind][0], batch[kind][0].flip(-1) * sign)
        assert torch.equal(mirror(once, chosen)[kind], batch[kind])


def test_without_skin_tones_albumentations_is_not_imported():
    program = (
        "import sys\nfrom realface.data.transforms import Augment\n"
        "list(Augment(1, 0.0, 0)([]))\nsys.exit('albumentations' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
