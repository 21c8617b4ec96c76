"""What a procedural subject promises: determinism, windows, scale, ranges, true normals."""

import math

import pytest
import torch
import torch.nn.functional as F

from realface.errors import InputError
from realface.maps.kinds import KINDS
from realface.synthetic import ProceduralSubject, subject_windows

HEIGHT, WIDTH = 128, 192
MAPS = {
    "diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape_normals",
    "shape", "mask", "occlusion",
}  # fmt: skip
NORMALS = ("diffuse_normals", "specular_normals", "shape_normals")


@pytest.fixture(scope="module")
def maps():
    return ProceduralSubject(5).maps(HEIGHT, WIDTH)


def angle_between(first, second):
    """Degrees, ``(h, w)``."""
    return torch.rad2deg(torch.acos((first * second).sum(0).clamp(-1, 1)))


def test_every_map_has_its_kind_size_and_type(maps):
    assert set(maps) == MAPS
    for name, values in maps.items():
        assert values.shape == (KINDS[name].channels, HEIGHT, WIDTH)
        assert values.dtype == torch.float32
        assert values.isfinite().all()


def test_equal_seeds_give_equal_faces_and_leave_the_global_generator_alone(maps):
    before = torch.get_rng_state()
    again = ProceduralSubject(5).maps(HEIGHT, WIDTH)
    assert torch.equal(before, torch.get_rng_state())
    for name, values in maps.items():
        assert torch.equal(values, again[name]), name


@pytest.mark.parametrize("name", ["diffuse_albedo", "specular_albedo", "shape"])
def test_different_seeds_give_different_faces(maps, name):
    other = ProceduralSubject(6).maps(HEIGHT, WIDTH)
    assert (maps[name] - other[name]).abs().mean() > 0.01


@pytest.mark.parametrize(
    ("height", "width", "window"),
    [
        (128, 192, (40, 60, 33, 70)),
        (128, 192, (0, 0, 9, 192)),
        (683, 1024, (300, 400, 96, 128)),
    ],
)
def test_a_window_is_the_crop_of_the_whole(height, width, window):
    y, x, h, w = window
    part = ProceduralSubject(2).maps(height, width, window)
    whole = ProceduralSubject(2).maps(height, width)
    for name, values in whole.items():
        crop = values[:, y : y + h, x : x + w]
        tolerance = 2e-3 if name in ("shape", "specular_normals") else 5e-4
        assert (part[name] - crop).abs().max() < tolerance, name


@pytest.mark.parametrize("width", [6144, 768])
def test_a_batch_is_its_members(width):
    seeds = [4, 0, 17]  # a beard, freckles and blemishes are not in all of them
    windows = [(100, 300, 40, 56), (57, 6, 40, 56), (400, 500, 40, 56)]
    height = width * 2 // 3
    batch = subject_windows(seeds, height, width, windows)
    for number, (seed, window) in enumerate(zip(seeds, windows, strict=True)):
        alone = ProceduralSubject(seed).maps(height, width, window)
        for name, values in alone.items():
            torch.testing.assert_close(batch[name][number], values, atol=1e-4, rtol=1e-5)


def test_hair_does_not_depend_on_what_else_the_window_holds():
    """Where hair is absent it is not computed: that must not show beside hair."""
    subject = ProceduralSubject(1)
    narrow = subject.maps(1024, 1536, (250, 420, 40, 60))
    wide = subject.maps(1024, 1536, (30, 300, 300, 300))
    crop = wide["diffuse_albedo"][:, 220:260, 120:180]
    assert (narrow["diffuse_albedo"] - crop).abs().max() < 5e-4


def test_windows_at_full_size_agree_where_they_overlap():
    subject = ProceduralSubject(4)
    first = subject.maps(4096, 6144, (2000, 3000, 96, 128))
    second = subject.maps(4096, 6144, (2040, 3050, 96, 128))
    for name in MAPS:
        difference = (first[name][:, 40:, 50:] - second[name][:, :56, :78]).abs()
        assert difference.max() < (5e-3 if name == "shape" else 2e-2), name
        assert difference.mean() < 1e-3, name


def test_values_lie_in_their_ranges(maps):
    for name in ("diffuse_albedo", "specular_albedo", "occlusion"):
        assert maps[name].min() >= 0
        assert maps[name].max() <= 1
    assert set(maps["mask"].unique().tolist()) == {0.0, 1.0}
    for name in NORMALS:
        assert (maps[name].norm(dim=0) - 1).abs().max() < 1e-4, name


def test_specular_albedo_is_in_the_range_of_captures(maps):
    valid = maps["specular_albedo"][maps["mask"] > 0]
    low, middle, high = torch.quantile(valid, torch.tensor((0.02, 0.5, 0.98)))
    assert low > 0.04
    assert 0.12 < middle < 0.3
    assert high < 0.45


def test_outside_the_mask_there_is_nothing(maps):
    outside = maps["mask"][0] == 0
    assert 0.03 < outside.float().mean() < 0.3
    assert maps["diffuse_albedo"][:, outside].abs().max() == 0
    assert maps["specular_albedo"][:, outside].abs().max() == 0
    assert (maps["specular_normals"][2, outside] == 1).all()


