import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.samples import Patch, read_patch, read_stored, write_patch
from realface.errors import InputError
from realface.maps.kinds import KINDS
from tests.faces import face_maps


def patch_of(maps, **changes):
    fields = {
        "key": "face-y00000-x00000", "subject": "face", "y": 0, "x": 0, "map_size": (48, 64),
        "millimetres_per_texel": 0.5, "centre": (1.0, 2.0, 3.0),
        "bits": dict.fromkeys(maps, 16), "maps": maps,
    }  # fmt: skip
    return Patch(**{**fields, **changes})


@given(st.sets(st.sampled_from(sorted(face_maps(2, 2))), min_size=1), st.sampled_from([8, 16]))
def test_round_trip(kinds, bits):
    maps = {kind: face_maps(16, 16)[kind] for kind in kinds}
    patch = patch_of(maps, bits=dict.fromkeys(maps, bits))
    back = read_patch(write_patch(patch))
    assert set(back.maps) == kinds
    for kind, values in maps.items():
        span = (values.amax() - values.amin()).item() if kind == "shape" else 2.0
        depth = 16 if kind == "shape" else bits
        assert (back.maps[kind] - values).abs().max() <= 1.8 * span / (2**depth - 1), kind
    assert (back.key, back.subject, back.y, back.x) == (patch.key, "face", 0, 0)
    assert (back.map_size, back.centre) == ((48, 64), (1.0, 2.0, 3.0))
    assert back.millimetres_per_texel == 0.5


def test_only_what_is_wanted_is_decoded():
    sample = write_patch(patch_of(face_maps(8, 8)))
    sample["shape.png"] = b"damaged"
    assert set(read_patch(sample, ["mask", "diffuse_albedo"]).maps) == {"mask", "diffuse_albedo"}


def test_unknown_places_are_none():
    patch = patch_of(face_maps(8, 8), subject=None, y=None, x=None, map_size=None,
                     millimetres_per_texel=None)  # fmt: skip
    back = read_patch(write_patch(patch))
    assert (back.subject, back.y, back.x, back.map_size) == (None, None, None, None)


def change_json(sample, **changes):
    sample["json"] = json.dumps(json.loads(sample["json"]) | changes).encode()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.pop("mask.png"), "mask is missing"),
        (lambda s: s.update({"mask.png": s["mask.png"][:-20]}), "Png"),
        (lambda s: s.update({"mask.png": s["diffuse_albedo.png"]}), "mask has shape"),
        (lambda s: s.pop("json"), "json"),
        (lambda s: s.update(json=b"{"), "JSON"),
        (lambda s: change_json(s, maps={"beard": {}}), "maps.beard"),
        (lambda s: change_json(s, version=9), "version 9"),
        (lambda s: change_json(s, centre=None), "TypeError"),
    ],
)
def test_faults_name_shard_and_key(spoil, words):
    sample = write_patch(patch_of(face_maps(8, 8))) | {"__url__": "file:///data/train-000003.tar"}
    spoil(sample)
    with pytest.raises(InputError) as caught:
        read_patch(sample, KINDS if "beard" in words else ("mask",))
    assert "train-000003.tar" in caught.value.given
    assert "face-y00000-x00000" in caught.value.given
    assert words in caught.value.given
    assert "realface verify" in caught.value.remedy


def test_stored_pixels_are_at_their_own_depth():
    maps = {"mask": torch.ones(1, 4, 4)}
    pixels, record = read_stored(write_patch(patch_of(maps, bits={"mask": 8})), "mask")
    assert pixels.dtype == "uint8"
    assert pixels.max() == 255
    assert record.bits == 8
