"""pytorch3d-me's formulas, worked out by hand (facts: what its released shader computes)."""

import math

import pytest
import torch

from realface.maps.encoding import unit
from realface.shading.lights import point_lights
from realface.shading.shade import lit_texture
from tests.faces import face_batch
from tests.shading.spheres import texel


def one_texel(**changed) -> dict[str, torch.Tensor]:
    """Facing +z at the origin, with the light 60 degrees aside where tests say nothing else."""
    return {
        "diffuse_albedo": texel(0.5, 0.4, 0.2),
        "specular_albedo": texel(0.2),
        "diffuse_normals": texel(0, 0, 1),
        "specular_normals": texel(0, 0, 1),
        "shape": texel(0, 0, 0),
        **changed,
    }


def lamp(degrees: float = 60.0, colour: float = 0.8, ambient: float = 0.1):
    angle = math.radians(degrees)
    wide = {"dtype": torch.float64}
    return point_lights(
        torch.tensor([[(300 * math.sin(angle), 0, 300 * math.cos(angle))]], **wide),
        torch.full((1, 1, 3), colour, **wide),
        torch.full((1, 3), ambient, **wide),
    )


def shaded(maps, lights) -> list[float]:
    return lit_texture(maps, lights, reference=True).flatten().tolist()


def test_stored_values_are_shaded_as_they_are():
    """D = (0.1 + 0.8 cos 60) a_d; S = 0.8 cos(30)^(140^(64/255)) with h halfway to the camera."""
    highlight = 0.2 * 0.8 * math.cos(math.radians(30)) ** (140 ** (64 / 255))
    expected = [0.5 * albedo + highlight for albedo in (0.5, 0.4, 0.2)]
    assert shaded(one_texel(), lamp()) == pytest.approx(expected)


def test_default_exponent_is_three_and_a_half():
    shininess = math.log(3.457) / math.log(140)
    maps = one_texel(exponent=texel(shininess))
    assert shaded(maps, lamp()) == pytest.approx(shaded(one_texel(), lamp()), abs=1e-4)


def test_shininess_is_the_power_of_140():
    maps = one_texel(exponent=texel(0.5), diffuse_albedo=texel(0, 0, 0))
    value = 0.16 * math.cos(math.radians(30)) ** math.sqrt(140)
    assert shaded(maps, lamp()) == pytest.approx([value] * 3)


def test_occlusion_dims_lamps_and_highlights_and_not_the_ambient_light():
    maps = one_texel(occlusion=texel(0.25))
    highlight = 0.2 * 0.8 * math.cos(math.radians(30)) ** (140 ** (64 / 255))
    expected = [(0.1 + 0.25 * 0.4) * albedo + 0.25 * highlight for albedo in (0.5, 0.4, 0.2)]
    assert shaded(maps, lamp()) == pytest.approx(expected)


def test_scattering_of_an_even_patch_brightens_by_its_share_of_thirty_percent():
    """D' = (1 + 0.3 t w) D where the blur changes nothing."""
    maps = one_texel(specular_albedo=texel(0), translucency=texel(0.5))
    gains = (1 + 0.3 * 0.5 * weight for weight in (0.4, 0.1, 0.035))
    expected = [0.5 * a * gain for a, gain in zip((0.5, 0.4, 0.2), gains, strict=True)]
    assert shaded(maps, lamp()) == pytest.approx(expected)


def test_blur_is_the_truncated_kernel_of_43_texels_on_the_lit_albedo():
    maps = {
        kind: values.expand(-1, -1, 64, 64).clone()
        for kind, values in one_texel(specular_albedo=texel(0), translucency=texel(1)).items()
    }
    maps["diffuse_albedo"] *= 0
    maps["diffuse_albedo"][..., 32, 32] = 0.5
    out = lit_texture(maps, lamp(0.0, 0.9, 0.1), reference=True)[0, 0]
    one = sum(math.exp(-((tap / 40) ** 2)) for tap in range(-21, 22))
    for dy, dx in ((0, 5), (21, 0), (10, 21)):
        kernel = math.exp(-(dy**2 + dx**2) / 1600) / one**2
        assert out[32 + dy, 32 + dx].item() == pytest.approx(1.3 * 0.4 * 0.5 * kernel), (dy, dx)
    assert out[32 + 22, 32] == 0
    assert math.exp(-((21 / 40) ** 2)) == pytest.approx(0.76, abs=0.005)  # the edge's weight


def test_clamped_to_white_and_dark_below_the_horizon():
    assert shaded(one_texel(), lamp(colour=50.0)) == [1, 1, 1]
    below = shaded(one_texel(), lamp(120.0))
    assert below == pytest.approx([0.1 * albedo for albedo in (0.5, 0.4, 0.2)])


def test_differs_from_ours_as_the_docstring_says():
    maps = {kind: values for kind, values in face_batch(16).items() if kind != "key"}
    lights = point_lights(
        torch.tensor((300.0, 200.0, 500.0)).expand(2, 1, 3),
        torch.full((2, 1, 3), 0.5),
        torch.full((2, 3), 0.2),
    )
    theirs, ours = lit_texture(maps, lights, reference=True), lit_texture(maps, lights)
    assert theirs.shape == ours.shape
    assert (
        theirs[maps["mask"].expand_as(theirs) > 0].mean()
        < ours[maps["mask"].expand_as(ours) > 0].mean()
    )  # no encoding after the shading: half of the light looks a quarter
    view = unit(torch.tensor((0.0, 0, 400)).view(1, 3, 1, 1) - maps["shape"])
    near = lit_texture(maps, lights, view=400.0, reference=True)
    torch.testing.assert_close(near, lit_texture(maps, lights, view=view, reference=True))
    assert (near - theirs).abs().max() > 1e-3
