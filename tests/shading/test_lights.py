"""Lights: mirrored, turned, and made of points."""

import torch

from realface.shading import harmonics
from realface.shading.lights import Lights, Reflections, point_lights
from tests.shading.spheres import rotation


def some_lights(batch: int = 2) -> Lights:
    wide = {"dtype": torch.float64}
    positions = torch.randn(batch, 3, 4, **wide)
    positions[..., 3] = torch.tensor((1.0, 0.0, 1.0))
    reflections = Reflections(torch.rand(batch, 2, 3, 6, 12, **wide), torch.tensor((9.0, 60.0)))
    return Lights(
        positions,
        torch.rand(batch, 3, 3, **wide),
        torch.rand(batch, 3, **wide),
        torch.randn(batch, 9, 3, **wide),
        reflections,
    )


def test_mirrored_negates_x_and_twice_is_nothing():
    lights = some_lights()
    mirrored = lights.mirrored()
    assert torch.equal(mirrored.positions[..., 0], -lights.positions[..., 0])
    assert torch.equal(mirrored.positions[..., 1:], lights.positions[..., 1:])
    assert torch.equal(mirrored.reflections.radiance, lights.reflections.radiance.flip(-1))
    for name in ("positions", "harmonics"):
        assert not torch.equal(getattr(mirrored, name), getattr(lights, name))
        assert torch.equal(getattr(mirrored.mirrored(), name), getattr(lights, name))
    assert torch.equal(mirrored.colours, lights.colours)
    assert torch.equal(mirrored.radii, lights.radii)


def test_rotated_turns_points_directions_and_surroundings_alike():
    lights = some_lights()
    matrices = torch.stack((rotation(0.3, 1.1, -0.6), rotation(0, 0.5, 0)))
    turned = lights.rotated(matrices)
    for sample in range(2):
        expected = lights.positions[sample, :, :3] @ matrices[sample].T
        torch.testing.assert_close(turned.positions[sample, :, :3], expected)
    assert torch.equal(turned.positions[..., 3], lights.positions[..., 3])
    torch.testing.assert_close(turned.harmonics, harmonics.rotate(lights.harmonics, matrices))
    torch.testing.assert_close(turned.rotated(matrices.mT).positions, lights.positions)
    torch.testing.assert_close(
        lights.rotated(matrices[1]).reflections.radiance[1], turned.reflections.radiance[1]
    )


def test_lights_without_reflections_turn_and_mirror_too():
    lights = point_lights(torch.rand(2, 1, 3), torch.rand(2, 1, 3), torch.rand(2, 3))
    assert lights.mirrored().reflections is None
    assert lights.rotated(torch.eye(3)).reflections is None


def test_point_lights_are_hard_points_amid_an_even_surround():
    positions, colours, ambient = torch.rand(2, 4, 3), torch.rand(2, 4, 3), torch.rand(2, 3)
    lights = point_lights(positions, colours, ambient)
    assert torch.equal(lights.positions[..., :3], positions)
    assert (lights.positions[..., 3] == 1).all()
    assert lights.radii.shape == (2, 4)
    assert lights.radii.abs().max() == 0
    assert torch.equal(lights.colours, colours)
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 5, 5), dim=1)
    torch.testing.assert_close(
        harmonics.irradiance(lights.harmonics, normals),
        ambient[..., None, None].expand(2, 3, 5, 5),
    )
