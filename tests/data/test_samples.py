import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.codecs import CODECS
from realface.data.samples import Patch, read_patch, read_stored, write_patch
from realface.errors import InputError
from realface.maps.kinds import KINDS
from tests.faces import face_maps

WHERE = "train-000003.tar, sample face-y00000-x00000"


def patch_of(maps, **changes):
    fields = {
        "key": "face-y00000-x00000", "subject": "face", "y": 0, "x": 0, "map_size": (48, 64),
        "millimetres_per_texel": 0.5, "centre": (1.0, 2.0, 3.0),
        "bits": dict.fromkeys(maps, 16), "maps": maps,
    }  # fmt: skip
    return Patch(**{**fields, **changes})


@given(
    st.sets(st.sampled_from(sorted(face_maps(2, 2))), min_size=1),
    st.sampled_from([8, 16]),
    st.sampled_from(sorted(CODECS)),
)
def test_round_trip(kinds, bits, codec):
    maps = {kind: face_maps(16, 16)[kind] for kind in kinds}
    patch = patch_of(maps, bits=dict.fromkeys(maps, bits))
    members = write_patch(patch, codec)
    assert set(members) == {f"{kind}.{codec}" for kind in kinds} | {"json"}
    back = read_patch(members, WHERE)
    assert set(back.maps) == kinds
    for kind, values in maps.items():
        span = (values.amax() - values.amin()).item() if kind == "shape" else 2.0
        depth = 16 if kind == "shape" else bits
        assert (back.maps[kind] - values).abs().max() <= 1.8 * span / (2**depth - 1), kind
    assert (back.key, back.subject, back.y, back.x) == (patch.key, "face", 0, 0)
    assert (back.map_size, back.centre) == ((48, 64), (1.0, 2.0, 3.0))
    assert back.millimetres_per_texel == 0.5


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_what_is_read_is_written_again_to_the_byte(codec):
    maps = face_maps(16, 16)
    members = write_patch(patch_of(maps, bits=dict.fromkeys(maps, 8)), codec)
    back = read_patch(members, WHERE)
    again = write_patch(back, codec)
    # Normals are made unit again, and positions take their own range: those may move by a bit.
    for kind in ("diffuse_albedo", "specular_albedo", "mask"):
        assert again[f"{kind}.{codec}"] == members[f"{kind}.{codec}"]


def test_only_what_is_wanted_is_asked_for():
    members = write_patch(patch_of(face_maps(8, 8)))
    wanted = {name: members[name] for name in ("mask.png", "diffuse_albedo.png", "json")}
    assert set(read_patch(wanted, WHERE, ["mask", "diffuse_albedo"]).maps) == {
        "mask", "diffuse_albedo"
    }  # fmt: skip


def test_unknown_places_are_none():
    patch = patch_of(face_maps(8, 8), subject=None, y=None, x=None, map_size=None,
                     millimetres_per_texel=None)  # fmt: skip
    back = read_patch(write_patch(patch), WHERE)
    assert (back.subject, back.y, back.x, back.map_size) == (None, None, None, None)
    assert back.millimetres_per_texel is None


def change_json(sample, **changes):
    sample["json"] = json.dumps(json.loads(sample["json"]) | changes).encode()


def change_mask(sample, **changes):
    maps = json.loads(sample["json"])["maps"]
    change_json(sample, maps={**maps, "mask": {**maps["mask"], **changes}})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s.pop("mask.png"), "mask.png is missing"),
        (lambda s: s.update({"mask.png": s["mask.png"][:-20]}), "mask.png cannot be decoded"),
        (lambda s: s.update({"mask.png": s["diffuse_albedo.png"]}), "colour type 2"),
        (lambda s: s.pop("json"), "json is missing"),
        (lambda s: s.update(json=b"{"), "Expecting"),
        (lambda s: s.update(json=b"[]"), "list"),
        (lambda s: s.update(json=b"{}"), "'version' is missing"),
        (lambda s: s.update(json=b"\xff\xfe\x00"), "decode"),
        (lambda s: change_json(s, maps={}), "mask is missing"),
        (lambda s: change_json(s, maps={"mask": {}}), "maps.mask"),
        (lambda s: change_json(s, maps=7), "int"),
        (lambda s: change_json(s, version=9), "version 9"),
        (lambda s: change_json(s, centre=None), "NoneType"),
        (lambda s: change_json(s, map_size=[7]), "index"),
        (lambda s: change_mask(s, height=100_000, width=100_000), "100000x100000 cannot be"),
        (lambda s: change_mask(s, height=16), "its json says"),
        (lambda s: change_mask(s, bits=32), "32 bits"),
        (lambda s: change_mask(s, file="mask.exe"), "mask.exe is missing"),
        (lambda s: change_mask(s, file="json"), "none of png, jxl, blosc, npy"),
        (lambda s: change_mask(s, encoding="position", range=vars(KINDS["mask"])), "maps.mask"),
    ],
)
def test_faults_name_shard_and_key(spoil, words):
    members = write_patch(patch_of(face_maps(8, 8)))
    spoil(members)
    with pytest.raises(InputError) as caught:
        read_patch(members, WHERE, ["mask"])
    assert WHERE in caught.value.given
    assert words in caught.value.given
    assert "realface verify" in caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("diffuse_albedo", {"encoding": "linear"}),
        ("specular_normals", {"green": "dx"}),
        ("specular_normals", {"space": "tangent"}),
        ("specular_normals", {"range": {"scale": 1.0, "offset": [0.0, 0.0, 0.0]}}),
    ],
)
def test_maps_that_mean_something_else_are_refused(kind, change):
    """Training takes stored values as their kind means them."""
    sample = write_patch(patch_of(face_maps(8, 8)))
    maps = json.loads(sample["json"])["maps"]
    change_json(sample, maps={**maps, kind: {**maps[kind], **change}})
    with pytest.raises(InputError, match=f"{kind} of 16 bits as .*no map of a shard"):
        read_stored(sample, WHERE)


def test_maps_of_different_sizes_are_refused():
    maps = face_maps(8, 8)
    sample = write_patch(patch_of({**maps, "mask": maps["mask"][:, :4]}))
    with pytest.raises(InputError, match="differ in size"):
        read_stored(sample, WHERE)


def test_stored_pixels_are_at_their_own_depth():
    maps = {"mask": torch.ones(1, 4, 4), "specular_albedo": torch.full((1, 4, 4), 0.25)}
    bits = {"mask": 8, "specular_albedo": 16}
    about, stored = read_stored(write_patch(patch_of(maps, bits=bits)), WHERE)
    pixels, record = stored["mask"]
    assert (pixels.dtype, pixels.shape, pixels.min(), record.bits) == ("uint8", (4, 4, 1), 255, 8)
    pixels, record = stored["specular_albedo"]
    assert (pixels.dtype, record.bits) == ("uint16", 16)
    assert np.all(pixels == round(0.25 * 65535))
    assert about.key == "face-y00000-x00000"
