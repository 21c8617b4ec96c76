"""What pixels tell of space, green, encoding and pairing, on procedural faces."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch

from realface.data.discovery.alignment import misaligned
from realface.data.discovery.evidence import Guess
from realface.data.discovery.guesses import contradictions, guess
from realface.data.discovery.layouts import Entry, discover
from realface.data.discovery.samples import read_samples
from realface.maps.encoding import srgb_to_linear, unit
from realface.maps.files import read_image, write_image
from realface.maps.spaces import flip_green, object_to_tangent
from realface.synthetic import ProceduralSubject

COUNT, SIDE, HEIGHT, WIDTH = 12, 128, 1024, 1536
NORMALS = ("diffuse_normals", "specular_normals")


def stored(values, bits):
    top = 2**bits - 1
    dtype = {8: np.uint8, 16: np.uint16}[bits]
    return (values * top).round().clamp(0, top).permute(1, 2, 0).numpy().astype(dtype)


def tangent_space(maps, kind):
    """In the frame of the shape's normals, with the columns' direction as tangent."""
    along = torch.gradient(maps["shape"], dim=2)[0]
    normals = maps["shape_normals"]
    tangents = unit(along - (along * normals).sum(0, keepdim=True) * normals)
    return object_to_tangent(maps[kind], tangents, normals, torch.ones_like(normals[:1]))


@pytest.fixture(scope="module")
def patches():
    """Patches of as many faces, from all over the skin that a camera sees."""
    places = np.random.default_rng(0)
    found = []
    for seed in range(COUNT):
        y, x = (int(places.integers(low, high)) for low, high in ((250, 650), (350, 1050)))
        found.append(ProceduralSubject(seed).maps(HEIGHT, WIDTH, (y, x, SIDE, SIDE)))
    return found


def samples_of(patches, bits=8, space="object", green="gl", encoding="srgb", shape=True):
    def stores(kind, maps):
        values = maps[kind]
        if kind == "diffuse_albedo":
            return values if encoding == "srgb" else srgb_to_linear(values)
        if kind == "shape":
            return values / 180 / 2 + 0.5
        if kind in NORMALS:
            values = values if space == "object" else tangent_space(maps, kind)
            return (flip_green(values) if green == "dx" else values) / 2 + 0.5
        return values

    kinds = ("diffuse_albedo", "specular_albedo", *NORMALS, *(["shape"] if shape else []))
    return {
        kind: {f"{n:02d}": stored(stores(kind, maps), bits) for n, maps in enumerate(patches)}
        for kind in kinds
    }


def found(guesses, subject, kind):
    [one] = [one for one in guesses if (one.subject, one.kind) == (subject, kind)]
    return one


@pytest.mark.parametrize("shape", [True, False])
@pytest.mark.parametrize("green", ["gl", "dx"])
@pytest.mark.parametrize("space", ["object", "tangent"])
@pytest.mark.parametrize("bits", [8, 16])
def test_space_and_green(patches, bits, space, green, shape):
    guesses = guess(samples_of(patches, bits, space, green, shape=shape))
    for kind in NORMALS:
        assert found(guesses, "space", kind).value == space
        assert found(guesses, "space", kind).word in ("sure", "likely")
        assert found(guesses, "green", kind).value == green
        assert found(guesses, "green", kind).word in ("sure", "likely")
        assert found(guesses, "range", kind).value == "unit"


@pytest.mark.parametrize("encoding", ["srgb", "linear"])
@pytest.mark.parametrize("bits", [8, 16])
def test_encoding_of_skin(patches, bits, encoding):
    one = found(guess(samples_of(patches, bits, encoding=encoding)), "encoding", "diffuse_albedo")
    assert one.value == encoding
    assert one.word != "sure" or encoding == "srgb"  # 8 bits are hardly ever linear


def test_one_patch_is_never_sure_of_what_one_cannot_tell(patches):
    guesses = guess(samples_of(patches[:1], 16))
    for subject, kind in (("encoding", "diffuse_albedo"), ("axes", "shape")):
        assert found(guesses, subject, kind).word != "sure"


def test_float_files(patches):
    samples = samples_of(patches)
    samples["diffuse_albedo"] = {"0": np.full((64, 64, 3), 1.5, np.float32)}
    signed = patches[0]["specular_normals"].permute(1, 2, 0).numpy()
    samples["specular_normals"] = {"0": signed}
    guesses = guess(samples)
    assert found(guesses, "encoding", "diffuse_albedo").value == "linear"
    assert found(guesses, "range", "specular_normals").value == "signed"


def test_swapped_channels_and_colours_for_normals(patches):
    samples = samples_of(patches)
    swapped = {key: pixels[..., ::-1] for key, pixels in samples["diffuse_albedo"].items()}
    guesses = guess({"diffuse_albedo": swapped, "specular_normals": samples["diffuse_albedo"]})
    assert found(guesses, "channels", "diffuse_albedo").value == "bgr"
    assert found(guesses, "range", "specular_normals").value == "none"


AXES = {
    "(x, y, z)": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "(-x, y, z)": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "(x, -y, z)": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "(x, y, -z)": [[1, 0, 0], [0, 1, 0], [0, 0, -1]],
    "(x, z, -y)": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "(y, x, z)": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
}


def with_axes(samples, name):
    axes = np.array(AXES[name])
    turned = {
        key: ((pixels / 32767.5 - 1) @ axes.T * 32767.5 + 32767.5).round().astype(np.uint16)
        for key, pixels in samples["shape"].items()
    }
    return {**samples, "shape": turned}


@pytest.mark.parametrize("name", sorted(AXES))
def test_axes_of_a_shape_by_itself(patches, name):
    turned = with_axes(samples_of(patches, 16), name)
    assert found(guess({"shape": turned["shape"]}), "axes", "shape").value == name


@pytest.mark.parametrize("green", ["gl", "dx"])
@pytest.mark.parametrize("name", sorted(AXES))
def test_other_axes_of_a_shape_are_told_and_normals_are_not_blamed(patches, name, green):
    samples = with_axes(samples_of(patches, 16, green=green), name)
    guesses = guess(samples)
    axes = found(guesses, "axes", "shape")
    assert (axes.value, axes.word) == (name, "sure")
    for kind in NORMALS:
        assert found(guesses, "space", kind).value == "object"
        assert found(guesses, "space", kind).word == "sure"
        one = found(guesses, "green", kind)
        assert one.value == green
        assert (one.word == "sure") == (name == "(x, y, z)")  # settle the axes first
    assert misaligned(samples) == []


@pytest.mark.parametrize("name", sorted(AXES))
def test_tangent_normals_stay_tangent_whatever_the_axes_of_shape(patches, name):
    for one in guess(with_axes(samples_of(patches, 16, "tangent"), name)):
        if one.subject == "space":
            assert one.value == "tangent"


def test_one_patch_beside_a_shape_of_other_axes_is_never_sure(patches):
    for number, name in itertools.product(range(4), sorted(AXES)):
        guesses = guess(with_axes(samples_of(patches[number : number + 1], 16), name))
        sure = {one.subject for one in guesses if one.word == "sure" and one.value == "tangent"}
        assert not sure, (number, name)
        assert found(guesses, "axes", "shape").word != "sure"


@pytest.mark.parametrize("linear", [True, False])
def test_16_bits_that_hold_8(linear):
    levels = torch.arange(40, 200).view(1, -1, 1).expand(160, -1, 3) / 255
    values = srgb_to_linear(levels) if linear else levels
    pixels = (values * 65535).round().numpy().astype(np.uint16)
    guesses = guess({"texture": {"0": pixels}})
    told = [one for one in guesses if one.word == "sure" and "8" in one.evidence]
    assert [(one.subject, one.value) for one in told] == [
        ("encoding", "linear") if linear else ("depth", "8 bits")
    ]


def test_contradictions_are_told_only_when_sure(patches):
    guesses = guess(samples_of(patches, green="dx"))
    taken = {kind: Entry(space="object", green="gl") for kind in NORMALS}
    lines = contradictions(guesses, taken)
    assert len(lines) == 2
    assert all("taken as gl, but looks dx" in line for line in lines)
    assert contradictions(guesses, {kind: Entry(green="dx") for kind in NORMALS}) == []
    unsure = [Guess("shape_normals", "green", "dx", 0.8, "")]
    assert contradictions(unsure, {"shape_normals": Entry(green="gl")}) == []


def test_guesses_print_themselves():
    line = str(Guess("shape_normals", "green", "dx", 0.8, "because"))
    assert line == "shape_normals: green dx (likely, 0.80): because"


def shifted(files):
    return dict(zip(files, [*list(files.values())[1:], next(iter(files.values()))], strict=True))


def test_a_shifted_folder_is_told(patches):
    samples = samples_of(patches)
    assert misaligned(samples) == []
    for kind in sorted(samples):
        problems = misaligned({**samples, kind: shifted(samples[kind])})
        assert [problem.about for problem in problems] == [kind], problems


def test_two_swapped_maps_are_told(patches):
    samples = samples_of(patches)
    swapped = dict(samples["specular_albedo"])
    swapped["02"], swapped["07"] = swapped["07"], swapped["02"]
    problems = misaligned({**samples, "specular_albedo": swapped})
    assert {problem.about for problem in problems} == {"02", "07"}
    assert all("its specular_albedo" in problem.reason for problem in problems)


def test_copies_of_patches_are_no_misaligned_ones(patches):
    for number in (1, 6, 12):
        copied = samples_of([*patches[:number], *patches[:number], *patches[:number]])
        assert misaligned(copied) == [], number


def test_few_or_small_maps_are_not_judged(patches):
    assert misaligned(samples_of(patches[:4])) == []
    small = {
        kind: {key: pixels[:20, :20] for key, pixels in files.items()}
        for kind, files in samples_of(patches).items()
    }
    assert misaligned(small) == []
    assert guess(small)  # and guesses need no size


def test_samples_are_spread_and_cropped(tmp_path):
    for number in range(40):
        path = tmp_path / "diffuse" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, np.full((8, 600 if number else 8, 3), number, np.uint8))
    (tmp_path / "diffuse" / "20.png").write_bytes(
        (tmp_path / "diffuse" / "20.png").read_bytes()[:60]
    )
    samples = read_samples(discover(tmp_path), 4)["diffuse_albedo"]
    assert sorted(samples) == ["00", "10", "30"]  # 20 has a header and no pixels
    assert samples["30"].shape == (8, 512, 3)


def test_a_real_scan(real_data):
    folder = real_data / "lee-perry-smith"

    def tiles(name):
        pixels = read_image(folder / name)
        corners = range(0, pixels.shape[0], 256)
        return {f"{y} {x}": pixels[y : y + 256, x : x + 256] for y in corners for x in corners}

    tell = partial(found, guess({
        "diffuse_albedo": tiles("Map-COL.jpg"),
        "specular_normals": tiles("Infinite-Level_02_Tangent_SmoothUV.jpg"),
        "shape_normals": tiles("derived_shapeNormals_object_16bit.png"),
    }))  # fmt: skip
    for subject, kind, value in (
        ("encoding", "diffuse_albedo", "srgb"), ("channels", "diffuse_albedo", "rgb"),
        ("space", "specular_normals", "tangent"), ("green", "specular_normals", "gl"),
        ("space", "shape_normals", "object"), ("green", "shape_normals", "gl"),
    ):  # fmt: skip
        assert tell(subject, kind).value == value
        assert tell(subject, kind).word == "sure"