def test_shape_is_a_head_in_millimetres_with_the_nose_in_front():
    maps = ProceduralSubject(0).maps(256, 384)
    shape = maps["shape"]
    extent = shape.amax(dim=(1, 2)) - shape.amin(dim=(1, 2))
    assert 130 < extent[0] < 190
    assert 150 < extent[1] < 220
    row, column = divmod(shape[2].argmax().item(), 384)
    assert abs(column - 192) < 8
    assert 0.4 < row / 256 < 0.62
    middle = shape[:, 128, 64:-64]
    assert (middle[0].diff() > -0.5).all(), "x grows to the image's right"
    assert (shape[1, :, 192].diff() < 0.1).all(), "y falls down the rows"


def test_shape_normals_are_the_normals_of_shape():
    maps = ProceduralSubject(1).maps(4096, 6144, (1700, 2500, 160, 200))
    shape = maps["shape"].double()
    right = (shape[:, 1:-1, 2:] - shape[:, 1:-1, :-2]) / 2
    down = (shape[:, 2:, 1:-1] - shape[:, :-2, 1:-1]) / 2
    expected = F.normalize(torch.linalg.cross(right, -down, dim=0), dim=0)
    found = maps["shape_normals"][:, 1:-1, 1:-1].double()
    assert torch.quantile(angle_between(expected, found), 0.99) < 1.0


def test_shape_normals_are_the_normals_of_a_whole_small_shape():
    maps = ProceduralSubject(3).maps(512, 768)
    shape = maps["shape"]
    right = shape[:, 1:-1, 2:] - shape[:, 1:-1, :-2]
    down = shape[:, 2:, 1:-1] - shape[:, :-2, 1:-1]
    expected = F.normalize(torch.linalg.cross(right, -down, dim=0), dim=0)
    angle = angle_between(expected, maps["shape_normals"][:, 1:-1, 1:-1])
    assert angle[maps["mask"][0, 1:-1, 1:-1] > 0].median() < 1.0


def test_specular_normals_are_sharper_than_diffuse_normals():
    maps = ProceduralSubject(0).maps(4096, 6144, (2000, 2600, 128, 128))
    specular = angle_between(maps["specular_normals"], maps["shape_normals"]).mean()
    diffuse = angle_between(maps["diffuse_normals"], maps["shape_normals"]).mean()
    assert 2.0 < specular < 20.0
    assert diffuse < 0.5 * specular


def test_a_large_map_shrunk_is_the_small_map():
    subject = ProceduralSubject(8)
    large = subject.maps(4096, 6144, (1536, 2560, 512, 1024))
    small = subject.maps(512, 768, (192, 320, 64, 128))
    for name, tolerance in (("diffuse_albedo", 0.02), ("specular_albedo", 0.02), ("shape", 0.1)):
        shrunk = F.avg_pool2d(large[name], 8)
        assert (shrunk - small[name]).abs().mean() < tolerance, name
    shrunk = F.normalize(F.avg_pool2d(large["diffuse_normals"], 8), dim=0)
    assert angle_between(shrunk, small["diffuse_normals"]).mean() < 2.0


def test_seeds_cover_the_range_of_human_skin():
    """Individual typology angle (Chardon et al. 1991): above 55 very light, below -30 dark."""
    angles = []
    for seed in range(8):
        albedo = ProceduralSubject(seed).maps(HEIGHT, WIDTH, (38, 100, 10, 14))["diffuse_albedo"]
        angles.append(typology_angle(albedo.mean(dim=(1, 2))))
    assert max(angles) > 41
    assert min(angles) < -10
    assert sum(-10 < a < 41 for a in angles) >= 2


def typology_angle(srgb):
    """Degrees, from one sRGB colour, by CIE L*a*b* under D65."""
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = (linear * torch.tensor((0.2126, 0.7152, 0.0722))).sum().item()
    blue = (linear * torch.tensor((0.0193, 0.1192, 0.9505))).sum().item() / 1.089
    lightness = 116 * luminance ** (1 / 3) - 16
    yellow = 200 * (luminance ** (1 / 3) - blue ** (1 / 3))
    return math.degrees(math.atan2(lightness - 50, yellow))


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (-1, 0, 4, 4), (100, 0, 64, 64)])
def test_a_window_outside_the_map_is_refused_by_name(window):
    with pytest.raises(InputError, match="window"):
        ProceduralSubject(0).maps(HEIGHT, WIDTH, window)


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [
        (192, 192, "--height 128, or --width 288"),
        (0, 6, "0x6"),
        (128, 190, "--height 127"),
        (200, 192, "--height 128"),
    ],
)
def test_a_size_that_is_not_3_to_2_is_refused_with_one_that_is(height, width, words):
    with pytest.raises(InputError, match=words):
        ProceduralSubject(0).maps(height, width)


@pytest.mark.parametrize("width", range(2, 40, 3))
def test_the_height_next_to_3_to_2_is_taken(width):
    maps = ProceduralSubject(0).maps(round(width * 2 / 3), width)
    assert 0.5 < maps["mask"].mean() <= 1


def test_no_float64_on_the_device(monkeypatch):
    """Apple's GPUs have none; the meta device stands in for one."""
    from realface.synthetic.lattice import texel_grid

    made = []
    arange = torch.arange

    def watched(*arguments, **keywords):
        made.append((keywords.get("dtype"), str(keywords.get("device"))))
        return arange(*arguments, **keywords)

    monkeypatch.setattr(torch, "arange", watched)
    grid = texel_grid(192, [(0, 0, 8, 8)], torch.device("meta"))
    assert (grid.x.device.type, grid.x.dtype) == ("meta", torch.float32)
    assert not any(dtype == torch.float64 and device == "meta" for dtype, device in made)
