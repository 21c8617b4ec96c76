"""The light on a face of known shape, from its texture."""

import pytest
import torch

from realface.maps.encoding import linear_to_srgb, srgb_to_linear, unit
from realface.shading import harmonics, light_fit
from realface.shading.light_fit import fitted_light, openings
from realface.shading.visibility import ambient_occlusion, seen_from
from realface.shading.whole_light import delit, log_shading

ALBEDO = torch.tensor((0.35, 0.25, 0.2)).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def head():
    """A ball on a plate [mm]: positions, normals and a mask, ``(1, C, 48, 64)``."""
    y, x = torch.meshgrid(torch.linspace(90, -90, 48), torch.linspace(-120, 120, 64), indexing="ij")
    inside = (60.0**2 - x.square() - y.square()).clamp(min=0)
    ball = inside > 0
    z = inside.sqrt()
    ahead = torch.tensor((0.0, 0.0, 1.0)).view(3, 1, 1).expand(3, 48, 64)
    positions = torch.stack((x, y, z))
    normals = torch.where(ball, unit(positions[None])[0], ahead)
    mask = torch.ones(1, 1, 48, 64)
    mask[..., :3] = 0
    return positions[None], normals[None], mask


@pytest.fixture(scope="module")
def opened(head):
    return openings(*head)


def spread(texture, light, head):
    """How far what is left is from one albedo: mean logarithm of its ratio, the worst channel's."""
    left = delit(texture, log_shading(light, head[1])).clamp(min=0.05)
    inner = head[2][0, 0] > 0
    return max(float((one[inner] / one[inner].median()).log().abs().mean()) for one in left[0])


def lit(head, direction, ambient, shadows):
    """Texture of one albedo under a lamp and a little light from all around."""
    positions, normals, mask = head
    towards = unit(torch.tensor(direction).view(1, 3, 1, 1))
    cosine = (normals * towards).sum(1, keepdim=True).clamp(min=0)
    around = torch.ones_like(mask)
    if shadows:
        cosine = cosine * seen_from(positions, normals, mask, towards.view(1, 3))
        around = ambient_occlusion(positions, normals, mask)
    warm = torch.tensor((1.0, 0.9, 0.7)).view(1, 3, 1, 1)
    return linear_to_srgb(ALBEDO * (1.2 * warm * cosine + ambient * around) * mask)


@pytest.mark.parametrize("shadows", [True, False])
@pytest.mark.parametrize("direction", [(0.5, 0.3, 1.0), (-1.0, 0.2, 0.6)])
def test_a_face_of_one_albedo_comes_out_even(head, opened, direction, shadows):
    texture = lit(head, direction, 0.4, shadows)
    light = fitted_light(texture, head[1], head[2], opened)
    flat = torch.zeros_like(light)
    flat[:, ::9] = 1 / harmonics.Y0
    found, before = (spread(texture, one, head) for one in (light, flat))
    assert found < 0.5 * before, (found, before)


def test_its_albedo_is_a_usual_skin_s(head, opened):
    texture = lit(head, (0.5, 0.3, 1.0), 0.4, True)
    light = fitted_light(texture, head[1], head[2], opened)
    left = delit(texture, log_shading(light, head[1]))[0, :, head[2][0, 0] > 0]
    expected = linear_to_srgb(torch.tensor((0.42, 0.26, 0.19)))
    torch.testing.assert_close(left.median(1).values, expected, atol=0.03, rtol=0)


def test_a_turned_head_has_the_light_turned(head, opened):
    texture = lit(head, (0.5, 0.3, 1.0), 0.4, True)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q[None]
    normals = torch.einsum("bij,bjhw->bihw", turn, head[1])
    still = log_shading(fitted_light(texture, head[1], head[2], opened), head[1])
    after = fitted_light(texture, normals, head[2], opened, turn)
    valid = (head[2] > 0).expand_as(still)
    torch.testing.assert_close(log_shading(after, normals)[valid], still[valid], atol=0.02, rtol=0)


def test_what_lies_beside_the_mask_has_no_say(head, opened):
    texture = lit(head, (0.5, 0.3, 1.0), 0.4, True)
    spoilt = torch.where(head[2] > 0, texture, torch.rand_like(texture))
    one, other = (fitted_light(each, head[1], head[2], opened) for each in (texture, spoilt))
    valid = (head[2] > 0).expand_as(one)
    assert torch.equal(one[valid], other[valid])


def test_few_texels_of_another_albedo_bend_it_little(head, opened):
    texture = lit(head, (0.5, 0.3, 1.0), 0.4, True)
    hairy = texture.clone()
    hairy[..., :5, :] *= 0.4
    one, other = (
        log_shading(fitted_light(each, head[1], head[2], opened), head[1])
        for each in (texture, hairy)
    )
    valid = (head[2] > 0).expand_as(one)
    assert (one - other)[valid].abs().mean() < 0.06


def test_in_the_dark_albedo_is_the_mean_s(head, opened, monkeypatch):
    haze = 0.02 * torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    haze = torch.nn.functional.interpolate(haze, (48, 64), mode="bilinear")
    linear = srgb_to_linear(lit(head, (-1.0, 0.2, 0.3), 0.05, True)) + haze
    texture = linear_to_srgb(linear * head[2])
    doubting = fitted_light(texture, head[1], head[2], opened)
    monkeypatch.setattr(light_fit, "_VARIES", 1e3)
    sure = fitted_light(texture, head[1], head[2], opened)
    assert spread(texture, doubting, head) < 0.8 * spread(texture, sure, head)


def test_hair_stays_dark(head, opened):
    texture = lit(head, (0.5, 0.3, 1.0), 0.4, True)
    hairy = texture.clone()
    hairy[..., :8, :] = linear_to_srgb(0.1 * srgb_to_linear(texture[..., :8, :]))
    left = delit(hairy, log_shading(fitted_light(hairy, head[1], head[2], opened), head[1]))
    skin, hair = (
        srgb_to_linear(one)[..., 4:60].median() for one in (left[..., 12:, :], left[..., :8, :])
    )
    assert 0.07 < hair / skin < 0.15


def test_nothing_valid_is_no_reason_to_fail(head):
    positions, normals, mask = head
    nothing = torch.zeros_like(mask)
    light = fitted_light(
        torch.zeros_like(positions), normals, nothing, openings(positions, normals, nothing)
    )
    assert torch.isfinite(log_shading(light, normals)).all()


def test_shadows_are_cast_on_a_small_map():
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 400), torch.linspace(-1, 1, 300), indexing="ij")
    positions = 100 * torch.stack((x, y, 0.1 * torch.rand(400, 300, generator=generator)))[None]
    ahead = torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1).expand(1, 3, 400, 300)
    mask = torch.ones(1, 1, 400, 300)
    found = openings(positions, ahead, mask)
    assert found.factor == 2
    assert found.seen.shape == (1, 96, 200, 150)
    texture = torch.full((1, 3, 400, 300), 0.5)
    assert fitted_light(texture, ahead, mask, found).shape == (1, 27, 400, 300)
