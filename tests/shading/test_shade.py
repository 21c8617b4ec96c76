"""Shading of whole faces: closed forms, linearity, symmetry, gradients."""

import math
from dataclasses import replace

import pytest
import torch

from realface.maps.encoding import srgb_to_linear, unit
from realface.maps.kinds import KINDS
from realface.maps.spaces import tangent_to_object
from realface.shading import blinn_phong, ggx, harmonics
from realface.shading.environment import Environment
from realface.shading.lights import Lights, point_lights
from realface.shading.shade import CAMERA_DISTANCE, lit_texture, shade, specular_occlusion
from realface.shading.subsurface import scatter, texel_size
from tests.faces import face_batch
from tests.shading.spheres import rotation, smooth_surround, texel

MAPS = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")
MODELS = ("blinn_phong", "normalised_blinn_phong", "ggx")
UP = texel(0, 0, 1)


def face(**changed) -> list[torch.Tensor]:
    batch = {**face_batch(16), **changed}
    return [batch[kind].double() for kind in MAPS]


def one_light(position, colour=(1.0, 1.0, 1.0), ambient=0.0) -> Lights:
    wide = {"dtype": torch.float64}
    return point_lights(
        torch.tensor([[position]], **wide),
        torch.tensor([[colour]], **wide),
        torch.full((1, 3), ambient, **wide),
    )


def every_light(batch: int = 2) -> Lights:
    """Two points, a direction, harmonics and reflections, in float64."""
    wide = {"dtype": torch.float64}
    places = (((-500, 300, 700, 1), (0.3, 0.5, 0.8, 0), (600, 0, 500, 1)),)
    positions = torch.tensor(places, **wide) / torch.tensor(((1.0,), (0.98**0.5,), (1.0,)), **wide)
    surround = Environment(smooth_surround(16)).prefiltered((9.0, 27.0, 81.0))
    one = replace(
        surround,
        positions=positions,
        colours=torch.rand(1, 3, 3, **wide),
        radii=torch.zeros(1, 3, **wide),
    )
    return expanded(one, batch)


def lamps() -> Lights:
    """Three lamps and ambient light for two, in float32."""
    positions = torch.tensor(((-500.0, 300, 700), (600, 0, 600), (0, 800, 400)))
    return point_lights(
        positions.expand(2, 3, 3), 0.2 + 0.3 * torch.rand(2, 3, 3), torch.full((2, 3), 0.25)
    )


def expanded(lights: Lights, batch: int) -> Lights:
    reflections = lights.reflections
    if reflections is not None:
        radiance = reflections.radiance.expand(batch, -1, -1, -1, -1)
        reflections = replace(reflections, radiance=radiance)
    return Lights(
        lights.positions.expand(batch, -1, -1),
        lights.colours.expand(batch, -1, -1),
        lights.radii.expand(batch, -1),
        lights.harmonics.expand(batch, -1, -1),
        reflections,
    )


@pytest.mark.parametrize("finite", [0.0, 1.0])
@pytest.mark.parametrize("degrees", [0.0, 30.0, 75.0, 90.0, 120.0])
def test_diffuse_is_lamberts_cosine(degrees, finite):
    angle = math.radians(degrees)
    far = 1e3 if finite else 1.0
    lights = one_light((far * math.sin(angle), 0.0, far * math.cos(angle)), (0.5, 1.0, 2.0))
    lights.positions[..., 3] = finite
    albedo = texel(0.2, 0.4, 0.8)
    out = shade(albedo, texel(0), UP, UP, texel(0, 0, 0), lights)
    colour = torch.tensor((0.5, 1.0, 2.0), dtype=torch.float64)
    expected = max(0.0, math.cos(angle)) * colour * albedo.flatten()
    torch.testing.assert_close(out.flatten(), expected, atol=1e-9, rtol=1e-9)


def test_a_direction_lights_every_place_alike_and_a_point_does_not():
    lights = one_light((0.0, 0.6, 0.8))
    maps = texel(1, 1, 1), texel(0), UP, UP
    far = one_light((0.0, 600.0, 800.0))
    lights.positions[..., 3] = 0
    for lamp, same in ((lights, True), (far, False)):
        here, there = (shade(*maps, texel(0, y, 0), lamp) for y in (0, 300))
        assert torch.allclose(here, there) == same


