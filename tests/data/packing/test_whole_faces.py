import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.packing.whole_faces import REDUCTION, reduce_in_bands, reduce_maps
from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from tests.faces import face_maps

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def masked(maps, seed=0):
    """A mask with holes; NaN in every other map where it is closed."""
    generator = torch.Generator().manual_seed(seed)
    size = next(iter(maps.values())).shape[-2:]
    mask = (torch.rand(1, *size, generator=generator) > 0.5).float()
    holes = {kind: torch.where(mask > 0.5, values, torch.nan) for kind, values in maps.items()}
    return {**holes, "mask": mask}


@given(SIZES, st.integers(0, 20), st.sampled_from([2, 3, 8]))
def test_constants_stay_whatever_is_outside_the_mask(size, seed, factor):
    values = {
        "diffuse_albedo": torch.tensor((0.7, 0.5, 0.001)),
        "specular_albedo": torch.tensor((0.3,)),
        "specular_normals": torch.tensor((0.6, 0.0, 0.8)),
        "shape": torch.tensor((-3.0, 7.0, 120.0)),
    }
    maps = masked({k: v.view(-1, 1, 1).expand(-1, *size) for k, v in values.items()}, seed)
    reduced = reduce_maps(maps, factor)
    some = reduced["mask"][0] > 0
    for kind, value in values.items():
        texels = reduced[kind][:, some]
        assert torch.allclose(texels, value[:, None].expand_as(texels), rtol=1e-5, atol=1e-6), kind
        assert reduced[kind].isfinite().all()
        assert reduced[kind].shape[1:] == (-(-size[0] // factor), -(-size[1] // factor))


@given(SIZES, st.integers(0, 20))
def test_the_mask_is_the_share_of_valid_texels(size, seed):
    mask = masked({"shape": torch.zeros(3, *size)}, seed)["mask"]
    share = reduce_maps({"mask": mask})["mask"][0]
    for row in range(share.shape[0]):
        for column in range(share.shape[1]):
            block = mask[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            assert share[row, column].item() == pytest.approx(block.mean().item(), abs=1e-6)


def test_a_mirror_commutes():
    maps = masked(face_maps(48, 64))
    mirrored = {kind: values.flip(-1) for kind, values in maps.items()}
    reduced = reduce_maps(maps)
    for kind, values in reduce_maps(mirrored).items():
        assert torch.allclose(values.flip(-1), reduced[kind], atol=1e-6), kind


def test_a_plane_stays_a_plane():
    y, x = torch.meshgrid(torch.arange(37.0), torch.arange(50.0), indexing="ij")
    plane = masked({"shape": torch.stack((x, -y, 2 * x + 3 * y - 5))}, 3)
    reduced = reduce_maps(plane)
    x, y, z = reduced["shape"][:, reduced["mask"][0] > 0]
    assert torch.allclose(z, 2 * x - 3 * y - 5, atol=1e-3)


def test_colours_are_averaged_as_light():
    checks = torch.zeros(3, 8, 8)
    checks[:, ::2] = 1
    grey = reduce_maps({"diffuse_albedo": checks})["diffuse_albedo"]
    assert torch.allclose(grey, linear_to_srgb(torch.tensor(0.5)).expand(3, 1, 1), atol=1e-6)
    assert srgb_to_linear(grey).mean().item() == pytest.approx(0.5, abs=1e-6)
    linear = reduce_maps({"specular_albedo": checks[:1]})["specular_albedo"]
    assert linear.item() == pytest.approx(0.5, abs=1e-6)


def test_normals_have_unit_length_and_look_ahead_where_there_is_no_face():
    maps = face_maps(64, 96)
    maps["mask"][:, :16] = 0
    reduced = reduce_maps(maps)
    normals = reduced["specular_normals"]
    assert torch.allclose(normals.norm(dim=0), torch.ones(8, 12), atol=1e-5)
    assert torch.equal(normals[:, 0, 5], torch.tensor((0.0, 0.0, 1.0)))


def test_bands_are_the_whole():
    maps = masked(face_maps(150, 30))
    asked = []

    def read(y, rows):
        asked.append(rows)
        return {kind: values[:, y : y + rows] for kind, values in maps.items()}

    for factor in (1, 2, REDUCTION):
        banded = reduce_in_bands(read, 150, factor)
        for kind, values in reduce_maps(maps, factor).items():
            assert torch.allclose(banded[kind], values, rtol=0, atol=1e-5), kind
    assert max(asked) <= 16 * REDUCTION
    assert asked.count(16) == 9  # at factor 1: more than one band
