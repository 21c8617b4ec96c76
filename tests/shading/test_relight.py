"""A subject's texture made from its own maps."""

import pytest
import torch

from realface.errors import InputError
from realface.maps.subject import Subject, save_map
from realface.shading import relight
from realface.shading.blinn_phong import lit_texture
from realface.shading.lights import random_lights
from tests.faces import face_maps, write_face


def test_texture_is_written_as_derived_and_repeats_with_its_seed(tmp_path):
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    relight.light_subject(folder, seed=3)
    subject = Subject(folder)
    assert subject.record.maps["texture"].derived
    assert not subject.record.maps["diffuse_albedo"].derived
    first = subject.open("texture").whole()
    relight.light_subject(folder, seed=3)
    assert torch.equal(Subject(folder).open("texture").whole(), first)
    relight.light_subject(folder, seed=4)
    assert not torch.equal(Subject(folder).open("texture").whole(), first)


def test_bands_do_not_show_and_outside_is_black(tmp_path, monkeypatch):
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    lights = random_lights(1)
    monkeypatch.setattr(relight, "_BAND", 20)
    banded = relight.shade_subject(Subject(folder), lights)
    maps = face_maps()
    centre = maps["shape"][:, maps["mask"][0] > 0.5].median(dim=1).values.view(3, 1, 1)
    whole = {**maps, "shape": maps["shape"] - centre}
    expected = lit_texture({kind: values[None] for kind, values in whole.items()}, lights)[0]
    # 16-bit maps: specular highlights magnify the rounding of normals a little.
    torch.testing.assert_close(banded, expected * maps["mask"], atol=2e-3, rtol=0)
    assert (banded * (1 - maps["mask"])).abs().max() == 0


def test_missing_map_is_refused_and_nothing_is_written(tmp_path):
    folder = write_face(tmp_path / "face", leave_out=("texture", "specular_albedo"))
    with pytest.raises(InputError, match="specular_albedo"):
        relight.light_subject(folder)
    assert not list(folder.glob("*texture*"))


def test_maps_of_two_sizes_are_refused(tmp_path):
    folder = write_face(tmp_path / "face", 12, 16)
    save_map(folder, "occlusion", torch.ones(1, 6, 8))
    with pytest.raises(InputError, match="occlusion is 6x8"):
        relight.light_subject(folder)