@pytest.mark.parametrize("model", MODELS)
def test_light_at_the_camera_shows_the_peak(model):
    out = shade(texel(0, 0, 0), texel(0.04), UP, UP, texel(0, 0, 0), one_light((0.0, 0.0, 500.0)),
                specular=model, exponent=30.0)  # fmt: skip
    # Exponent 30 is roughness 0.5, alpha 1 / 4: GGX's peak is F0 / (4 alpha^2).
    peak = {
        "blinn_phong": 1.0,
        "ggx": 4.0,
        "normalised_blinn_phong": 32 * 34 / (8 * (30 + 2**-15)),
    }[model]
    torch.testing.assert_close(out.flatten(), texel(*[0.04 * peak] * 3).flatten())


def test_lobe_is_that_of_the_half_vector():
    light, exponent = unit(texel(1, 2, 2)), 12.0
    view, normal = unit(texel(-1, 0.5, 2)), unit(texel(0.1, 0.3, 1))
    half = unit(light + view)
    cosines = {"h": (normal * half).sum(), "l": (normal * light).sum(), "v": (normal * view).sum()}
    lights = one_light(tuple(light.flatten().tolist()))
    lights.positions[..., 3] = 0
    black = texel(0, 0, 0)
    out = shade(black, texel(0.3), UP, normal, black, lights, view=view, exponent=exponent)
    torch.testing.assert_close(out[:, 0].sum(), 0.3 * cosines["h"] ** exponent)
    out = shade(black, texel(0.3), UP, normal, black, lights, view=view, exponent=exponent,
                specular="ggx")  # fmt: skip
    expected = ggx.specular_lobe(
        cosines["l"], cosines["v"], cosines["h"], (view * half).sum(), texel(0.3),
        ggx.roughness_from_exponent(texel(exponent)),
    )  # fmt: skip
    torch.testing.assert_close(out[:, :1], expected)


def test_camera_stands_on_the_axis_at_its_distance():
    maps, lights = face(), every_light()
    usual = shade(*maps, lights)
    torch.testing.assert_close(shade(*maps, lights, view=CAMERA_DISTANCE), usual)
    axis = texel(0, 0, 400)
    torch.testing.assert_close(
        shade(*maps, lights, view=unit(axis - maps[4])), shade(*maps, lights, view=400.0)
    )
    assert (shade(*maps, lights, view=400.0) - usual).abs().max() > 1e-3


def test_constant_light_on_a_matte_face_is_albedo_times_light():
    diffuse, specular, _, _, shape = face()
    lights = expanded(one_light((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), ambient=0.3), 2)
    normals = unit(torch.randn_like(diffuse))
    matte = torch.zeros_like(specular)
    torch.testing.assert_close(
        shade(diffuse, matte, normals, normals, shape, lights), 0.3 * diffuse
    )


def test_linear_in_the_light_and_additive_over_lights():
    maps, lights = face(), every_light()
    whole = shade(*maps, lights)
    brighter = replace(
        lights,
        colours=3 * lights.colours,
        harmonics=3 * lights.harmonics,
        reflections=replace(lights.reflections, radiance=3 * lights.reflections.radiance),
    )
    torch.testing.assert_close(shade(*maps, brighter), 3 * whole)
    dark = torch.zeros_like(lights.harmonics)
    parts = [
        shade(*maps, Lights(lights.positions[:, i : i + 1], lights.colours[:, i : i + 1],
                            lights.radii[:, i : i + 1], dark))
        for i in range(3)
    ]  # fmt: skip
    none = replace(lights, positions=lights.positions[:, :0], colours=lights.colours[:, :0])
    torch.testing.assert_close(sum(parts) + shade(*maps, none), whole)


def test_lights_of_a_batch_of_one_light_every_subject():
    maps = face()
    lights = every_light(1)
    torch.testing.assert_close(shade(*maps, lights), shade(*maps, expanded(lights, 2)))


