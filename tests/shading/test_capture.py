"""Textures under random light: seeded, in range, and what the light of a patch cannot know."""

from dataclasses import replace

import pytest
import torch

from realface.shading.capture import (
    SCATTERING_MARGIN,
    captured_face,
    known_light,
    patch_texture,
    random_capture,
    squeezed,
    whole_texture,
)
from realface.shading.subsurface import scatter
from tests.faces import face_batch


def seeded(maps, lighting, seed):
    generator = torch.Generator().manual_seed(seed)
    return patch_texture(
        maps, random_capture(len(maps["mask"]), lighting, "cpu", generator), generator
    )


@pytest.mark.parametrize("lighting", ["varied", "studio"])
def test_equal_seeds_give_equal_textures(lighting):
    maps = face_batch(24, 3)
    first, again, other = (seeded(maps, lighting, seed) for seed in (1, 1, 2))
    assert first.shape == maps["diffuse_albedo"].shape
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.05
    assert first.min() >= 0
    assert first.max() <= 1


def test_samples_of_a_batch_are_lit_each_on_its_own():
    maps = {
        kind: values[:1].expand(4, *values.shape[1:])
        if isinstance(values, torch.Tensor)
        else values
        for kind, values in face_batch(24, 3).items()
    }
    texture = seeded(maps, "varied", 3)
    assert all((texture[0] - other).abs().max() > 0.02 for other in texture[1:])


def test_a_cavity_is_darker_than_the_same_place_in_the_open():
    maps = face_batch(24, 3)
    open_sky, shut = (
        seeded({**maps, "occlusion": torch.full_like(maps["mask"], share)}, "varied", 4)
        for share in (1.0, 0.2)
    )
    assert (shut <= open_sky + 1e-5).all()
    assert shut.mean() < 0.8 * open_sky.mean()


def test_a_sample_s_own_maps_come_before_random_ones():
    maps = face_batch(24, 3)
    dull = {**maps, "exponent": torch.zeros_like(maps["mask"])}
    assert not torch.equal(seeded(maps, "varied", 5), seeded(dull, "varied", 5))


def test_little_light_comes_from_beyond_the_rim():
    """A whole map against its crop, at a step of light on the crop's edge."""
    texel, side = 0.1, 160
    size = torch.full((1, 1, side, 2 * side), texel)
    light = torch.ones(1, 3, side, 2 * side)
    light[..., :side] = 0
    whole = scatter(light, None, size)[..., side:]
    alone = scatter(light[..., side:], None, size[..., side:])
    missing = (alone - whole).abs()[0, :, side // 2, int(SCATTERING_MARGIN / texel)]
    assert (missing < torch.tensor((0.1, 0.03, 0.01))).all()


def test_garbage_outside_the_mask_changes_no_texture_inside():
    maps = face_batch(24, 3)
    outside = maps["mask"] < 0.5
    wild = {**maps, "shape": torch.where(outside, 1e3 * torch.randn(3, 3, 24, 24), maps["shape"])}
    inside = ~outside.expand_as(maps["diffuse_albedo"])
    clean, other = (seeded(one, "varied", 6)[inside] for one in (maps, wild))
    torch.testing.assert_close(clean, other)
    known = (known_light(one["mask"], one["shape"]) for one in (maps, wild))
    assert torch.equal(*known)


def test_light_is_known_where_no_stranger_scatters_in():
    texel = 0.5
    row, column = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    positions = torch.stack((column * texel, -row * texel, torch.zeros_like(row)))[None]
    inner = known_light(torch.ones(1, 1, 20, 30), positions)[0, 0]
    rim = -(-SCATTERING_MARGIN // texel)  # texels, rounded up
    assert inner.sum() == (20 - 2 * rim) * (30 - 2 * rim)
    assert inner[10, 15] == 1
    assert known_light(torch.zeros(1, 1, 20, 30), positions).sum() == 0


def test_a_patch_and_its_whole_face_are_lit_alike():
    whole = face_batch(48, 2)
    patch = {kind: values[..., 8:40, 8:40] for kind, values in whole.items() if kind != "key"}
    capture = random_capture(2, "studio", "cpu", torch.Generator().manual_seed(5))
    texture = whole_texture(whole, capture, (48, 48))
    there = (texture * whole["mask"])[..., 8:40, 8:40]
    torch.testing.assert_close(there, patch_texture(patch, capture) * patch["mask"])


@pytest.mark.parametrize("lighting", ["varied", "studio"])
def test_a_whole_face_is_squeezed_to_the_patch_and_black_outside(lighting):
    whole = face_batch(48, 2)
    generator = torch.Generator().manual_seed(5)
    capture = random_capture(2, lighting, "cpu", generator)
    texture = whole_texture(whole, capture, (16, 24))
    assert texture.shape == (2, 3, 16, 24)
    outside = squeezed(whole["mask"].expand(-1, 3, -1, -1), (16, 24)) == 0
    assert outside.any()
    assert texture[outside].max() == 0
    assert texture.max() > 0.1


def test_a_cleaned_capture_has_no_gloss_and_some_have_no_shadows():
    maps = face_batch(24, 3)
    generator = torch.Generator().manual_seed(1)
    capture = random_capture(3, "varied", "cpu", generator, cleaned=1.0)
    shiny = {**maps, "specular_albedo": torch.ones_like(maps["mask"])}
    assert torch.equal(captured_face(maps, capture, 2), captured_face(shiny, capture, 2))
    even = replace(capture, even=torch.ones_like(capture.even))
    shut = {**maps, "occlusion": torch.full_like(maps["mask"], 0.2)}
    assert torch.equal(captured_face(maps, even, 2), captured_face(shut, even, 2))
    assert not torch.equal(captured_face(maps, even, 2), captured_face(maps, capture, 2))
    usual = random_capture(3, "varied", "cpu", generator)
    assert not torch.equal(captured_face(maps, usual, 2), captured_face(shiny, usual, 2))
