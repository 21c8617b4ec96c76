"""Environment maps against the sum over all their texels as directional lights."""

import math

import imagecodecs
import numpy as np
import pytest
import torch

from realface.errors import InputError
from realface.maps.encoding import unit
from realface.maps.files import write_image
from realface.shading import harmonics, latlong
from realface.shading.environment import Environment, read_environment, reflected_radiance
from realface.shading.lights import Lights
from realface.shading.shade import shade
from tests.shading.spheres import (
    as_directional_lights,
    random_directions,
    rotation,
    smooth_surround,
    texel,
)

EXPONENTS = (3.0, 9.0, 27.0, 81.0, 243.0)


def brute_force(radiance: torch.Tensor) -> Lights:
    """Each texel a directional light, of a batch of one."""
    towards, colours = as_directional_lights(radiance)
    positions = torch.cat((towards, torch.zeros_like(towards[:, :1])), dim=1)
    dark = torch.zeros(1, 9, 3, dtype=torch.float64)
    return Lights(positions[None], colours[None], torch.zeros_like(colours[None, :, 0]), dark)


def glossy_sphere(degrees: float, size: int = 6):
    """Arguments of `shade` without diffuse albedo, seen at an angle from the normals."""
    normals = random_directions(1, size)
    aside = unit(torch.linalg.cross(normals, random_directions(1, size), dim=1))
    angle = math.radians(degrees)
    view = math.cos(angle) * normals + math.sin(angle) * aside
    black, bright = torch.zeros_like(normals), torch.full_like(normals[:, :1], 0.3)
    return (black, bright, normals, normals, black), view


# Largest error of the brightest highlight, at angles of view [degrees]: an oblique lobe is
# stretched and cut by the surface, and at 70 degrees up to 60 % off under a small lamp.
TOLERANCES = {
    "blinn_phong": {0: 0.03, 30: 0.08, 50: 0.18},
    "normalised_blinn_phong": {0: 0.04, 30: 0.22, 50: 0.40},
    "ggx": {0: 0.13, 30: 0.18, 50: 0.31},
}


@pytest.mark.parametrize("exponent", [9.0, 27.0, 50.0])
@pytest.mark.parametrize("specular", TOLERANCES)
def test_highlights_are_the_sum_over_all_lights(exponent, specular):
    radiance = smooth_surround(24)
    for degrees, tolerance in TOLERANCES[specular].items():
        maps, view = glossy_sphere(degrees)
        model = {"view": view, "exponent": exponent, "specular": specular}
        expected = shade(*maps, brute_force(radiance), **model)
        found = shade(*maps, Environment(radiance).prefiltered(EXPONENTS), **model)
        assert float((found - expected).abs().max()) < tolerance * float(expected.max()), degrees
        assert float(found.mean()) == pytest.approx(float(expected.mean()), rel=0.07), degrees


def test_diffuse_light_is_the_sum_over_all_lights():
    radiance, normals = smooth_surround(24), random_directions()
    white, black = torch.ones_like(normals), torch.zeros_like(normals)
    maps = white, black[:, :1], normals, normals, black
    expected = shade(*maps, brute_force(radiance))
    found = shade(*maps, Environment(radiance).prefiltered((27.0,)))
    assert float((found - expected).abs().max()) < 0.05 * float(expected.max())


def test_constant_surround_stays_constant():
    radiance = torch.full((3, 20, 40), 0.7, dtype=torch.float64)
    environment = Environment(radiance)
    reflections = environment.reflections(EXPONENTS, height=10)
    assert reflections.radiance.shape == (1, 5, 3, 10, 20)
    torch.testing.assert_close(reflections.radiance, torch.full_like(reflections.radiance, 0.7))
    towards = random_directions()
    for exponent in (1.0, 5.0, 1e5):
        power = torch.tensor(exponent, dtype=torch.float64)
        values = reflected_radiance(reflections, towards, power)
        torch.testing.assert_close(values, torch.full_like(values, 0.7))
    expected = harmonics.constant(torch.full((1, 3), 0.7, dtype=torch.float64))
    torch.testing.assert_close(environment.harmonics(), expected, atol=5e-3, rtol=0)


