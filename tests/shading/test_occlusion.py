"""A subject's own occlusion map."""

import pytest
import torch
import torch.nn.functional as F

from realface.errors import InputError
from realface.maps.subject import Subject, save_map
from realface.shading.occlusion import (
    derive_occlusion,
    enlarge_in_mask,
    enlarged_window,
    reduce_in_mask,
)
from tests.faces import face_maps, write_face


def test_a_bump_is_open_and_the_map_is_marked_as_derived(tmp_path):
    folder = write_face(tmp_path / "face")
    derive_occlusion(folder, directions=32)
    subject = Subject(folder)
    assert subject.record.maps["occlusion"].derived
    assert float(subject.open("occlusion").whole().min()) > 0.98
    derive_occlusion(folder, directions=32)  # again, over the first


@pytest.mark.parametrize("normals_given", [True, False])
def test_a_bowl_is_closed_at_any_working_size(tmp_path, normals_given):
    folder = write_face(tmp_path / "face", 96, 144, leave_out=("shape", "shape_normals"))
    maps = face_maps(96, 144)
    turn = torch.tensor((1.0, 1.0, -1.0)).view(3, 1, 1)
    save_map(folder, "shape", maps["shape"] * turn)
    if normals_given:
        save_map(folder, "shape_normals", maps["shape_normals"] * -turn)
    derive_occlusion(folder, directions=64)
    whole = Subject(folder).open("occlusion").whole()
    derive_occlusion(folder, directions=64, texels=96 * 144 // 9)
    reduced = Subject(folder).open("occlusion").whole()
    assert whole.shape == reduced.shape == (1, 96, 144)
    # From the bottom of the bowl its rim stands at 64 degrees: sin^2 is what is open.
    assert float(whole[0, 48, 72]) == pytest.approx(0.81, abs=0.05)
    valid = maps["mask"] > 0.5
    assert float((whole - reduced)[valid].abs().mean()) < 0.05


def test_needs_a_shape(tmp_path):
    folder = write_face(tmp_path / "face", leave_out=("shape",))
    with pytest.raises(InputError, match="shape"):
        derive_occlusion(folder)


@pytest.mark.parametrize("size", [(24, 36), (23, 35), (5, 4)])
def test_reduced_and_enlarged_inside_the_mask_only(size):
    mask = (torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    maps = torch.where(mask > 0, 0.25, float("nan"))
    small, covered = reduce_in_mask(maps, mask, 4)
    assert small.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert torch.equal(small, 0.25 * covered)
    large = enlarge_in_mask(small, covered, 4, size)
    torch.testing.assert_close(large[mask > 0], torch.full_like(large[mask > 0], 0.25))


def test_a_ramp_survives_reduction():
    ramp = torch.arange(48.0).expand(1, 1, 32, 48)
    small, covered = reduce_in_mask(ramp, torch.ones_like(ramp), 4)
    large = enlarge_in_mask(small, covered, 4, (32, 48))
    torch.testing.assert_close(large[..., 2:-2], ramp[..., 2:-2])


def test_a_window_of_a_small_map_is_that_of_the_whole():
    coarse = torch.rand(1, 2, 7, 9)
    whole = F.interpolate(coarse, scale_factor=5, mode="bilinear", align_corners=False)
    rows = enlarged_window(coarse, 5, 5, 0, 12, 43)
    torch.testing.assert_close(rows, whole[:, :, 5:17, :43])
    torch.testing.assert_close(enlarged_window(coarse, 5, 5, 11, 12, 32), rows[..., 11:])
