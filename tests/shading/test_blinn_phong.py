"""Shading against its closed forms."""

import math

import pytest
import torch

from realface.maps.encoding import unit
from realface.maps.spaces import mirror_vectors, tangent_to_object
from realface.shading.blinn_phong import (
    exponent_from_shininess,
    lit_texture,
    shade,
    specular_lobe,
)
from realface.shading.lights import Lights, random_lights
from tests.faces import face_batch

MAPS = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")


def texel(*vector: float) -> torch.Tensor:
    return torch.tensor(vector, dtype=torch.float64).view(1, -1, 1, 1)


def one_light(position, colour=(1.0, 1.0, 1.0), ambient=0.0, dtype=torch.float64) -> Lights:
    return Lights(
        torch.tensor([[position]], dtype=dtype),
        torch.tensor([[colour]], dtype=dtype),
        torch.full((1, 3), ambient, dtype=dtype),
    )


def face(**changed) -> list[torch.Tensor]:
    batch = {**face_batch(16), **changed}
    return [batch[kind] for kind in MAPS]


def test_lobe_is_one_where_the_normal_halves_light_and_view():
    light, view = unit(texel(1, 0, 1)), unit(texel(-1, 0, 1))
    for exponent in (1.0, 27.0, 140.0):
        lobe = specular_lobe(texel(0, 0, 1), light, view, torch.tensor(exponent))
        torch.testing.assert_close(lobe.item(), 1.0)


def test_lobe_falls_as_the_power_of_the_cosine():
    angle = 0.3  # between normal and half vector
    normal = texel(math.sin(angle), 0, math.cos(angle))
    lobe = specular_lobe(normal, texel(0, 0, 1), texel(0, 0, 1), torch.tensor(9.0))
    assert lobe.item() == pytest.approx(math.cos(angle) ** 9)


def test_lobe_is_zero_below_the_horizon():
    light = unit(texel(1, 0, -0.01))
    assert specular_lobe(texel(0, 0, 1), light, texel(0, 0, 1), torch.tensor(1.0)).item() == 0


@pytest.mark.parametrize("degrees", [0.0, 30.0, 75.0, 90.0, 120.0])
def test_diffuse_is_lamberts_cosine(degrees):
    angle = math.radians(degrees)
    lights = one_light((1e3 * math.sin(angle), 0.0, 1e3 * math.cos(angle)), (0.5, 1.0, 2.0))
    albedo = texel(0.2, 0.4, 0.8)
    out = shade(albedo, texel(0), texel(0, 0, 1), texel(0, 0, 1), texel(0, 0, 0), lights)
    colour = torch.tensor((0.5, 1.0, 2.0), dtype=torch.float64)
    expected = max(0.0, math.cos(angle)) * colour * albedo.flatten()
    torch.testing.assert_close(out.flatten(), expected, atol=1e-9, rtol=1e-9)


def test_light_between_camera_and_surface_shows_the_whole_specular_albedo():
    lights = one_light((0.0, 0.0, 500.0))
    out = shade(texel(0, 0, 0), texel(0.3), texel(0, 0, 1), texel(0, 0, 1), texel(0, 0, 0), lights)
    torch.testing.assert_close(out.flatten(), texel(0.3, 0.3, 0.3).flatten())


def test_ambient_alone_is_albedo_times_ambient_whatever_the_normals():
    diffuse, specular, _, _, shape = face()
    lights = Lights(torch.zeros(2, 0, 3), torch.zeros(2, 0, 3), torch.full((2, 3), 0.3))
    normals = unit(torch.randn_like(diffuse))
    torch.testing.assert_close(
        shade(diffuse, specular, normals, normals, shape, lights), 0.3 * diffuse
    )


def test_no_light_is_black():
    lights = one_light((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), dtype=torch.float32)
    maps = face()
    lights = Lights(*(values.expand(2, *values.shape[1:]) for values in vars(lights).values()))
    assert shade(*maps, lights).abs().max() == 0


def test_linear_in_the_light_and_additive_over_lights():
    maps, lights = face(), random_lights(2)
    whole = shade(*maps, lights)
    brighter = Lights(lights.positions, 3 * lights.colours, 3 * lights.ambient)
    torch.testing.assert_close(shade(*maps, brighter), 3 * whole)
    none = torch.zeros_like(lights.ambient)
    parts = [
        shade(*maps, Lights(lights.positions[:, i : i + 1], lights.colours[:, i : i + 1], none))
        for i in range(lights.positions.shape[1])
    ]
    only_ambient = Lights(lights.positions[:, :0], lights.colours[:, :0], lights.ambient)
    torch.testing.assert_close(sum(parts) + shade(*maps, only_ambient), whole)


