"""Light under the skin: the profile in millimetres, what may leak and what may not."""

import math

import pytest
import torch

from realface.shading.subsurface import (
    BURLEY_VARIANCES,
    BURLEY_WEIGHTS,
    SKIN_RADII,
    one_kernel_scatter,
    scatter,
    texel_size,
)


def flat(size: float, height: int = 96, width: int = 96, **kind) -> torch.Tensor:
    return torch.full((1, 1, height, width), size, **kind)


def spread_of_point(radius: float, texel: float, side: int, at: tuple[int, int] = (0, 0)):
    """Light that leaves each texel of a flat map lit in one, and its distance from there [mm]."""
    y, x = side // 2 + at[0], side // 2 + at[1]
    light = torch.zeros(1, 3, side, side)
    light[..., y, x] = 1
    left = scatter(light, None, flat(texel, side, side), (radius,) * 3)[0, 0].double()
    down, right = torch.arange(side)[:, None] - y, torch.arange(side) - x
    return left, torch.hypot(down.double(), right.double()) * texel


def within(distance: float) -> float:
    """Burley's share of light that leaves within a distance, in units of d."""
    return 1 - math.exp(-distance) / 4 - 0.75 * math.exp(-distance / 3)


def test_gaussians_are_burleys_profile():
    share, variance = (torch.tensor(v).double() for v in (BURLEY_WEIGHTS, BURLEY_VARIANCES))
    assert float(share.sum()) == pytest.approx(1, abs=1e-6)
    assert float((share * variance).sum()) == pytest.approx(7, rel=0.03)
    for r in torch.logspace(-1, math.log10(8), 40).tolist():
        assert float((share * (1 - torch.exp(-r * r / 2 / variance))).sum()) == pytest.approx(
            within(r), abs=0.0015
        )
        profile = (share * torch.exp(-r * r / 2 / variance) / (2 * math.pi * variance)).sum()
        exact = (math.exp(-r) + math.exp(-r / 3)) / (8 * math.pi * r)
        assert float(profile) == pytest.approx(exact, rel=0.12)


def test_skin_radii_follow_from_measured_coefficients():
    coefficients = zip((0.74, 0.88, 1.01), (0.032, 0.17, 0.48), (0.44, 0.22, 0.13), strict=True)
    for radius, (scattering, absorption, albedo) in zip(SKIN_RADII, coefficients, strict=True):
        path = 1 / math.sqrt(3 * absorption * (absorption + scattering))
        assert radius == pytest.approx(path / (3.5 + 100 * (albedo - 0.33) ** 4), abs=2e-3)


@pytest.mark.parametrize("at", [(0, 0), (3, 1), (5, 7)])
@pytest.mark.parametrize("texels", [5, 10])
def test_a_point_spreads_by_the_closed_form(texels, at):
    left, distance = spread_of_point(1.0, 1 / texels, 384, at)
    assert float(left.sum()) == pytest.approx(1, abs=2e-3)
    for r in (0.5, 1, 2, 3, 4, 6, 8):
        assert float(left[distance <= r].sum()) == pytest.approx(within(r), abs=0.012)
    for r in (1, 2, 4):
        exact = (math.exp(-r) + math.exp(-r / 3)) / (8 * math.pi * r) / texels**2
        ring = left[(distance - r).abs() < 0.7 / texels]
        assert float(ring.mean()) == pytest.approx(exact, rel=0.15)


def test_resolution_does_not_change_millimetres():
    fine, near = spread_of_point(1.0, 0.1, 256)
    coarse, far = spread_of_point(1.0, 0.2, 128)
    for r in (1.0, 2.0, 4.0):
        assert float(fine[near <= r].sum()) == pytest.approx(
            float(coarse[far <= r].sum()), abs=0.012
        )


def test_halving_texels_doubles_the_blur_in_texels():
    side = 256
    size = flat(0.4, side, side)
    size[..., side // 2 :] = 0.2
    light = torch.zeros(1, 3, side, side)
    light[..., 64, 64] = light[..., 64, 192] = 1.0
    left = scatter(light, None, size, (1.0, 1.0, 1.0))[0, 0]

    def half_light_radius(x: int) -> float:
        patch = left[:128, x - 32 : x + 32]
        down, right = torch.arange(128)[:, None] - 64, torch.arange(64) - 32
        distance = torch.hypot(down.float(), right.float()).flatten()
        order = distance.argsort()
        return float(distance[order][patch.flatten()[order].cumsum(0) < 0.5].max())

    assert half_light_radius(192) / half_light_radius(64) == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("shape", [(64, 96), (37, 61), (1, 40), (5, 3)])
def test_constant_light_stays_constant_in_any_mask(shape):
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, 1, *shape, generator=generator) > 0.6).float()
    size = 0.05 + 0.2 * torch.rand(1, 1, *shape, generator=generator)
    light = torch.tensor((0.2, 0.7, 1.5)).view(1, 3, 1, 1).expand(1, 3, *shape)
    torch.testing.assert_close(scatter(light, mask, size), light, atol=1e-5, rtol=0)
    torch.testing.assert_close(scatter(light, None, size), light, atol=1e-5, rtol=0)


