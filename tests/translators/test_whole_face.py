"""The whole-face stage: what it is trained on and by."""

import pytest
import torch

from realface.errors import InputError
from realface.networks.channels import FITTED_LIGHT, WHOLE_LIGHT
from realface.shading.whole_light import log_shading, true_log_shading
from realface.translators import WholeFace
from tests.faces import face_batch


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    return WholeFace(base_channels=4, downsamples=2, blocks=1, turns=(20.0, 20.0, 20.0))


@pytest.fixture(scope="module")
def held_out(stage):
    return stage.prepare(face_batch(), torch.Generator().manual_seed(0))


def visited(*visits):
    """The batch as training has it."""
    batch = face_batch()
    return {**batch, "visit": [*visits] * (len(batch["key"]) // len(visits))}


def losses(stage, maps, light):
    return stage.map_losses({WHOLE_LIGHT: light}, {}, maps, None, maps["known"])


def test_the_light_that_is_wanted_gives_the_true_shading(stage, held_out):
    valid = (held_out["known"] > 0).expand(-1, 3, -1, -1)
    found = log_shading(held_out[WHOLE_LIGHT], held_out["shape_normals"])[valid]
    true = true_log_shading(held_out["texture"], held_out["diffuse_albedo"])[valid]
    torch.testing.assert_close(found, true, atol=1e-3, rtol=0)
    left = losses(stage, held_out, held_out[WHOLE_LIGHT])
    assert max(map(float, left.values())) < 0.01


def test_a_gain_of_all_of_the_light_is_a_loss_of_the_gain_alone(stage, held_out):
    before = losses(stage, held_out, held_out[FITTED_LIGHT])
    after = losses(stage, held_out, 7 * held_out[FITTED_LIGHT])
    assert after["gain"] > before["gain"] + 0.5
    for name in ("reconstruction", "albedo"):
        torch.testing.assert_close(after[name], before[name], atol=1e-4, rtol=1e-3)


def test_validation_repeats_and_training_does_not(stage, held_out):
    again = stage.prepare(face_batch(), torch.Generator().manual_seed(0))
    assert all(torch.equal(again[kind], held_out[kind]) for kind in (FITTED_LIGHT, "texture"))
    one, other = (stage.prepare(visited(0), None) for _ in range(2))
    assert one["texture"].shape != other["texture"].shape or not torch.equal(
        one["texture"], other["texture"]
    )


def test_shadows_of_a_face_are_cast_once(stage, held_out):
    kept = dict(stage._kept_openings)
    stage.prepare(visited(1), None)
    assert stage._kept_openings.keys() == kept.keys()
    assert all(stage._kept_openings[key] is one for key, one in kept.items())


def test_a_face_is_lit_anew_after_so_many_visits():
    stage = WholeFace(base_channels=4, downsamples=2, blocks=1, layouts=False, relight_every=2)
    textures = [stage.prepare(visited(visit), None)["texture"] for visit in range(3)]
    assert torch.equal(textures[0], textures[1])
    assert not torch.equal(textures[1], textures[2])


def test_a_resumed_run_lights_a_face_as_it_was():
    torch.manual_seed(0)
    first = WholeFace(base_channels=4, downsamples=2, blocks=1, layouts=False, relight_every=3)
    begun = first.prepare(visited(3), None)
    torch.manual_seed(1)
    second = WholeFace(base_channels=4, downsamples=2, blocks=1, layouts=False, relight_every=3)
    resumed = second.prepare(visited(5), None)
    assert all(torch.equal(begun[kind], resumed[kind]) for kind in ("texture", FITTED_LIGHT))


@pytest.mark.parametrize("wrong", [{"relight_every": 0}, {"cleaned_share": 1.2}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        WholeFace(**wrong)
