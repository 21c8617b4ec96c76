"""Offsets of a map's windows, solved before they are stitched."""

import pytest
import torch

from realface.errors import InputError
from realface.maps.kinds import REFLECTANCE
from realface.maps.subject import Subject
from realface.networks.channels import DELIT_TEXTURE, WHOLE_TEXTURE
from realface.pipeline import Job, chains
from realface.pipeline.stages import offset_kinds
from realface.tiling.plan import plan
from tests.faces import write_face
from tests.trained import save_checkpoint, translator

FADED = {"window": 64, "overlap": 24, "statistics": "live"}
"""Windows of which each has a tone of its own, given a network with instance norm."""


@pytest.fixture
def face(tmp_path):
    return Subject(write_face(tmp_path / "face", 96, 144))


def saved(folder, kind, **about):
    one = translator(kind, **about)
    one.source = save_checkpoint(one, folder / f"{kind}.ckpt")
    return dict.fromkeys(REFLECTANCE if kind == "joint" else [kind], one)


def read(folder, kind):
    return Subject(folder).open(kind).whole()


def test_windows_differ_less_and_the_mean_stays(tmp_path, face):
    trained = saved(tmp_path, "diffuse_albedo", norm="instance")
    form = {"form": "exr", "bits": 32}  # floats keep a network's overshoot
    (result,) = Job(face, trained, **FADED).run(tmp_path / "solved", **form).values()
    Job(face, trained, offsets="none", **FADED).run(tmp_path / "plain", **form)
    before, after = result.before["diffuse_albedo"], result.disagreement["diffuse_albedo"]
    assert after.tone < 0.5 * before.tone
    assert after.mean < before.mean
    solved, plain = (read(tmp_path / name, "diffuse_albedo") for name in ("solved", "plain"))
    valid = read(face.folder, "mask")[0] > 0.5
    assert not torch.equal(solved, plain)
    assert not solved[:, ~valid].any()
    torch.testing.assert_close(solved[:, valid].mean(1), plain[:, valid].mean(1), atol=1e-5, rtol=0)
    text = str(result)
    assert ", twice, in" in text
    assert f"differed by {before.levels}, with offsets solved by {after.levels}" in text


def test_a_kill_in_the_second_run_gives_the_same_map(tmp_path):
    face = Subject(write_face(tmp_path / "face", 512, 192))
    trained = saved(tmp_path, "diffuse_albedo", norm="instance")
    about = {"window": 200, "overlap": 64, "statistics": "live"}

    def stop(kind, done, total):
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Job(face, trained, **about).run(tmp_path / "out", progress=stop)
    (result,) = Job(face, trained, **about).run(tmp_path / "out").values()
    assert result.kept > 0
    Job(face, trained, **about).run(tmp_path / "straight")
    out, straight = (read(tmp_path / name, "diffuse_albedo") for name in ("out", "straight"))
    assert torch.equal(out, straight)


def test_albedos_of_a_joint_translator_are_offset_and_normals_are_not(tmp_path, face):
    trained = saved(tmp_path, "joint", norm="instance")
    (result,) = Job(face, trained, **FADED).run(tmp_path / "solved").values()
    assert set(result.before) == {"diffuse_albedo", "specular_albedo"}
    Job(face, trained, offsets="none", **FADED).run(tmp_path / "plain")
    for kind in REFLECTANCE:
        same = torch.equal(*(read(tmp_path / name, kind) for name in ("solved", "plain")))
        assert same == kind.endswith("normals"), kind


def test_progress_goes_over_both_runs(tmp_path, face):
    seen = []
    Job(face, saved(tmp_path, "diffuse_albedo", norm="instance"), **FADED).run(
        tmp_path / "out", progress=lambda _, done, total: seen.append((done, total))
    )
    windows = len(seen) // 2
    assert seen == [(done, 2 * windows) for done in range(1, 2 * windows + 1)]


def test_a_dry_run_says_what_it_costs(tmp_path, face):
    trained = saved(tmp_path, "diffuse_albedo", norm="instance")
    words = "solved for diffuse_albedo: every window is computed twice"
    assert words in str(Job(face, trained, **FADED))
    assert words not in str(Job(face, trained, offsets="none", **FADED))


@pytest.mark.parametrize(
    ("kind", "about", "layout"),
    [
        ("diffuse_albedo", {"norm": "none"}, FADED),
        ("diffuse_albedo", {"norm": "instance"}, {**FADED, "statistics": "pooled"}),
        ("diffuse_albedo", {"norm": "instance"}, {**FADED, "blend": "cut"}),
        ("diffuse_albedo", {"norm": "instance"}, {**FADED, "window": 144}),
        ("diffuse_albedo", {"norm": "instance", "inputs": ("texture", WHOLE_TEXTURE)}, FADED),
        ("specular_albedo", {"norm": "instance"}, FADED),
        ("diffuse_normals", {"norm": "instance"}, {**FADED, "offsets": "solve"}),
    ],
)
def test_nothing_is_solved_where_nothing_is_to_be(tmp_path, face, kind, about, layout):
    subject = Subject(write_face(tmp_path / "captured", 96, 144))
    (stage,) = Job(subject, saved(tmp_path, kind, **about), **layout).stages
    assert stage.offsets == ()


@pytest.mark.parametrize("seen", [WHOLE_TEXTURE, DELIT_TEXTURE])
def test_a_network_that_sees_the_whole_face_is_left_alone_unless_asked(tmp_path, face, seen):
    trained = saved(tmp_path, "diffuse_albedo", norm="instance", inputs=("texture", seen))
    (chain,) = chains(trained, fused=False)
    laid = plan((96, 144), window=64, overlap=24)
    assert offset_kinds("auto", chain, laid, agree=False) == ()
    assert offset_kinds("solve", chain, laid, agree=False) == ("diffuse_albedo",)


def test_solved_on_demand_where_windows_agree(tmp_path, face):
    """The border effects of a margin that is not dropped are all that it finds."""
    trained = saved(tmp_path, "specular_albedo")
    job = Job(face, trained, window=64, overlap=24, offsets="solve")
    (result,) = job.run(tmp_path / "out").values()
    before, after = result.before["specular_albedo"], result.disagreement["specular_albedo"]
    assert after.tone <= before.tone


@pytest.mark.parametrize(
    ("layout", "words"),
    [({"window": 64}, "--overlap"), ({**FADED, "blend": "cut"}, "cut"), ({"fused": True}, "fused")],
)
def test_what_cannot_be_solved_is_refused(tmp_path, face, layout, words):
    trained = saved(tmp_path, "diffuse_albedo") | saved(tmp_path, "specular_albedo")
    with pytest.raises(InputError, match=words):
        Job(face, trained, offsets="solve", **layout)


def test_maps_without_offsets_are_not_made_anew_for_the_flag(tmp_path, face):
    trained = saved(tmp_path, "diffuse_albedo")
    Job(face, trained, window=64).run(tmp_path / "out")
    assert Job(face, trained, window=64, offsets="none").run(tmp_path / "out") == {}
