"""What files are taken as: flags, then declarations, then sure guesses, then defaults."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from realface.data.discovery.evidence import Guess
from realface.data.discovery.layouts import Entry
from realface.data.packing.captures import SourceMap
from realface.data.packing.meanings import _differs, _doubt_line
from realface.data.packing.sources import find_source
from realface.errors import InputError
from realface.maps.files import read_image, write_image
from realface.maps.record import FILE_NAME, SIGNED_RANGE, UNIT_RANGE, default_record
from realface.maps.spaces import flip_green
from tests.data.conftest import patch_maps, write_patches, write_subject
from tests.faces import face_maps

KINDS = {
    kind: f"{kind}/{{key}}.png"
    for kind in ("diffuse_albedo", "specular_albedo", "specular_normals", "shape")
}


def found(source, said=None, patch=512):
    return find_source(source, None, said or {}, leave_out=False, patch=patch)


def record(source, kind, said=None, patch=512):
    records = {capture.map_of(kind).record for capture in found(source, said, patch).captures}
    return {(one.encoding, one.space, one.green) for one in records}


def lent(folder, change=None, count=8):
    """Patches of which some maps are stored otherwise than usual."""
    write_patches(folder, KINDS, count=count, size=64)
    for number in range(count if change else 0):
        for kind, values in change(patch_maps(number, 64)).items():
            pixels = ((values + 1) / 2 * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
            write_image(folder / kind / f"{number:04d}.png", pixels)
    return folder


def flipped(maps):
    return {"specular_normals": flip_green(maps["specular_normals"])}


def flat(maps):
    """Normals of a plane: what tangent space looks like."""
    normals = torch.tensor((0.0, 0.0, 1.0)).view(3, 1, 1).expand_as(maps["specular_normals"])
    return {"specular_normals": normals}


def test_defaults_where_nothing_is_said_and_nothing_can_be_told(tmp_path):
    source = found(lent(tmp_path))
    assert "specular_albedo: taken as linear (encoding by default)" in source.report
    assert not any("guess: specular_albedo" in line for line in source.report)  # worth nothing
    assert any(line.startswith("  guess: specular_normals: space object") for line in source.report)


def test_a_sure_guess_counts_where_nothing_is_said(tmp_path):
    assert record(lent(tmp_path / "gl"), "specular_normals") == {("unit_vector", "object", "gl")}
    source = lent(tmp_path / "dx", flipped)
    assert record(source, "specular_normals") == {("unit_vector", "object", "dx")}
    assert any("specular_normals: taken as unit_vector, object, dx" in line and "green guessed" in
               line for line in found(source).report)  # fmt: skip


def test_what_is_said_counts_and_a_sure_guess_against_it_warns(tmp_path, caplog):
    source = lent(tmp_path, flipped)
    said = {"specular_normals": Entry(green="gl")}
    assert record(source, "specular_normals", said) == {("unit_vector", "object", "gl")}
    assert "specular_normals is taken as gl, but looks dx" in caplog.text


def test_normals_that_look_tangent_are_refused_unless_somebody_says_object(tmp_path):
    source = lent(tmp_path, flat)
    with pytest.raises(InputError, match="look as if they were in tangent space") as caught:
        found(source)
    assert "--space specular_normals=object" in caught.value.remedy
    said = {None: Entry(space="object")}
    assert record(source, "specular_normals", said) == {("unit_vector", "object", "gl")}


def test_flags_of_all_kinds_are_for_those_that_have_the_property(tmp_path):
    source = write_subject(tmp_path / "a", face_maps(48, 64))
    said = {None: Entry(green="dx", encoding="linear"), "shape_normals": Entry(green="gl")}
    kinds = ("diffuse_normals", "specular_normals", "shape_normals")
    assert [record(source, kind, said, 24).pop()[2] for kind in kinds] == ["dx", "dx", "gl"]
    assert record(source, "diffuse_albedo", said, 24) == {("linear", None, None)}
    assert record(source, "shape", said, 24) == {("position", None, None)}
    assert record(source, "mask", said, 24) == {("linear", None, None)}


def test_a_flag_against_subject_json_counts_and_is_told_once(tmp_path, caplog):
    for name in "abc":
        write_subject(tmp_path / name, face_maps(48, 64))
    record(tmp_path, "specular_normals", {"specular_normals": Entry(green="dx")}, 24)
    told = [line for line in caplog.messages if "the flag says dx" in line]
    assert told == ["specular_normals: the source says gl, the flag says dx, which counts"]


@pytest.mark.parametrize(
    ("kind", "entry"),
    [("texture", Entry(encoding="linear")), ("shape", Entry(green="dx")),
     ("diffuse_albedo", Entry(space="object")), ("specular_normals", Entry(encoding="srgb"))],
)  # fmt: skip
def test_flags_for_what_is_not_there_are_refused(tmp_path, kind, entry):
    with pytest.raises(InputError, match=kind):
        found(lent(tmp_path, count=2), {kind: entry})


def test_the_json_of_one_subject_says_nothing_of_another(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for name in "ab":
        write_subject(tmp_path / name, face_maps(48, 64))
    (tmp_path / "a" / FILE_NAME).unlink()
    path = tmp_path / "b" / FILE_NAME
    about = json.loads(path.read_text())
    about["maps"]["specular_normals"]["green"] = "dx"
    path.write_text(json.dumps(about))
    records = [one.map_of("specular_normals").record for one in found(tmp_path, patch=24).captures]
    assert [one.green for one in records] == ["gl", "dx"]


def test_floats_that_hold_unit_vectors_as_integers_do_are_found(tmp_path):
    write_patches(tmp_path, KINDS, count=4, size=64)
    for path in sorted((tmp_path / "specular_normals").iterdir()):
        normals = patch_maps(int(path.stem), 64)["specular_normals"]
        path.unlink()
        halves = ((normals + 1) / 2).permute(1, 2, 0).numpy()
        write_image(path.with_suffix(".exr"), halves)
    one = found(tmp_path).captures[0].map_of("specular_normals")
    assert one.record.range == UNIT_RANGE != SIGNED_RANGE
    normals = one.open().whole()
    torch.testing.assert_close(normals, patch_maps(0, 64)["specular_normals"], atol=1e-3, rtol=0)


def swapped(maps):
    return {"diffuse_albedo": 2 * maps["diffuse_albedo"].flip(0) - 1}


def upside_down(maps):
    return {"shape": maps["shape"] * torch.tensor((1.0, -1.0, 1.0)).view(3, 1, 1)}


def test_other_axes_are_a_warning(tmp_path, caplog):
    said = {None: Entry(space="object")}
    found(lent(tmp_path / "usual"), said)
    assert "(x, -y, z)" not in caplog.text
    found(lent(tmp_path / "odd", upside_down), said)
    assert "(x, -y, z)" in caplog.text


def test_red_and_blue_that_are_swapped_are_refused(tmp_path):
    with pytest.raises(InputError, match="diffuse_albedo whose red and blue are swapped"):
        found(lent(tmp_path / "odd", swapped), {None: Entry(space="object")})


def test_normals_whose_channels_are_swapped_are_refused(tmp_path):
    """The other normals show that it is not the shape."""
    kinds = KINDS | {"diffuse_normals": "diffuse_normals/{key}.png"}
    source = write_patches(tmp_path / "in", kinds, count=16, size=64)
    found(source)
    for path in sorted((source / "diffuse_normals").iterdir()):
        write_image(path, read_image(path)[..., ::-1].copy())
    with pytest.raises(InputError, match=r"diffuse_normals whose channels seem to be \(z, y, x\)"):
        found(source)


def test_blue_skin_is_a_warning_at_most(tmp_path):
    def painted(maps):
        colour = torch.tensor((0.65, 0.45, 0.85)).view(3, 1, 1)
        return {"diffuse_albedo": 2 * (0.2 * maps["diffuse_albedo"] + 0.8 * colour) - 1}

    found(lent(tmp_path / "odd", painted), {None: Entry(space="object")})


def test_a_likely_guess_against_a_default_is_told_with_the_flag():
    usual = default_record("diffuse_albedo", "x.tif", 8, 8, 16)
    item = SourceMap("diffuse_albedo", Path("x.tif"), usual, ())
    likely = Guess("diffuse_albedo", "encoding", "linear", 0.8, "dark")
    assert _differs(likely, item)
    assert "--encoding diffuse_albedo=srgb|linear" in _doubt_line(likely, item)
    assert not _differs(replace(likely, value="srgb"), item)
    assert not _differs(likely, replace(item, declared=("encoding",)))


def test_maps_of_which_no_key_pairs_are_refused(tmp_path):
    source = lent(tmp_path, count=2)
    for path in sorted((source / "shape").iterdir()):
        path.rename(path.with_stem(f"other{path.stem}x"))
    with pytest.raises(InputError, match="do not fit") as caught:
        found(source)
    assert "--layout" in caught.value.remedy
