"""A sample's pictures: what is where, in which colours, with which numbers."""

import numpy as np
import pytest
import torch

from realface.maps.encoding import unit
from realface.report.sample_rows import Sample, rows
from tests.faces import face_batch

SIZE = 320  # the test's maps fill a tile


def sample(output="specular_normals", changed=None, known=None, leave_out=(), size=SIZE):
    maps = {
        kind: values[:1]
        for kind, values in face_batch(size).items()
        if kind != "key" and kind not in leave_out
    }
    maps["mask"] = torch.ones_like(maps["mask"])
    maps["known"] = maps["mask"] if known is None else known
    return Sample(
        "face-0", maps, {output: maps[output] if changed is None else changed(maps[output])}
    )


def by_label(one, inputs, output):
    return {tile.label: tile.image for line in rows(one, inputs, output) for tile in line}


def test_a_perfect_albedo_is_grey_in_the_error_and_lit_like_the_truth():
    tiles = by_label(sample("specular_albedo"), ("diffuse_albedo",), "specular_albedo")
    assert list(tiles) == [
        "diffuse_albedo of face-0",
        "predicted specular_albedo, inf dB",
        "true specular_albedo",
        "error x4: white 32 levels too bright",
        "side light, predicted",
        "side light, true",
        "front light, predicted",
        "front light, true",
    ]
    assert (tiles["error x4: white 32 levels too bright"] == 128).all()
    for lamp in ("side light", "front light"):
        assert (tiles[f"{lamp}, predicted"] == tiles[f"{lamp}, true"]).all()
        assert tiles[f"{lamp}, true"].std() > 5


@pytest.mark.parametrize(("levels", "shown"), [(8, 160), (-8, 96), (40, 255), (-40, 0)])
def test_what_is_too_bright_is_bright(levels, shown):
    one = sample("diffuse_albedo", lambda truth: truth + levels / 255)
    error = by_label(one, ("shape",), "diffuse_albedo")
    image = error["error x4: white 32 levels too bright"]
    assert abs(int(image[160, 160, 0]) - shown) <= 1


def test_an_angle_is_a_colour_and_a_number():
    def tilted(normals):
        across = unit(torch.linalg.cross(normals, torch.ones_like(normals), dim=1))
        angle = torch.full_like(normals[:, :1], 20.0)
        angle[..., : SIZE // 2] = 0
        return torch.cos(torch.deg2rad(angle)) * normals + torch.sin(torch.deg2rad(angle)) * across

    tiles = by_label(sample(changed=tilted), ("shape_normals",), "specular_normals")
    assert "predicted specular_normals, 10.0 deg" in tiles
    error = tiles["error: black 0, yellow 20 deg"]
    assert error[:, : SIZE // 2].max() < 8  # inferno's ends
    red, green, blue = error[:, SIZE // 2 :].reshape(-1, 3).mean(axis=0)
    assert red > 240 > blue
    assert green > 240


def test_outside_the_mask_is_grey_and_so_is_an_error_that_does_not_count():
    known = torch.ones(1, 1, SIZE, SIZE)
    known[..., :20, :] = 0
    one = sample("diffuse_albedo", lambda truth: truth + 0.1, known)
    known[..., :10] = 0
    one.maps["mask"][..., :10] = 0
    for label, image in by_label(one, ("shape",), "diffuse_albedo").items():
        assert (image[:, :10] == 128).all(), label
        assert ((image[:20] == 128).all()) == label.startswith("error"), label


def test_positions_are_stretched_between_the_valid_ones():
    one = sample("diffuse_albedo")
    one.maps["shape"][..., :, :10] = 1e6
    one.maps["mask"][..., :, :10] = 0
    shown = by_label(one, ("shape",), "diffuse_albedo")["shape of face-0"][:, 10:]
    assert shown.min() == 0
    assert shown.max() == 255


@pytest.mark.parametrize("missing", ["shape", "diffuse_normals"])
def test_no_light_where_its_maps_are_missing(missing):
    one = sample(leave_out=(missing,))
    assert len(rows(one, ("diffuse_albedo",), "specular_normals")) == 1


@pytest.mark.parametrize(("size", "shown"), [(32, 320), (100, 300), (400, 400), (600, 512)])
def test_texels_are_repeated_or_averaged(size, shown):
    one = sample(size=size)
    tiles = by_label(one, ("shape_normals",), "specular_normals")
    assert {tile.shape for tile in tiles.values()} == {(shown, shown, 3)}
    if size < 320:  # whole texels, nothing blurred
        image, times = tiles["true specular_normals"], shown // size
        assert (image == np.repeat(image[:, ::times], times, axis=1)).all()


def test_a_long_name_keeps_its_end():
    one = sample()
    named = Sample("subject-with-a-long-name-0001-y00512-x01024", one.maps, one.predicted)
    label = rows(named, ("shape_normals",), "specular_normals")[0][0].label
    assert label == "shape_normals of ..01-y00512-x01024"
    assert len(label) * 9 <= 320