def test_occlusion_dims_ambient_light_only():
    maps, lights = face(), random_lights(2)
    dim = torch.rand(2, 1, 16, 16)
    lost = shade(*maps, lights) - shade(*maps, lights, occlusion=dim)
    expected = maps[0] * lights.ambient[:, :, None, None] * (1 - dim)
    torch.testing.assert_close(lost, expected, atol=1e-6, rtol=1e-4)


def test_gradients():
    torch.manual_seed(0)
    shape = (1, 3, 2, 2)
    raw = torch.randn(shape, dtype=torch.float64) * 0.3
    arguments = [
        torch.rand(shape, dtype=torch.float64),
        torch.rand(1, 1, 2, 2, dtype=torch.float64),
        unit(raw + texel(0, 0, 1)),
        unit(raw.flip(-1) + texel(0, 0, 1)),
        10 * raw,
        torch.full((1, 1, 2, 2), 9.0, dtype=torch.float64),
    ]
    for argument in arguments:
        argument.requires_grad_()
    lights = one_light((100.0, 200.0, 500.0), ambient=0.1)

    def shaded(*maps):
        return shade(*maps[:5], lights, exponent=maps[5])

    assert torch.autograd.gradcheck(shaded, arguments)


def test_gradient_is_finite_where_the_highlight_is_not_seen():
    normals = texel(0, 0, -1).requires_grad_()
    light = texel(0, 0, 1)
    specular_lobe(normals, light, light, torch.tensor(0.5)).sum().backward()
    assert torch.isfinite(normals.grad).all()


def test_head_turned_with_its_lights_looks_the_same():
    diffuse, specular, normals, fine, shape = (values.double() for values in face())
    lights = random_lights(2)
    lights = Lights(*(values.double() for values in vars(lights).values()))

    def turned(matrix):
        maps = [torch.einsum("ij,bjhw->bihw", matrix, values) for values in (normals, fine, shape)]
        around = Lights(lights.positions @ matrix.T, lights.colours, lights.ambient)
        return maps, around

    a = 0.7
    roll = torch.tensor(
        [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]],
        dtype=torch.float64,
    )
    before = shade(diffuse, specular, normals, fine, shape, lights)
    maps, around = turned(roll)  # about the view axis, which leaves the camera where it is
    torch.testing.assert_close(shade(diffuse, specular, *maps, around), before)
    matte = torch.zeros_like(specular)
    maps, around = turned(roll[[2, 0, 1]])  # any rotation: diffuse light has no camera
    torch.testing.assert_close(
        shade(diffuse, matte, *maps, around), shade(diffuse, matte, normals, fine, shape, lights)
    )


def test_flat_tangent_normals_shade_as_the_shape_does():
    batch = face_batch(16)
    base = batch["shape_normals"]
    tangents = unit(torch.linalg.cross(torch.tensor((0.0, 1, 0)).view(1, 3, 1, 1), base, dim=1))
    flat = torch.zeros_like(base)
    flat[:, 2] = 1
    detail = tangent_to_object(flat, tangents, base, torch.ones_like(base[:, :1]))
    lights = random_lights(2)
    torch.testing.assert_close(
        shade(*face(specular_normals=detail), lights), shade(*face(specular_normals=base), lights)
    )


def test_mirrored_face_under_mirrored_lights_is_the_mirrored_image():
    batch, lights = face_batch(16), random_lights(2)
    vectors = ("diffuse_normals", "specular_normals", "shape")
    mirrored = {
        kind: mirror_vectors(batch[kind]) if kind in vectors else batch[kind].flip(-1)
        for kind in MAPS
    }
    straight = lit_texture({kind: batch[kind] for kind in MAPS}, lights)
    torch.testing.assert_close(lit_texture(mirrored, lights.mirrored()), straight.flip(-1))
    assert (lit_texture(mirrored, lights) - straight.flip(-1)).abs().max() > 0.01


def test_texture_is_clipped_srgb_and_reads_the_optional_maps():
    batch, lights = {kind: face_batch(16)[kind] for kind in MAPS}, random_lights(2)
    texture = lit_texture(batch, lights)
    assert texture.min() >= 0
    assert texture.max() <= 1
    bright = Lights(lights.positions, 100 * lights.colours, lights.ambient)
    torch.testing.assert_close(lit_texture(batch, bright).max(), torch.tensor(1.0))
    dark = lit_texture({**batch, "occlusion": torch.zeros(2, 1, 16, 16)}, lights)
    assert (dark <= texture).all()
    assert dark.mean() < texture.mean()
    shininess = torch.full((2, 1, 16, 16), 0.9)
    torch.testing.assert_close(
        lit_texture({**batch, "exponent": shininess}, lights),
        lit_texture(batch, lights, exponent=float(exponent_from_shininess(torch.tensor(0.9)))),
    )
