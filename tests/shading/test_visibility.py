"""Shadows and ambient occlusion against surfaces whose answer is known."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from realface.maps.encoding import unit
from realface.shading.lights import Lights
from realface.shading.visibility import ambient_occlusion, openness, seen_from, visibility
from realface.shading.visibility import sphere as spread

UP = (0.0, 0.0, 1.0)


def light(*places: tuple[float, float, float, float], radius: float = 0.0) -> Lights:
    """White lights at homogeneous places; directions need not be unit."""
    at = torch.tensor([places])
    length = at[..., :3].norm(dim=-1, keepdim=True)
    at = torch.where(at[..., 3:] > 0, at, at / length)
    count = len(places)
    return Lights(at, torch.ones(1, count, 3), torch.full((1, count), radius), torch.zeros(1, 9, 3))


def plane(height: int = 96, width: int = 96, side: float = 100.0) -> tuple[Tensor, Tensor]:
    y = torch.linspace(side / 2, -side / 2, height)[:, None].expand(height, width)
    x = torch.linspace(-side / 2, side / 2, width).expand(height, width)
    normals = torch.tensor(UP).view(1, 3, 1, 1).expand(1, 3, height, width)
    return torch.stack((x, y, torch.zeros_like(x)))[None], normals


def sphere(radius: float, centre=(0.0, 0.0, 0.0), height=96, width=192) -> tuple[Tensor, Tensor]:
    """A whole sphere over latitude and longitude."""
    latitude = math.pi * (0.5 - (torch.arange(height)[:, None] + 0.5) / height)
    longitude = 2 * math.pi * (torch.arange(width) + 0.5) / width
    normals = torch.stack(
        (
            latitude.cos() * longitude.sin(),
            latitude.sin().expand(height, width),
            latitude.cos() * longitude.cos(),
        )
    )[None]
    return radius * normals + torch.tensor(centre).view(1, 3, 1, 1), normals


def beside(*islands: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Islands of one height side by side on a map, a column of nothing between them."""
    gap = torch.full_like(islands[0][0][..., :1], float("nan"))
    positions = torch.cat([p for one in islands for p in (one[0], gap)], 3)
    normals = torch.cat([n for one in islands for n in (one[1], gap)], 3).nan_to_num()
    return positions, normals, torch.isfinite(positions[:, :1]).float()


def cosine_to(direction: tuple[float, float, float], normals: Tensor) -> Tensor:
    return (unit(torch.tensor(direction).view(1, 3, 1, 1)) * normals).sum(1)


@pytest.mark.parametrize("towards", [(0, 0, 1), (1, 0, 1), (3, 1, 1), (-5, 4, 1)])
def test_a_plane_does_not_shadow_itself(towards):
    positions, normals = plane()
    seen = visibility(positions, normals, None, light((*towards, 0.0), radius=0.05))
    assert float(seen.min()) == 1
    assert float(visibility(positions, -normals, None, light((*towards, 0.0))).max()) == 0


@pytest.mark.parametrize("radius", [1.4, 2.0, math.pi])
def test_a_light_wider_than_the_sky_stays_in_the_sky(radius):
    positions, normals = plane()
    assert float(visibility(positions, normals, None, light((*UP, 0.0), radius=radius)).min()) == 1


@pytest.mark.parametrize("towards", [(0, 0, 1), (1, 0.2, 0.3), (-0.5, -1, 0.1), (0.3, 1, -0.4)])
def test_a_sphere_shadows_itself_at_its_terminator_only(towards):
    positions, normals = sphere(80.0)
    seen = visibility(positions, normals, None, light((*towards, 0.0)))[:, 0]
    cosine = cosine_to(towards, normals)
    assert float(seen[cosine > 0.06].min()) > 0.99
    assert float(seen[cosine < -0.06].max()) == 0


def test_a_sphere_near_a_lamp_shadows_itself_at_its_terminator_only():
    positions, normals = sphere(80.0)
    place = torch.tensor((-100.0, 60.0, 150.0))
    to_light = unit(place.view(1, 3, 1, 1) - positions)
    seen = visibility(positions, normals, None, light((-100.0, 60.0, 150.0, 1.0)))[:, 0]
    cosine = (to_light * normals).sum(1)
    assert float(seen[cosine > 0.06].min()) > 0.99
    assert float(seen[cosine < -0.06].max()) == 0


def test_a_wall_beside_a_lamp_has_no_acne():
    # It faces the lamp, far off the axis from the lamp to the middle of the surface.
    ground, up = plane(64, 64, 200.0)
    wall = torch.stack((torch.full_like(ground[:, 0], 100.0), ground[:, 1], ground[:, 0] + 100), 1)
    facing = torch.tensor((-1.0, 0.0, 0.0)).view(1, 3, 1, 1).expand_as(wall)
    seen = visibility(*beside((ground, up), (wall, facing)), light((-100.0, 90.0, 260.0, 1.0)))
    assert float(seen[..., :58].min()) > 0.99  # but for the fold itself
    assert float(seen[..., 72:].min()) > 0.99


