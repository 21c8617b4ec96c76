"""A subject's texture made from its own maps."""

import numpy as np
import pytest
import torch

from realface.errors import InputError
from realface.geometry.normals import normals_from_shape
from realface.maps.files import write_image
from realface.maps.subject import Subject, save_map
from realface.shading import relight
from realface.shading.random_lights import varied_lights
from realface.shading.shade import lit_texture
from realface.shading.subsurface import SKIN_RADII
from realface.shading.visibility import visibility
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


def centred_maps():
    maps = face_maps()
    centre = maps["shape"][:, maps["mask"][0] > 0.5].median(dim=1).values.view(3, 1, 1)
    return {
        kind: (values - centre if kind == "shape" else values)[None]
        for kind, values in maps.items()
    }


def test_the_texture_is_lit_shadowed_and_scattered_and_black_outside(tmp_path):
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    lights, maps = varied_lights(1), centred_maps()
    made = relight.shade_subject(Subject(folder), lights)
    normals = normals_from_shape(maps["shape"][0], maps["mask"][0])[None]
    seen = visibility(maps["shape"], normals, maps["mask"], lights)
    expected = lit_texture(maps, lights, visibility=seen, scattering=SKIN_RADII)[0]
    valid = maps["mask"][0]
    # 16-bit maps: highlights and the edges of shadows magnify the rounding of positions.
    assert (made - expected * valid).abs().mean() < 2e-3
    assert (made * (1 - valid)).abs().max() == 0


def test_bands_do_not_show(tmp_path, monkeypatch):
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    lights = varied_lights(1)
    whole = relight.shade_subject(Subject(folder), lights)
    monkeypatch.setattr(relight, "_BAND", 20)
    torch.testing.assert_close(
        relight.shade_subject(Subject(folder), lights), whole, atol=2e-3, rtol=0
    )


def test_shadows_found_at_a_smaller_size_stay_where_they_were(tmp_path, monkeypatch):
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    lights = varied_lights(1, generator=torch.Generator().manual_seed(2))
    whole = relight.shade_subject(Subject(folder), lights)
    monkeypatch.setattr(relight, "_SHADOW_WIDTH", 48)
    assert (relight.shade_subject(Subject(folder), lights) - whole).abs().mean() < 0.02


def test_a_subject_is_lit_by_a_panorama(tmp_path):
    """Light from the picture's right alone: the right half of the face is the bright one."""
    folder = write_face(tmp_path / "face", leave_out=("texture",))
    panorama = np.full((16, 32, 3), 0.02, np.float32)
    panorama[6:9, 6:9] = 40.0  # left of the middle as it is seen from within: +x
    write_image(tmp_path / "sky.exr", panorama)
    relight.light_subject(folder, environment=tmp_path / "sky.exr")
    texture = Subject(folder).open("texture").whole()
    right, left = texture[..., 48:].mean(), texture[..., :48].mean()
    assert right > 1.3 * left


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
