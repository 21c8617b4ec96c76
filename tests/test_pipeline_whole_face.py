"""The whole-face stage in a job: one light for all windows."""

import pytest
import torch

from realface.errors import InputError
from realface.maps.subject import Subject
from realface.networks.channels import FITTED_LIGHT, WHOLE_LIGHT
from realface.pipeline import Job
from realface.pipeline.whole_face import DelitTexture, factor_for, whole_light
from realface.shading.light_fit import fitted_light, openings
from realface.shading.whole_light import delit, log_shading
from realface.weights import export_weights, load_weights
from tests.faces import write_face
from tests.trained import save_checkpoint, translator, whole_face

INPUTS = ("texture", "delit_texture", "depth")


@pytest.fixture
def face(tmp_path):
    return write_face(tmp_path / "face")


def saved(folder, one, name):
    one.source = save_checkpoint(one, folder / f"{name}.ckpt")
    return one


def pair(folder, *, seed=0):
    """Both translators by what they make."""
    patch = translator("diffuse_albedo", inputs=INPUTS)
    return {
        WHOLE_LIGHT: saved(folder, whole_face(seed=seed, millimetres_per_texel=4.0), "whole_face"),
        "diffuse_albedo": saved(folder, patch, "diffuse_albedo"),
    }


def sources(folder):
    subject = Subject(folder)
    return {kind: subject.open(kind) for kind in ("texture", "shape_normals", "shape", "mask")}


def test_without_the_stage_the_light_is_the_one_that_it_starts_from(tmp_path, face, caplog):
    translators = pair(tmp_path)
    Job(Subject(face), translators).run(tmp_path / "with")
    del translators[WHOLE_LIGHT]
    Job(Subject(face), translators).run(tmp_path / "without")
    assert "whole_face" in caplog.text
    made, fitted = (
        Subject(tmp_path / name).open("diffuse_albedo").whole() for name in ("with", "without")
    )
    assert not torch.equal(made, fitted)
    given = sources(face)
    maps = {kind: one.read(0, 0, *one.size)[None] for kind, one in given.items()}
    seen = openings(maps["shape"], maps["shape_normals"], maps["mask"])
    wanted = fitted_light(maps["texture"], maps["shape_normals"], maps["mask"], seen)
    inside = (maps["mask"][0] > 0.5).expand(27, -1, -1)
    found = whole_light(None, given, 1)[inside]
    torch.testing.assert_close(found, wanted[0][inside], atol=1e-4, rtol=0)


def test_alone_it_makes_no_map(tmp_path, face):
    translators = {WHOLE_LIGHT: pair(tmp_path)[WHOLE_LIGHT]}
    with pytest.raises(InputError, match="alone"):
        Job(Subject(face), translators)


def test_windows_of_any_size_make_the_same_map(tmp_path, face):
    maps = {}
    for window in (None, 48):
        layout = {} if window is None else {"window": window}
        Job(Subject(face), pair(tmp_path), **layout).run(tmp_path / f"out{window}")
        maps[window] = Subject(tmp_path / f"out{window}").open("diffuse_albedo").whole()
    assert maps[None].std() > 0.01
    torch.testing.assert_close(maps[48], maps[None], atol=2 / 65535, rtol=0)


def test_another_stage_is_another_job(tmp_path, face):
    job = Job(Subject(face), pair(tmp_path))
    job.run(tmp_path / "out")
    assert Job(Subject(face), pair(tmp_path)).run(tmp_path / "out") != {}  # a newer file
    before = Subject(tmp_path / "out").open("diffuse_albedo").whole()
    Job(Subject(face), pair(tmp_path, seed=3)).run(tmp_path / "out")
    assert not torch.equal(Subject(tmp_path / "out").open("diffuse_albedo").whole(), before)


def test_a_window_of_the_delit_texture_is_that_of_all_of_it(face):
    given = sources(face)
    light = whole_light(whole_face(), given, 3)
    source = DelitTexture(given["texture"], given["shape_normals"], light, 3)
    height, width = source.size
    whole = source.read(0, 0, height, width)
    torch.testing.assert_close(source.read(5, 7, 20, 31), whole[:, 5:25, 7:38], atol=1e-6, rtol=0)


def test_at_full_size_it_is_the_mean_of_the_network_s_four_looks(face):
    given, stage = sources(face), whole_face()
    height, width = given["texture"].size
    height, width = height // 4 * 4, width // 4 * 4
    maps = {kind: one.read(0, 0, height, width)[None] for kind, one in given.items()}
    assert (height, width) == given["texture"].size
    light = whole_light(stage, given, 1)
    seen = openings(maps["shape"], maps["shape_normals"], maps["mask"])
    maps[FITTED_LIGHT] = fitted_light(maps["texture"], maps["shape_normals"], maps["mask"], seen)
    looks = [
        stage({kind: one.rot90(turn, (2, 3)) for kind, one in maps.items()})[WHOLE_LIGHT]
        for turn in range(4)
    ]
    assert not torch.allclose(looks[0], looks[1].rot90(-1, (2, 3)), atol=1e-3)
    mean = torch.stack([look.rot90(-turn, (2, 3)) for turn, look in enumerate(looks)]).mean(0)
    shading = log_shading(mean, maps["shape_normals"])
    source = DelitTexture(given["texture"], given["shape_normals"], light, 1)
    inside = maps["mask"][0, 0] > 0.5
    torch.testing.assert_close(
        source.read(0, 0, height, width)[:, inside],
        delit(maps["texture"], shading)[0][:, inside], atol=1e-4, rtol=0,
    )  # fmt: skip


def test_a_face_is_made_as_small_as_the_stage_was_trained_at():
    assert factor_for((4096, 6144), 0.05, 0.4) == 8
    assert factor_for((1024, 1024), 0.25, 0.4) == 2
    assert factor_for((256, 256), 1.0, 0.4) == 1
    assert factor_for((4096, 6144), 0.05, None) == 8


def test_it_goes_through_a_weights_folder(tmp_path, face):
    stage = whole_face(seed=2)
    export_weights(stage, tmp_path / "weights")
    again = load_weights(tmp_path / "weights")["whole_face"]
    given = sources(face)
    found, wanted = (whole_light(one, given, 2) for one in (again, stage))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
