"""Shadows on a patch: openness as a cone, and strangers' shadows."""

import math

import pytest
import torch

from realface.shading.lights import point_lights
from realface.shading.patch_shadows import aperture_visibility, stray_shadows

NORMALS = torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1)


def towards(degrees):
    angle = math.radians(degrees)
    return torch.tensor((math.sin(angle), 0.0, math.cos(angle))).view(1, 3, 1, 1)


@pytest.mark.parametrize("degrees", [0, 30, 60, 85])
def test_an_open_place_sees_every_light_above_its_horizon(degrees):
    open_sky = torch.ones(1, 1, 1, 1)
    assert aperture_visibility(open_sky, NORMALS, towards(degrees)).item() == 1


def test_a_cavity_sees_its_cone_alone():
    """Half the cosine-weighted sky is the cone of 45 degrees."""
    half = torch.full((1, 1, 1, 1), 0.5)
    assert aperture_visibility(half, NORMALS, towards(20)).item() == 1
    assert aperture_visibility(half, NORMALS, towards(44.9)).item() == pytest.approx(1, abs=0.02)
    assert aperture_visibility(half, NORMALS, towards(70)).item() == 0
    shut = torch.zeros(1, 1, 1, 1)
    assert aperture_visibility(shut, NORMALS, towards(80)).item() == 0


def lights(batch):
    return point_lights(torch.ones(batch, 3, 3), torch.ones(batch, 3, 3), torch.ones(batch, 3))


def test_stray_shadows_are_seeded_shares_of_light():
    draw = [
        stray_shadows(lights(8), 96, 64, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert draw[0].shape == (8, 3, 96, 64)
    assert draw[0].min() >= 0
    assert draw[0].max() <= 1
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_as_many_lights_are_shadowed_as_asked():
    seen = stray_shadows(lights(400), 48, 48, probability=0.25)
    shadowed = (seen.amin(dim=(2, 3)) < 0.5).float().mean()
    assert 0.05 < shadowed < 0.25  # some shadows miss the patch
    assert (stray_shadows(lights(50), 48, 48, probability=0.0) == 1).all()


def test_shadows_are_softer_under_a_wider_light():
    narrow, generator = lights(200), torch.Generator
    wide = type(narrow)(
        narrow.positions, narrow.colours, torch.full_like(narrow.radii, 0.3), narrow.harmonics
    )
    steps = []
    for one in (narrow, wide):
        seen = stray_shadows(one, 64, 64, probability=1.0, generator=generator().manual_seed(5))
        steps.append((seen[..., 1:] - seen[..., :-1]).abs().amax())
    assert steps[0] > 3 * steps[1]
