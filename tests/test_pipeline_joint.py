"""Translators of several maps, of tangent space and of the whole texture, in one job."""

import json

import pytest
import torch

from realface.maps.kinds import REFLECTANCE
from realface.maps.subject import Subject
from realface.pipeline import Job, given_kinds, in_order
from realface.shading.capture import squeezed
from tests.faces import write_face
from tests.trained import save_checkpoint, translator

LEVEL = 1.01 / 65535


@pytest.fixture
def face(tmp_path):
    return write_face(tmp_path / "face")


def saved(folder, kind, **about):
    one = translator(kind, **about)
    one.source = save_checkpoint(one, folder / f"{kind}.ckpt")
    return one


def read(folder, kind):
    return Subject(folder).open(kind).whole()


def whole(subject, *kinds):
    return {kind: subject.open(kind).whole()[None] for kind in (*kinds, "mask")}


def check(folder, made, mask):
    inside = mask[0, 0] > 0.5
    for kind, values in made.items():
        expected = values[0] if kind.endswith("normals") else values[0].clamp(0, 1)
        torch.testing.assert_close(
            read(folder, kind)[:, inside], expected[:, inside], atol=4 * LEVEL, rtol=0
        )


def test_a_joint_translator_makes_all_four_in_one_pass(tmp_path, face):
    joint = saved(tmp_path, "joint")
    results = Job(Subject(face), dict.fromkeys(REFLECTANCE, joint)).run(tmp_path / "out")
    assert list(results) == [", ".join(REFLECTANCE)]
    maps = whole(Subject(face), "texture", "shape_normals")
    check(tmp_path / "out", joint(maps), maps["mask"])
    done = json.loads((tmp_path / "out" / "infer.json").read_text())["maps"]
    assert set(done) == set(REFLECTANCE)


def test_a_second_run_keeps_them_and_a_missing_one_brings_all_back(tmp_path, face):
    job = Job(Subject(face), dict.fromkeys(REFLECTANCE, saved(tmp_path, "joint")))
    job.run(tmp_path / "out")
    assert job.run(tmp_path / "out") == {}
    before = read(tmp_path / "out", "specular_normals")
    (tmp_path / "out" / "specular_normals.tif").unlink()
    assert len(job.run(tmp_path / "out")) == 1
    assert torch.equal(read(tmp_path / "out", "specular_normals"), before)


def test_a_translator_of_one_map_goes_before_the_joint_one(tmp_path, face):
    joint, single = saved(tmp_path, "joint"), saved(tmp_path, "specular_albedo", seed=5)
    chosen = {**dict.fromkeys(REFLECTANCE, joint), "specular_albedo": single}
    others = ("diffuse_albedo", "diffuse_normals", "specular_normals")
    assert in_order(chosen) == [(joint, others), (single, ("specular_albedo",))]
    assert given_kinds(chosen) == ("texture", "shape_normals")
    Job(Subject(face), chosen).run(tmp_path / "out")
    maps = whole(Subject(face), "texture", "shape_normals")
    made = joint(maps)
    # It reads the albedo that was written.
    albedo = read(tmp_path / "out", "diffuse_albedo")[None]
    gloss = single({"diffuse_albedo": albedo, "mask": maps["mask"]})
    check(tmp_path / "out", {**made, **gloss}, maps["mask"])


def test_the_whole_texture_is_seen_by_every_window(tmp_path, face):
    inputs = ("texture", "shape_normals", "whole_texture")
    joint = saved(tmp_path, "joint", inputs=inputs)
    chosen = dict.fromkeys(REFLECTANCE, joint)
    assert given_kinds(chosen) == ("texture", "shape_normals")
    Job(Subject(face), chosen).run(tmp_path / "whole")
    maps = whole(Subject(face), "texture", "shape_normals")
    context = maps["texture"] * maps["mask"]
    check(tmp_path / "whole", joint({**maps, "whole_texture": context}), maps["mask"])
    Job(Subject(face), chosen, window=32, overlap=16).run(tmp_path / "windows")
    seen = squeezed(context, (32, 32))
    corner = {kind: values[..., :32, :32] for kind, values in maps.items()}
    made = joint({**corner, "whole_texture": seen})["diffuse_albedo"][0, :, :16, :16].clamp(0, 1)
    inside = maps["mask"][0, 0, :16, :16] > 0.5
    there = read(tmp_path / "windows", "diffuse_albedo")[:, :16, :16]
    assert inside.any()
    torch.testing.assert_close(there[:, inside], made[:, inside], atol=4 * LEVEL, rtol=0)


def test_maps_of_a_tangent_translator_are_in_object_space(tmp_path, face):
    about = {"space": "tangent", "frame_millimetres": 4.0, "millimetres_per_texel": 1.6}
    one = saved(tmp_path, "specular_normals", **about)
    subject = Subject(face)
    Job(subject, {"specular_normals": one}).run(tmp_path / "out")
    maps = whole(subject, "diffuse_albedo", "shape_normals")
    check(tmp_path / "out", one(maps), maps["mask"])
    record = Subject(tmp_path / "out").record.maps["specular_normals"]
    assert record.space == "object"
    # Its residual is the shape's own normal, which a small network bends only a little.
    cosine = (read(tmp_path / "out", "specular_normals") * maps["shape_normals"][0]).sum(0)
    assert cosine[maps["mask"][0, 0] > 0.5].mean() > 0.6
