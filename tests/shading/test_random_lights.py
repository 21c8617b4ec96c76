"""Random lights: seeded, of the right form, and as varied as real surroundings are."""

import math

import pytest
import torch
import torch.nn.functional as F

from realface.shading import harmonics
from realface.shading.random_lights import (
    lobe_harmonics,
    planckian,
    studio_lights,
    varied_lights,
)

BOTH = pytest.mark.parametrize("draw", [studio_lights, varied_lights])


def seeded(draw, batch, seed):
    return draw(batch, generator=torch.Generator().manual_seed(seed))


@BOTH
def test_equal_seeds_give_equal_lights(draw):
    first, again, other = seeded(draw, 4, 1), seeded(draw, 4, 1), seeded(draw, 4, 2)
    assert torch.equal(first.positions, again.positions)
    assert torch.equal(first.harmonics, again.harmonics)
    assert not torch.equal(first.positions, other.positions)
    assert not torch.equal(first.harmonics, other.harmonics)


@BOTH
def test_lights_are_finite_coloured_and_outside_the_head(draw):
    lights = seeded(draw, 500, 0)
    for values in (lights.positions, lights.colours, lights.radii, lights.harmonics):
        assert values.isfinite().all()
    assert (lights.colours >= 0).all()
    assert (lights.radii >= 0).all()
    is_point = lights.positions[..., 3] == 1
    distance = lights.positions[..., :3].norm(dim=-1)
    assert (distance[is_point] > 180).all()  # mm: the head's own reach is about 120
    assert torch.allclose(distance[~is_point], torch.ones(()), atol=1e-5)


def test_varied_lights_range_as_real_ones_do():
    """Against two real maps, a square and a studio: first order over mean 0.99 and 1.0."""
    lights = seeded(varied_lights, 3000, 3)
    first = (lights.harmonics[:, 1:4].norm(dim=1) / lights.harmonics[:, 0]).mean(dim=1)
    low, high = torch.quantile(first, torch.tensor([0.05, 0.95])).tolist()
    assert low < 0.5
    assert high > 1.1
    assert high < math.sqrt(3)  # what a single point in the dark has
    mean = lights.harmonics[:, 0]
    ratio = mean.amax(dim=1) / mean.amin(dim=1)
    assert (ratio > 2).float().mean() > 0.1  # channels that differ twofold
    off = (lights.colours == 0).all(dim=-1).float().mean()
    assert 0.3 < off < 0.6


def test_exposure_clips_some_faces_and_darkens_others():
    lights = seeded(varied_lights, 3000, 4)
    ahead = torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1).expand(3000, 3, 1, 1)
    sky = harmonics.irradiance(lights.harmonics, ahead)[..., 0, 0]
    directions = F.normalize(lights.positions[..., :3], dim=-1)
    lamps = (directions[..., 2:].clamp(min=0) * lights.colours).sum(1)
    card = (sky + lamps).mean(dim=1)
    assert 0.6 < card.median() < 1.2
    assert (card > 1.5).float().mean() > 0.05
    assert (card < 0.6).float().mean() > 0.05


def test_a_lobe_is_projected_as_its_density_is():
    axis = F.normalize(torch.tensor((0.3, -0.5, 0.8), dtype=torch.float64), dim=0)
    kappa = 2.5
    found = lobe_harmonics(axis.view(1, 1, 3), torch.full((1, 1, 1), kappa, dtype=torch.float64))
    points = 200_000
    index = torch.arange(points, dtype=torch.float64) + 0.5
    height, turn = 1 - 2 * index / points, index * math.pi * (3 - math.sqrt(5))
    ring = (1 - height**2).sqrt()
    sphere = torch.stack((ring * turn.cos(), height, ring * turn.sin()))
    density = torch.exp(kappa * (axis @ sphere))
    density = density / density.mean()
    values = harmonics.basis(sphere.view(1, 3, points, 1))[0, ..., 0]
    assert torch.allclose(found[0, 0], (values * density).mean(1) * 4 * math.pi, atol=1e-3)


def test_black_bodies_go_from_orange_over_white_to_blue():
    candle, bulb, noon, sky = planckian(torch.tensor([1900.0, 2856.0, 6504.0, 12000.0]))
    luminance = torch.tensor((0.2126, 0.7152, 0.0722))
    for colour in (bulb, noon, sky):
        assert colour @ luminance == pytest.approx(1, abs=0.01)
    assert candle[0] > bulb[0] > noon[0] > sky[0]
    assert candle[2] < bulb[2] < noon[2] < sky[2]
    # Illuminant A, CIE 15: xy = (0.44757, 0.40745).
    assert bulb.tolist() == pytest.approx([1.8246, 0.8261, 0.2301], abs=0.03)
    assert noon.tolist() == pytest.approx([1, 1, 1], abs=0.06)