def test_reflections_are_the_mean_under_the_lobe():
    radiance = smooth_surround(24)
    reflections = Environment(radiance).reflections((27.0,))
    every, colours = as_directional_lights(radiance)
    texels = latlong.directions(24, 48, radiance).flatten(1)
    cosine = every @ texels
    weights = (cosine > 0) * (0.5 + 0.5 * cosine).clamp(min=0) ** 13.5
    share = as_directional_lights(torch.ones_like(radiance))[1][:, :1] * weights
    expected = (colours.T @ weights) / share.sum(0)
    # Texels just on the horizon fall to either side of it by rounding.
    found = reflections.radiance[0, 0].flatten(1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_levels_mix_in_the_logarithm_of_the_exponent():
    reflections = Environment(smooth_surround(16)).reflections((4.0, 16.0, 64.0))
    towards = random_directions()
    at = {
        power: reflected_radiance(reflections, towards, torch.tensor(power, dtype=torch.float64))
        for power in (4.0, 8.0, 16.0, 64.0, 1e3)
    }
    torch.testing.assert_close(at[8.0], (at[4.0] + at[16.0]) / 2)
    torch.testing.assert_close(at[1e3], at[64.0])
    assert (at[4.0] - at[16.0]).abs().max() > 0.01


def test_turned_and_mirrored_alike_in_every_form():
    environment = Environment(smooth_surround(64))
    matrix = rotation(0.4, -0.8, 0.3)
    turned = environment.rotated(matrix)
    torch.testing.assert_close(
        turned.harmonics(), harmonics.rotate(environment.harmonics(), matrix), atol=0.01, rtol=0
    )
    there = environment.reflections((9.0, 27.0)).rotated(matrix)
    assert (there.radiance - turned.reflections((9.0, 27.0)).radiance).abs().max() < 0.02
    mirrored = environment.mirrored()
    torch.testing.assert_close(mirrored.harmonics(), harmonics.mirror(environment.harmonics()))
    torch.testing.assert_close(
        mirrored.reflections((9.0,)).radiance, environment.reflections((9.0,)).mirrored().radiance
    )
    normals = random_directions()
    for changed, lights in (
        (turned, environment.lights(64).rotated(matrix)),
        (mirrored, environment.lights(64).mirrored()),
    ):
        ours, theirs = (_lambert(each, normals) for each in (changed.lights(64), lights))
        assert float((ours - theirs).abs().max()) < 0.06 * float(theirs.max())


def _lambert(lights: Lights, normals: torch.Tensor) -> torch.Tensor:
    cosines = torch.einsum("blc,bchw->blhw", lights.positions[..., :3], normals).clamp(min=0)
    return torch.einsum("blc,blhw->bchw", lights.colours, cosines)


@pytest.mark.parametrize("count", [1, 5, 16, 64])
def test_cut_lights_carry_the_whole_energy(count):
    radiance = smooth_surround(32)
    lights = Environment(radiance).lights(count)
    assert lights.positions.shape == (1, count, 4)
    assert (lights.positions[..., 3] == 0).all()
    torch.testing.assert_close(
        lights.positions[..., :3].norm(dim=-1), torch.ones(1, count, dtype=torch.float64)
    )
    total = as_directional_lights(radiance)[1].sum(0)
    torch.testing.assert_close(lights.colours.sum(1)[0], total)
    assert lights.harmonics.abs().max() == 0


def test_many_lights_light_as_the_whole_surround_does():
    radiance, normals = smooth_surround(32), random_directions()
    expected = _lambert(brute_force(radiance), normals)
    errors = [
        float((_lambert(Environment(radiance).lights(n), normals) - expected).abs().max())
        for n in (4, 16, 128)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03 * float(expected.max())


def test_a_lamp_in_the_dark_becomes_one_light_of_its_place_and_size():
    towards = latlong.directions(128, 256, torch.zeros((), dtype=torch.float64))
    axis, radius = unit(texel(0.5, 0.4, 0.7)), 0.2
    inside = (axis[0] * towards).sum(0) > math.cos(radius)
    lights = Environment(inside.expand(3, -1, -1).double()).lights(1)
    torch.testing.assert_close(lights.positions[0, 0, :3], axis.flatten(), atol=0.01, rtol=0)
    assert lights.radii.item() == pytest.approx(radius, rel=0.03)


def test_two_lamps_become_two_lights_and_none_between():
    lights = Environment((studio() - 0.4).clamp(min=0)).lights(2)
    for place, radius in (((0.6, 0.5, 0.6), 0.1), ((-0.9, 0.1, 0.4), 0.15)):
        cosines = lights.positions[0, :, :3] @ unit(texel(*place)).flatten()
        nearest = int(cosines.argmax())
        assert float(cosines[nearest]) > math.cos(0.01)
        assert lights.radii[0, nearest].item() == pytest.approx(radius, rel=0.03)


def test_a_uniform_surround_is_cut_into_caps_of_its_solid_angle():
    lights = Environment(torch.ones(3, 64, 128, dtype=torch.float64)).lights(64)
    covered = (2 * math.pi * (1 - lights.radii.cos())).sum()
    assert float(covered) == pytest.approx(4 * math.pi, rel=0.3)  # longish regions: more


def test_a_black_surround_gives_black_lights():
    lights = Environment(torch.zeros(3, 8, 16)).lights(4)
    assert lights.colours.abs().max() == 0
    assert torch.isfinite(lights.positions).all()
    assert torch.isfinite(lights.radii).all()


def test_more_lights_than_texels_are_refused():
    with pytest.raises(ValueError, match="count=9"):
        Environment(torch.ones(3, 2, 4)).lights(9)


def studio(height: int = 128) -> torch.Tensor:
    """Two small hot lamps in a dim room."""
    towards = latlong.directions(height, 2 * height, torch.zeros((), dtype=torch.float64))
    radiance = (0.3 + 0.1 * towards[1]).expand(3, -1, -1).clone()
    for place, radius, peak in (((0.6, 0.5, 0.6), 0.1, 300.0), ((-0.9, 0.1, 0.4), 0.15, 80.0)):
        inside = (unit(texel(*place))[0] * towards).sum(0) > math.cos(radius)
        radiance += peak * inside * texel(1.0, 0.8, 0.6)[0]
    return radiance


@pytest.mark.parametrize("lamps", [1, 16])
def test_lamps_and_what_remains_carry_the_whole_energy(lamps):
    for radiance in (studio(), smooth_surround(32)):
        lights = Environment(radiance).surroundings(lamps, EXPONENTS)
        assert lights.positions.shape == (1, lamps, 4)
        remains = 2 / math.sqrt(math.pi) * lights.harmonics[:, 0]  # all around, over pi
        total = as_directional_lights(radiance)[1].sum(0)
        torch.testing.assert_close((lights.colours.sum(1) + remains)[0], total)
        mirrored = lights.reflections.radiance.flatten(0, 1)
        mean = (mirrored * latlong.solid_angles(*mirrored.shape[-2:], mirrored)).sum(
            (2, 3)
        ) / math.pi
        torch.testing.assert_close(mean, remains.expand_as(mean), rtol=0.02, atol=0)


def test_hot_lamps_are_cut_out_where_they_are_and_the_rest_is_smooth():
    lights = Environment(studio()).surroundings(16, EXPONENTS)
    brightest = lights.positions[0, lights.colours[0, :, 0].argmax(), :3]
    assert float(brightest @ unit(texel(0.6, 0.5, 0.6)).flatten()) > math.cos(0.1)  # within it
    weights = latlong.solid_angles(128, 256, studio())
    mean = (studio() * weights).sum((1, 2)).max() / (4 * math.pi)
    assert float(lights.reflections.radiance.max()) < 1.3 * float(mean)


def test_surroundings_light_and_gleam_as_all_texels_do():
    """A few lamps and the rest: far nearer than either alone."""
    radiance = studio(64)
    maps, view = glossy_sphere(30.0)
    white = torch.ones_like(maps[0])
    model = {"view": view, "roughness": 0.5, "specular": "ggx"}
    environment = Environment(radiance)
    for arguments in (maps, (white, 0 * maps[1], *maps[2:])):
        expected = shade(*arguments, brute_force(radiance), **model)
        lit = (environment.surroundings(16, EXPONENTS), environment.prefiltered(EXPONENTS),
               environment.lights(16))  # fmt: skip
        both, smooth, cut = (
            float((shade(*arguments, lights, **model) - expected).square().mean().sqrt())
            for lights in lit
        )
        assert both < 0.06 * float(expected.square().mean().sqrt())
        assert both < 0.6 * min(smooth, cut)


def test_a_uniform_surround_leaves_the_lamps_black():
    lights = Environment(torch.ones(3, 16, 32, dtype=torch.float64)).surroundings(4, (9.0,))
    assert lights.colours.abs().max() == 0
    assert float(lights.reflections.radiance.min()) == pytest.approx(1)
    black = Environment(torch.zeros(3, 16, 32)).surroundings(4, (9.0,))
    assert black.colours.abs().max() + black.harmonics.abs().max() == 0


def test_files_are_read_as_seen_from_within(tmp_path):
    pixels = np.zeros((8, 16, 3), np.float32)
    pixels[1, 12] = (1, 2, 4)  # right of the middle: towards -x where +z is ahead
    (tmp_path / "sky.hdr").write_bytes(imagecodecs.rgbe_encode(pixels, header=True))
    write_image(tmp_path / "sky.exr", pixels)
    for name in ("sky.hdr", "sky.exr"):
        radiance = read_environment(tmp_path / name).radiance
        assert radiance.shape == (3, 8, 16)
        y, x = divmod(int(radiance[0].argmax()), 16)
        towards = latlong.directions(8, 16, radiance)[:, y, x]
        assert towards[0] < -0.4
        assert towards[1] > 0.4
        assert radiance[:, y, x].tolist() == [1, 2, 4]


def test_what_is_no_environment_is_refused(tmp_path):
    write_image(tmp_path / "photo.png", np.zeros((8, 16, 3), np.uint8))
    write_image(tmp_path / "square.exr", np.zeros((8, 8, 3), np.float32))
    write_image(tmp_path / "grey.exr", np.zeros((8, 16, 1), np.float32))
    write_image(tmp_path / "negative.exr", np.full((8, 16, 3), -1, np.float32))
    for broken in ("nan", "inf"):
        holes = np.ones((8, 16, 3), np.float32)
        holes[2, 3] = float(broken)
        write_image(tmp_path / f"{broken}.exr", holes)
    for name, words in (
        ("photo.png", "photo.png"),
        ("square.exr", "8x8"),
        ("grey.exr", "1 channels"),
        ("negative.exr", "down to -1"),
        ("nan.exr", "NaN"),
        ("inf.exr", "infinity"),
        ("missing.hdr", "missing.hdr"),
    ):
        with pytest.raises(InputError, match=words):
            read_environment(tmp_path / name)


def test_real_environment(real_data):
    environment = read_environment(real_data / "hdri" / "studio_small_03_1k.hdr")
    lights, normals = environment.lights(64), random_directions().float()
    expected = harmonics.irradiance(environment.harmonics(), normals)
    found = _lambert(lights, normals)
    assert float((found - expected).abs().max()) < 0.12 * float(expected.max())
