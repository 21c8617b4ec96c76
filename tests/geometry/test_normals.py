import pytest
import torch

from realface.geometry.bake import bake
from realface.geometry.normals import blur_normals, blur_reach, normals_from_shape, unit_or
from tests.geometry.conftest import degrees_between

UP = torch.tensor([0.0, 0.0, 1.0])[:, None, None]


def paraboloid(height, width):
    """z = 1 - (x^2 + y^2) / 2 over [-1, 1]^2: shape and its normals."""
    y, x = torch.meshgrid(
        1 - 2 * (torch.arange(height) + 0.5) / height,
        2 * (torch.arange(width) + 0.5) / width - 1,
        indexing="ij",
    )
    normals = torch.stack([x, y, torch.ones_like(x)])
    return torch.stack([x, y, 1 - (x**2 + y**2) / 2]), normals / normals.norm(dim=0)


def bumpy(height=96, width=120):
    """Smooth unit normals over a map, tilting by up to 35 degrees."""
    y = torch.arange(height)[:, None] / 20
    x = torch.arange(width)[None] / 25
    slopes = torch.stack([0.5 * torch.sin(x + y), 0.5 * torch.cos(x - 0.7 * y)])
    return unit_or(torch.cat([slopes, torch.ones(1, height, width)]), (0.0, 0.0, 1.0))


def direct_blur(normals, mask, sigma):
    """The Gaussian by its definition, in float64."""
    height, width = mask.shape[1:]
    weights = [
        torch.exp(-((torch.arange(n)[:, None] - torch.arange(n)[None]) ** 2) / (2 * sigma**2))
        for n in (height, width)
    ]
    total = weights[0].double() @ (normals * mask).double() @ weights[1].double()
    return (total / total.norm(dim=0)).float()


def test_paraboloid():
    shape, expected = paraboloid(64, 96)
    found = normals_from_shape(shape, torch.ones(1, 64, 96))
    angle = degrees_between(found, expected)
    assert angle[1:-1, 1:-1].max() < 0.01  # central differences are exact on a parabola
    assert angle.max() < 1  # half a texel's turn at the border


def test_sphere_agrees_with_its_baked_normals(sphere):
    maps = bake(sphere, 192, 256)
    found = normals_from_shape(maps["shape"], maps["mask"], blur=2.0)
    angle = degrees_between(found, maps["shape_normals"])[16:-16]
    assert angle.mean() < 0.7
    assert angle.max() < 4


def test_blur_takes_out_the_steps_of_few_bits():
    shape, expected = paraboloid(128, 128)
    stepped = (shape * 500).round() / 500
    mask = torch.ones(1, 128, 128)
    rough = degrees_between(normals_from_shape(stepped, mask), expected).mean()
    soft = degrees_between(normals_from_shape(stepped, mask, blur=3.0), expected).mean()
    assert soft < rough / 4


def test_only_the_mask_is_read_and_the_rest_points_at_the_viewer():
    shape, expected = paraboloid(64, 64)
    mask = torch.zeros(1, 64, 64)
    mask[:, 10:50, 20:60] = 1
    inside = mask[0] > 0
    found = normals_from_shape(torch.where(mask > 0, shape, torch.nan), mask)
    assert degrees_between(found, expected)[inside].max() < 2.5
    assert torch.equal(found[:, ~inside], UP.expand(3, 64, 64)[:, ~inside])


def test_lonely_texels_point_at_the_viewer():
    mask = torch.zeros(1, 5, 5)
    mask[0, 2, 2] = 1
    assert torch.equal(normals_from_shape(torch.rand(3, 5, 5), mask), UP.expand(3, 5, 5))


def test_strips_do_not_show(monkeypatch):
    shape, _ = paraboloid(41, 20)
    mask = (torch.rand(1, 41, 20) > 0.2).float()
    whole = normals_from_shape(shape, mask)
    monkeypatch.setattr("realface.geometry.normals._TEXELS_AT_ONCE", 60)
    assert torch.equal(normals_from_shape(shape, mask), whole)


@pytest.mark.parametrize(("sigma", "tolerance"), [(0.7, 0.1), (4.0, 0.1), (9.0, 0.1), (20.0, 0.2)])
def test_blur_is_the_gaussian_mean(sigma, tolerance):
    normals = bumpy()
    mask = torch.ones(1, 96, 120)
    mask[:, 30:50, 40:80] = 0
    found = blur_normals(normals, mask, sigma)
    inside = mask[0] > 0
    assert degrees_between(found, direct_blur(normals, mask, sigma))[inside].mean() < tolerance
    assert torch.equal(found[:, ~inside], normals[:, ~inside])


@pytest.mark.parametrize("sigma", [0.0, 3.0, 30.0])
def test_blur_leaves_constant_normals_alone(sigma):
    normals = unit_or(torch.tensor([0.3, -0.5, 0.8])[:, None, None], (0.0, 0.0, 1.0))
    normals = normals.expand(3, 33, 47)
    mask = (torch.rand(1, 33, 47) > 0.5).float()
    assert degrees_between(blur_normals(normals, mask, sigma), normals).max() < 0.01


@pytest.mark.parametrize("sigma", [2.0, 12.0])
def test_blur_turns_with_the_vectors(sigma):
    normals = bumpy(40, 50)
    mask = torch.ones(1, 40, 50)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))
    turned = torch.einsum("ij,jhw->ihw", turn, normals)
    expected = torch.einsum("ij,jhw->ihw", turn, blur_normals(normals, mask, sigma))
    assert degrees_between(blur_normals(turned, mask, sigma), expected).max() < 0.01


@pytest.mark.parametrize("sigma", [2.0, 12.0])
def test_a_batch_is_blurred_as_each_of_it(sigma):
    normals = torch.stack((bumpy(40, 50), -bumpy(40, 50)))
    mask = (torch.rand(2, 1, 40, 50) > 0.2).float()
    both = blur_normals(normals, mask, sigma)
    for one, alone, valid in zip(both, normals, mask, strict=True):
        torch.testing.assert_close(one, blur_normals(alone, valid, sigma))


@pytest.mark.parametrize("sigma", [1.0, 7.9, 8.1, 20.0, 33.0])
def test_blur_reaches_no_farther_than_it_says(sigma):
    reach = blur_reach(sigma)
    side = 2 * reach + 64
    normals = UP.expand(3, side, side).clone()
    changed = normals.clone()
    changed[:, side // 2, side // 2] = torch.tensor((1.0, 0.0, 0.0))
    mask = torch.ones(1, side, side)
    moved = (blur_normals(normals, mask, sigma) - blur_normals(changed, mask, sigma)).abs().sum(0)
    rows = moved.amax(dim=1).nonzero()
    assert 2 * sigma < (rows - side // 2).abs().max() <= reach


def test_unit_or_replaces_what_has_no_direction():
    vectors = torch.zeros(3, 1, 3)
    vectors[:, 0, 1], vectors[:, 0, 2] = torch.tensor([0.0, 3.0, 4.0]), torch.nan
    expected = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8], [1, 0, 0]]).T[:, None]
    assert torch.allclose(unit_or(vectors, (1.0, 0.0, 0.0)), expected)