def test_what_is_convex_is_open():
    for positions, normals in (sphere(80.0), plane()):
        assert float(ambient_occlusion(positions, normals, None).min()) > 0.98


def test_what_is_seen_of_all_directions_is_what_is_open():
    positions, normals, mask = beside(plane(24, 24), sphere(20.0, (0.0, 0.0, 35.0), 24, 48))
    directions = spread(128, positions)
    seen = seen_from(positions, normals, mask, directions)
    cosines = torch.einsum("nc,bchw->bnhw", directions, normals.nan_to_num()).clamp(min=0)
    found = (seen * cosines).sum(1) / cosines.sum(1).clamp(min=1e-6)
    valid = mask[:, 0] > 0.5
    wanted = ambient_occlusion(positions, normals, mask, 128)[:, 0]
    torch.testing.assert_close(found[valid], wanted[valid], atol=1e-4, rtol=0)
    assert seen[:, :, ~valid[0]].eq(0).all()
    below = directions[:, 2] < 0
    assert seen[0, below][:, :, :24].eq(0).all()  # the plane looks up


@pytest.mark.parametrize("place", [(0.6, 0.2, 1, 0), (-150, 80, 260, 1), (200, 0, 900, 1)])
def test_a_sphere_throws_the_shadow_of_geometry_on_a_plane(place):
    radius, centre = 12.0, (0.0, 0.0, 25.0)
    positions, normals, mask = beside(plane(128, 128), sphere(radius, centre, 128, 128))
    seen = visibility(positions, normals, mask, light(tuple(map(float, place))))[0, 0, :, :128]
    ground = positions[0, :, :, :128]
    to_light = torch.tensor(place[:3]).float().view(3, 1, 1) - place[3] * ground
    to_light = unit(to_light)
    to_centre = torch.tensor(centre).view(3, 1, 1) - ground
    along = (to_light * to_centre).sum(0)
    distance = (to_centre.square().sum(0) - along.square()).clamp(min=0).sqrt()
    texel = 100 / 127
    assert float(seen[distance < radius - 4 * texel].max()) == 0
    assert float(seen[distance > radius + 4 * texel].min()) > 0.999
    assert (distance < radius - 4 * texel).sum() > 100


def test_a_wide_light_has_the_penumbra_of_a_disc():
    radius, height = 0.3, 20.0
    over, normals = plane(128, 128)
    half = over * torch.tensor((0.5, 1.0, 1.0)).view(1, 3, 1, 1) + torch.tensor(
        (-25.0, 0.0, height)
    ).view(1, 3, 1, 1)
    positions, normals, mask = beside((over, normals), (half, normals))
    seen = visibility(positions, normals, mask, light((0.0, 0.0, 1.0, 0.0), radius=radius), 64)
    across = positions[0, 0, 64, :128]
    u = (across / (height * math.tan(radius))).clamp(-1, 1)
    exact = 0.5 + (torch.asin(u) + u * (1 - u * u).sqrt()) / math.pi
    away = across > -35  # from the plate's other edge
    assert (seen[0, 0, 64, :128] - exact)[away].abs().max() < 0.08
    hard = visibility(positions, normals, mask, light((0.0, 0.0, 1.0, 0.0)))[0, 0, 64, :128]
    assert int(((hard > 0) & (hard < 1)).sum()) <= 3


def test_a_hemispherical_bowl_is_half_open_everywhere():
    # Inside a sphere every point sees every part of it by its area: here one half is missing.
    positions, outward = sphere(50.0, height=160, width=160)
    mask = (positions[:, 2:] < 0).float()
    occlusion = ambient_occlusion(positions, -outward, mask, directions=256)
    bottom = positions[:, 2:] < -25
    assert float((occlusion[bottom] - 0.5).abs().max()) < 0.08
    assert float(occlusion[bottom].mean()) == pytest.approx(0.5, abs=0.03)


def walls(angle: float) -> tuple[Tensor, Tensor, Tensor]:
    """A floor x > 0 and a wall that starts at x = 0, ``angle`` from it, both long in y."""
    column = torch.linspace(0, 40, 96).expand(256, 96)
    row = torch.linspace(120, -120, 256)[:, None].expand(256, 96)
    zero = torch.zeros_like(row)
    sine, cosine = math.sin(angle), math.cos(angle)
    floor = torch.stack((column, row, zero))[None]
    wall = torch.stack((cosine * column, row, sine * column))[None]
    up = torch.tensor(UP).view(1, 3, 1, 1).expand_as(floor)
    away = torch.tensor((sine, 0.0, -cosine)).view(1, 3, 1, 1).expand_as(floor)
    return beside((floor, up), (wall, away))