def test_occlusion_dims_the_surroundings_and_not_the_lamps():
    maps, lights = face(), every_light()
    black = torch.zeros_like(lights.harmonics)
    alone = replace(lights, harmonics=black, reflections=None)
    dim = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(shade(*maps, alone, occlusion=dim), shade(*maps, alone))
    matte = [maps[0], torch.zeros_like(maps[1]), *maps[2:]]
    lost = shade(*matte, lights) - shade(*matte, lights, occlusion=dim)
    expected = maps[0] * harmonics.irradiance(lights.harmonics, maps[2]) * (1 - dim)
    torch.testing.assert_close(lost, expected)
    closed = shade(*maps, lights, occlusion=torch.zeros_like(dim))
    assert ((closed - shade(*maps, alone)).abs() < 1e-2).all()  # the mirror closes too


def test_specular_occlusion_is_none_open_and_all_closed():
    cos_view = torch.linspace(0.1, 1, 10, dtype=torch.float64).view(1, 1, 1, -1)
    rough = texel(0.5)
    one = torch.ones_like(cos_view)
    torch.testing.assert_close(specular_occlusion(cos_view, one, rough).clamp(max=1), one)
    assert specular_occlusion(cos_view, 0 * one, rough).max() < 0.01
    # alpha 1 / 4: the power is 2^-5. (0.5 + 0.6)^(1 / 32) - 0.4
    value = specular_occlusion(texel(0.5), texel(0.6), rough).item()
    assert value == pytest.approx(1.1 ** (1 / 32) - 0.4)