def test_nothing_outside_the_mask_gets_in_and_nothing_there_changes():
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., 8:40, 10:30] = 1
    light, size = torch.rand(1, 3, 48, 64), flat(0.1, 48, 64)
    other = torch.where(mask > 0, light, float("nan"))
    sizes = torch.where(mask > 0, size, float("nan"))
    inside = mask.expand_as(light) > 0
    left = scatter(light, mask, size)
    assert torch.equal(left[inside], scatter(other, mask, sizes)[inside])
    assert torch.equal(left[~inside], light[~inside])
    assert not torch.equal(left[inside], light[inside])


def test_linear_by_channel_and_by_sample():
    a, b = torch.rand(2, 3, 40, 56), torch.rand(2, 3, 40, 56)
    size = flat(0.1, 40, 56).repeat(2, 1, 1, 1)
    both = scatter(2 * a - 3 * b, None, size)
    torch.testing.assert_close(
        both, 2 * scatter(a, None, size) - 3 * scatter(b, None, size), atol=2e-5, rtol=0
    )
    other = a.clone()
    other[1], other[0, 1] = b[1], b[0, 1]
    before, after = scatter(a, None, size), scatter(other, None, size)
    assert torch.equal(before[0, (0, 2)], after[0, (0, 2)])
    assert not torch.equal(before[0, 1], after[0, 1])
    torch.testing.assert_close(scatter(a[:1], None, size[:1]), before[:1])


def test_red_reaches_further_than_blue():
    step = torch.zeros(1, 3, 64, 64)
    step[..., 32:] = 1
    red, green, blue = scatter(step, None, flat(0.1, 64, 64))[0, :, 32, 22]
    assert red > 1.5 * green > 2 * blue > 0


def test_radius_zero_is_the_identity():
    light, mask = torch.rand(1, 3, 33, 47), (torch.rand(1, 1, 33, 47) > 0.3).float()
    left = scatter(light, mask, flat(0.1, 33, 47), (0.0, 0.39, 0.0))
    assert torch.equal(left[:, (0, 2)], light[:, (0, 2)])
    with pytest.raises(ValueError, match="at least 0"):
        scatter(light, mask, flat(0.1, 33, 47), (-1.0, 0.1, 0.1))


def test_symmetric_where_texels_are_alike():
    # Away from borders, where each texel divides by its own share of the mask.
    generator = torch.Generator().manual_seed(1)
    x, y = torch.zeros(2, 1, 3, 128, 128, dtype=torch.float64)
    middle = (..., slice(48, 80), slice(48, 80))
    x[middle] = torch.rand(1, 3, 32, 32, generator=generator).double()
    y[middle] = torch.rand(1, 3, 32, 32, generator=generator).double()
    size = flat(0.25, 128, 128, dtype=torch.float64)
    one, two = ((scatter(a, None, size) * b).sum() for a, b in ((x, y), (y, x)))
    torch.testing.assert_close(one, two, rtol=2e-3, atol=0)


def test_gradients():
    generator = torch.Generator().manual_seed(2)
    light = torch.rand(1, 3, 5, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    size = 0.3 + torch.rand(1, 1, 5, 6, dtype=torch.float64, generator=generator)
    mask = torch.ones(1, 1, 5, 6)
    mask[..., 0, :2] = 0
    size.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: scatter(a, mask, b, (1.0, 0.5, 0.2)), (light, size)
    )
    assert torch.autograd.gradcheck(lambda a: one_kernel_scatter(a, mask, size), (light,))


def test_one_kernel_blurs_by_its_millimetres_and_brightens_by_its_gain():
    left = one_kernel_scatter(torch.ones(1, 3, 16, 16), None, flat(0.1, 16, 16), 0.5)
    for value, weight in zip(left[0, :, 8, 8].tolist(), (0.4, 0.1, 0.035), strict=True):
        assert value == pytest.approx(1 + 0.3 * 0.5 * weight, abs=1e-5)
    point = torch.zeros(1, 3, 128, 128)
    point[..., 64, 64] = 1
    red = one_kernel_scatter(point, None, flat(0.1, 128, 128))[0, 0]
    red[64, 64] -= 0.6
    across = ((torch.arange(128) - 64) * 0.1).square()
    taps = torch.arange(-21, 22)
    box = torch.exp(-((taps / 40) ** 2))
    deviation = float((box * (taps * 1.4 / 21) ** 2).sum() / box.sum()) ** 0.5
    assert float((red.sum(0) * across).sum() / red.sum()) ** 0.5 == pytest.approx(
        deviation, rel=0.02
    )


def test_texel_size_of_a_stretched_sheet_is_right_up_to_the_border():
    row, column = torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing="ij")
    positions = torch.stack((0.5 * column + 0.1 * row, -0.2 * row, 0.3 * column))[None]
    exact = math.hypot(0.1, 0.06, 0.03) ** 0.5  # |(.5, 0, .3) x (.1, -.2, 0)|
    whole = texel_size(positions)
    torch.testing.assert_close(whole, torch.full_like(whole, exact))
    mask = torch.zeros(1, 1, 12, 9)
    mask[..., 2:7, 3:6] = 1
    mask[..., 10, 8] = 1  # alone: takes the others' mean
    masked = texel_size(torch.where(mask > 0, positions, float("nan")), mask)
    torch.testing.assert_close(masked, whole)