@pytest.mark.parametrize("angle", [math.pi / 3, math.pi / 2, 2 * math.pi / 3])
def test_two_walls_occlude_by_their_form_factor(angle):
    # Crossed strings: of a floor's sky, a wall of height h at an angle leaves, at distance x,
    # (1 + (x - h cos) / sqrt(x^2 + h^2 - 2 x h cos)) / 2; right from three cells off the corner on.
    positions, normals, mask = walls(angle)
    occlusion, bent = openness(positions, normals, mask, directions=512)
    x, h = positions[0, 0, 128, 13:90], 40.0
    reach = (x * x + h * h - 2 * x * h * math.cos(angle)).sqrt()
    exact = (1 + (x - h * math.cos(angle)) / reach) / 2
    assert (occlusion[0, 0, 128, 13:90] - exact).abs().max() < 0.07
    assert float((occlusion[0, 0, 128, 13:90] - exact).abs().mean()) < 0.03
    assert float(bent[0, 0, 128, 20]) > 0.1  # away from the wall
    torch.testing.assert_close(bent.norm(dim=1), torch.ones_like(bent[:, 0]) * (mask[:, 0] > 0))


def test_layout_does_not_matter_and_what_lies_outside_the_mask_does_not_exist():
    positions, normals, mask = beside(plane(64, 64), sphere(12.0, (0.0, 0.0, 25.0), 64, 64))
    lamp = light((0.6, 0.2, 1.0, 0.0), (100.0, 0.0, 300.0, 1.0), radius=0.1)
    seen = visibility(positions, normals, mask, lamp)
    flipped = visibility(positions.flip(3), normals.flip(3), mask.flip(3), lamp).flip(3)
    torch.testing.assert_close(seen, flipped, atol=0.05, rtol=0)
    other = torch.where(mask > 0, positions, 1e3)
    assert torch.equal(seen, visibility(other, normals, mask, lamp))
    assert float(seen[..., 64].min()) == 1


def test_turned_head_under_turned_light():
    positions, normals, mask = beside(plane(64, 64), sphere(12.0, (0.0, 0.0, 25.0), 64, 64))
    lamp = light((0.6, 0.2, 1.0, 0.0), radius=0.15)
    matrix = torch.linalg.matrix_exp(
        torch.tensor(((0.0, -0.4, 0.2), (0.4, 0.0, -0.6), (-0.2, 0.6, 0.0)))
    )
    turned = torch.einsum("ij,bjhw->bihw", matrix, positions)
    facing = torch.einsum("ij,bjhw->bihw", matrix, normals)
    seen = visibility(positions, normals, mask, lamp)
    other = visibility(turned, facing, mask, lamp.rotated(matrix))
    assert float((seen - other).abs().mean()) < 0.01


def test_batch_of_faces_and_lights():
    one, two = beside(plane(48, 48), sphere(12.0, (0.0, 0.0, 25.0), 48, 48)), None
    two = (one[0] * 2.0, one[1], one[2].clone())
    two[2][..., :10] = 0
    positions, normals, mask = (torch.cat(pair) for pair in zip(one, two, strict=True))
    lamp = light((0.6, 0.2, 1.0, 0.0), (0.0, 0.3, 1.0, 0.0), radius=0.1)
    seen = visibility(positions, normals, mask, lamp)
    assert seen.shape == (2, 2, 48, 98)
    assert torch.equal(seen[1:], visibility(*two, lamp))
    assert torch.equal(
        ambient_occlusion(positions, normals, mask, 16)[:1], ambient_occlusion(*one, 16)
    )
    assert visibility(*one, none()).shape == (1, 0, 48, 98)


def test_texels_alone_are_not_believed():
    """One texel adrift above a plane throws no speck; a plate of five by five throws its shadow."""
    ground, up = plane(96, 96)
    lamp = light((0.3, 0.2, 1.0, 0.0))
    for texels, shadows in ((1, False), (5, True)):
        middle = slice(48, 48 + texels)
        over = torch.full_like(ground, float("nan"))[..., :texels]
        over[:, :, middle] = ground[:, :, middle, middle]
        over[:, 2] += 20
        seen = visibility(*beside((ground, up), (over, up[..., :texels])), lamp)[..., :96]
        assert (float(seen.min()) < 0.5) == shadows


def test_narrow_lights_take_fewer_places_and_look_the_same():
    positions, normals, mask = beside(plane(64, 64), sphere(12.0, (0.0, 0.0, 25.0), 64, 64))
    lamp = light((0.6, 0.2, 1.0, 0.0), radius=0.02)
    hard = replace(lamp, radii=torch.zeros(1, 1))
    seen = visibility(positions, normals, mask, lamp)
    assert float((seen - visibility(positions, normals, mask, hard)).abs().mean()) < 0.01
    few = visibility(positions, normals, mask, lamp, samples=4)
    assert float((seen - few).abs().max()) < 0.26


def none() -> Lights:
    return Lights(
        torch.zeros(1, 0, 4), torch.zeros(1, 0, 3), torch.zeros(1, 0), torch.zeros(1, 9, 3)
    )


def test_constant_to_autograd_any_float_and_empty_masks():
    positions, normals = plane(16, 16)
    wide = positions.double().requires_grad_()
    seen = visibility(wide, normals.double(), None, light((0.0, 0.0, 1.0, 0.0)))
    assert seen.dtype == torch.float64
    assert not seen.requires_grad
    nothing = torch.zeros(1, 1, 16, 16)
    assert float(visibility(positions, normals, nothing, light((0.0, 0.0, 1.0, 0.0))).min()) == 1
    assert float(ambient_occlusion(positions, normals, nothing).min()) == 1