def test_visibility_dims_its_own_lamp():
    maps, lights = face(), every_light()
    seen = torch.ones(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(shade(*maps, lights, visibility=seen), shade(*maps, lights))
    seen[:, 1] = 0.25
    colours = lights.colours * torch.tensor((1, 0.25, 1), dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        shade(*maps, lights, visibility=seen), shade(*maps, replace(lights, colours=colours))
    )


def test_scattering_spreads_the_diffuse_light_before_the_albedo():
    maps, lights = face(), every_light()
    radii, mask = (3.0, 1.0, 0.5), face_batch(16)["mask"].double()
    white = [torch.ones_like(maps[0]), torch.zeros_like(maps[1]), *maps[2:]]
    light = shade(*white, lights)
    spread = scatter(light, mask, texel_size(maps[4], mask), radii)
    glossy = [torch.zeros_like(maps[0]), *maps[1:]]
    found = shade(*maps, lights, scattering=radii, mask=mask)
    torch.testing.assert_close(found, maps[0] * spread + shade(*glossy, lights))
    assert (spread - light).abs().max() > 0.01
    half = torch.full_like(mask, 0.5)
    torch.testing.assert_close(
        shade(*maps, lights, scattering=radii, mask=mask, translucency=half),
        (found + shade(*maps, lights)) / 2,
    )


@pytest.mark.parametrize("model", MODELS)
def test_gradients(model):
    shape = (1, 3, 2, 2)
    raw = torch.randn(shape, dtype=torch.float64) * 0.3
    lights = every_light(1)
    arguments = [
        torch.rand(shape, dtype=torch.float64),
        torch.rand(1, 1, 2, 2, dtype=torch.float64),
        unit(raw + UP),
        unit(raw.flip(-1) + UP),
        10 * raw,
        torch.full((1, 1, 2, 2), 12.0, dtype=torch.float64),
        lights.colours.clone(),
        lights.harmonics.clone(),
        lights.reflections.radiance[..., ::4, ::4].clone(),
    ]
    for argument in arguments:
        argument.requires_grad_()

    def shaded(*values):
        colours, radiance, mirrored = values[6:]
        changed = replace(
            lights,
            colours=colours,
            harmonics=radiance,
            reflections=replace(lights.reflections, radiance=mirrored),
        )
        return shade(*values[:5], changed, exponent=values[5], specular=model)

    assert torch.autograd.gradcheck(shaded, arguments)
    rough = torch.full((1, 1, 2, 2), 0.6, dtype=torch.float64).requires_grad_()
    fixed = [argument.detach() for argument in arguments[:5]]
    assert model != "ggx" or torch.autograd.gradcheck(
        lambda value: shade(*fixed, lights, roughness=value, specular="ggx"), (rough,)
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("exponent", "roughness"), [(0.0, 1.0), (0.3, 0.0), (1e4, 1e-3)])
def test_nothing_is_infinite_whatever_the_maps_hold(model, exponent, roughness):
    """Zero, too long and averted normals, texels at a lamp, the smoothest and the dullest skin."""
    normals = unit(torch.randn(1, 3, 8, 8)) * torch.linspace(0, 1.1, 8)
    shape = 50 * torch.randn(1, 3, 8, 8) * (torch.arange(8) > 0)
    # Behind the head, within it, and at the camera.
    places = torch.tensor((((0.0, 0, -1, 0), (0, 0, 0, 1), (0, 0, CAMERA_DISTANCE, 1)),))
    surround = harmonics.constant(torch.ones(1, 3))
    lights = Lights(places, torch.ones(1, 3, 3), torch.zeros(1, 3), surround)
    one = torch.ones(1, 1, 8, 8)
    maps = [torch.rand(1, 3, 8, 8), 0.04 * one, normals, normals.flip(2), shape]
    maps += [exponent * one, roughness * one]
    for values in maps:
        values.requires_grad_()
    *maps, power, rough = maps
    lit = shade(*maps, lights, exponent=power, roughness=rough, specular=model, occlusion=0 * one)
    assert torch.isfinite(lit).all()
    assert model != "blinn_phong" or float(lit.detach().max()) < 5
    lit.sum().backward()
    for values in (*maps, power, rough):
        assert values.grad is None or torch.isfinite(values.grad).all()


@pytest.mark.parametrize("model", MODELS)
def test_head_turned_with_its_lights_and_camera_looks_the_same(model):
    diffuse, specular, normals, fine, shape = face()
    lights, view = every_light(), unit(texel(100, 50, 800) - shape)
    lights = replace(lights, reflections=None)
    matrix = rotation(0.4, -1.2, 0.8)
    turned = [torch.einsum("ij,bjhw->bihw", matrix, v) for v in (normals, fine, shape, view)]
    before = shade(diffuse, specular, normals, fine, shape, lights, view=view, specular=model)
    after = shade(
        diffuse, specular, *turned[:3], lights.rotated(matrix), view=turned[3], specular=model
    )
    torch.testing.assert_close(after, before)


def test_turned_reflections_look_the_same_but_for_their_resampling():
    maps, view = face(), unit(texel(100, 50, 800) - face()[4])
    lights = expanded(Environment(smooth_surround(64)).prefiltered((9.0, 27.0, 81.0)), 2)
    matrix = rotation(0.4, -1.2, 0.8)
    turned = [torch.einsum("ij,bjhw->bihw", matrix, values) for values in (*maps[2:], view)]
    before = shade(*maps, lights, view=view)
    after = shade(*maps[:2], *turned[:3], lights.rotated(matrix), view=turned[3])
    torch.testing.assert_close(after, before, atol=2e-3, rtol=0)


def test_flat_tangent_normals_shade_as_the_shape_does():
    base = face_batch(16)["shape_normals"]
    tangents = unit(torch.linalg.cross(torch.tensor((0.0, 1, 0)).view(1, 3, 1, 1), base, dim=1))
    flat = torch.zeros_like(base)
    flat[:, 2] = 1
    detail = tangent_to_object(flat, tangents, base, torch.ones_like(base[:, :1]))
    lights = every_light()
    torch.testing.assert_close(
        shade(*face(specular_normals=detail), lights),
        shade(*face(specular_normals=base), lights),
        atol=1e-5,
        rtol=1e-5,
    )


def test_mirrored_face_under_mirrored_lights_is_the_mirrored_image():
    maps, lights = dict(zip(MAPS, face(), strict=True)), every_light()
    mirror = torch.tensor(((-1.0, 0.0), (0.0, 1.0)))
    mirrored = {kind: KINDS[kind].moved(maps[kind].flip(-1), mirror) for kind in MAPS}
    straight = lit_texture(maps, lights)
    torch.testing.assert_close(lit_texture(mirrored, lights.mirrored()), straight.flip(-1))
    assert (lit_texture(mirrored, lights) - straight.flip(-1)).abs().max() > 0.01


def test_texture_is_clipped_srgb_and_reads_the_optional_maps():
    batch, lights = {kind: face_batch(16)[kind] for kind in MAPS}, lamps()
    texture = lit_texture(batch, lights)
    assert texture.dtype == torch.float32
    assert texture.min() >= 0
    assert texture.max() <= 1
    bright = replace(lights, colours=100 * lights.colours)
    torch.testing.assert_close(lit_texture(batch, bright).max(), torch.tensor(1.0))
    dark = lit_texture({**batch, "occlusion": torch.zeros(2, 1, 16, 16)}, lights)
    assert (dark <= texture).all()
    assert dark.mean() < texture.mean()
    shininess = torch.full((2, 1, 16, 16), 0.9)
    power = float(blinn_phong.exponent_from_shininess(torch.tensor(0.9)))
    torch.testing.assert_close(
        lit_texture({**batch, "exponent": shininess}, lights),
        lit_texture(batch, lights, exponent=power),
    )


def test_texture_passes_its_options_on():
    batch, lights = face_batch(16), lamps()
    usual = {"view": 700.0, "visibility": torch.rand(2, 3, 16, 16), "exponent": 40.0}
    radiance = shade(
        srgb_to_linear(batch["diffuse_albedo"]), batch["specular_albedo"],
        *(batch[kind] for kind in MAPS[2:]), lights, **usual,
        scattering=(2.0, 1.0, 0.5), mask=batch["mask"],
    ).clamp(0, 1)  # fmt: skip
    texture = lit_texture(batch, lights, **usual, scattering=(2.0, 1.0, 0.5))
    torch.testing.assert_close(srgb_to_linear(texture), radiance)
    opaque = {**batch, "translucency": torch.zeros(2, 1, 16, 16)}
    torch.testing.assert_close(
        lit_texture(opaque, lights, scattering=(2.0, 1.0, 0.5)), lit_texture(batch, lights)
    )


def test_every_model_shows_a_highlight_of_about_the_same_peak():
    light = one_light((0.0, 0.0, 900.0), (0.5, 0.5, 0.5))
    maps = {
        "diffuse_albedo": texel(0, 0, 0),
        "specular_albedo": texel(0.3),
        "diffuse_normals": UP,
        "specular_normals": UP,
        "shape": texel(0, 0, 0),
    }
    plain, normalised, facets = (
        srgb_to_linear(lit_texture(maps, light, specular=model)).mean().item() for model in MODELS
    )
    assert plain == pytest.approx(0.15)
    assert normalised == pytest.approx(plain)
    assert facets == pytest.approx(plain, rel=0.2)


def test_a_model_that_is_none_is_refused():
    maps = face_batch(16)
    lights = point_lights(torch.ones(1, 1, 3), torch.ones(1, 1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="'phong'"):
        lit_texture(maps, lights, specular="phong")


@pytest.mark.parametrize("model", ["blinn_phong", "normalised_blinn_phong", "ggx"])
def test_surfaces_that_turn_away_show_no_edge(model):
    """Mirrored surroundings fade out: one degree at a time, none is a step."""
    angles = torch.deg2rad(torch.arange(60.0, 121.0)).view(1, 1, 1, -1)
    normals = torch.cat((angles.sin(), torch.zeros_like(angles), angles.cos()), dim=1)
    albedo = torch.full((1, 3, 1, angles.shape[-1]), 0.3)
    nowhere = torch.zeros(1, 0, 3)
    light = shade(
        albedo, 0.05 * torch.ones_like(albedo[:, :1]), normals, normals, torch.zeros_like(albedo),
        point_lights(nowhere, nowhere, torch.ones(1, 3)), specular=model,
    )  # fmt: skip
    assert (light[..., 1:] - light[..., :-1]).abs().max() < 0.06
