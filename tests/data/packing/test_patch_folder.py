"""Lent patches: what is taken from a folder as RealFaceDB is lent, and how it is split."""

import shutil

import pytest
import torch

from realface.data.packing.lent_splits import subjects_by_folder
from realface.data.packing.pack import pack
from realface.data.packing.patch_folder import LentPatch
from realface.data.packing.sources import find_source
from realface.data.samples import read_patch
from realface.data.verify import verify
from realface.errors import InputError
from realface.maps.encoding import linear_to_srgb
from realface.maps.files import read_image, write_image
from realface.maps.spaces import flip_green
from tests.data.conftest import index_of, patch_maps, samples_of, write_patches

DEFAULT = {
    kind: f"{kind}/{{key}}.png"
    for kind in ("diffuse_albedo", "specular_albedo", "specular_normals", "shape")
}
LENT = {
    "diffuse_albedo": "DiffAlbedo/{key}_da.png",
    "specular_albedo": "SpecAlbedo/{key}_sa.png",
    "diffuse_normals": "normals/diff/{key}.png",
}


def layout_of(folder, lines):
    path = folder / "layout.yaml"
    path.write_text("".join(f"{kind}: {said}\n" for kind, said in lines.items()))
    return path


def lent(source, layout=None, said=None, scale=90.0):
    """The patches of a folder."""
    found = find_source(source, layout, said or {}, leave_out=False, patch=512)
    assert found.lent
    return [LentPatch(one, n, "", scale).sample() for n, one in enumerate(found.captures)]


def packed_patches(folder):
    found = [sample for split in ("train", "val") for sample in samples_of(folder, split)]
    return sorted((read_patch(sample, "here") for sample in found), key=lambda patch: patch.key)


def test_patches_by_kind(tmp_path, caplog):
    source = write_patches(tmp_path / "in", DEFAULT)
    packed = pack(source, tmp_path / "out", val_fraction=0.4)
    assert packed.samples == {"train": 3, "val": 2}
    assert verify(tmp_path / "out") == []
    assert "90 millimetres per unit" in caplog.text
    assert "no subjects are known" in caplog.text
    patches = packed_patches(tmp_path / "out")
    assert [patch.key for patch in patches] == [f"{number:06d}" for number in range(5)]
    for number, patch in enumerate(patches):
        truth = patch_maps(number, 20)
        assert patch.subject is None
        assert patch.source == f"diffuse_albedo/{number:04d}.png"
        assert set(patch.maps) == {*DEFAULT, "shape_normals"}
        for kind in DEFAULT:
            expected = truth[kind] * 90 if kind == "shape" else truth[kind]
            # half a level of 8 bits: of colours, of vectors from -1 to 1, of positions
            level = {"shape": 90.0, "specular_normals": 2.0}.get(kind, 0.5) / 255
            assert (patch.maps[kind] - expected).abs().max() <= 1.1 * level, kind


def test_shape_normals_are_those_of_the_surface(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT, count=2, size=64)
    for number, patch in enumerate(lent(source)):
        truth = patch_maps(number, 64)["shape_normals"]
        found = patch.maps["shape_normals"]
        degrees = (found * truth).sum(dim=0).clamp(-1, 1).acos().rad2deg()
        assert degrees.median() < 4
        assert patch.bits["shape_normals"] == 16


def test_sixteen_bits_that_hold_eight_are_smoothed_as_eight(tmp_path):
    kinds = {kind: DEFAULT[kind] for kind in ("diffuse_albedo", "shape")}
    source = write_patches(tmp_path / "in", kinds, count=2, size=64)
    eight = [patch.maps["shape_normals"] for patch in lent(source)]
    for path in (source / "shape").iterdir():
        write_image(path, read_image(path).astype("u2") * 257)
    for one, other in zip(eight, lent(source), strict=True):
        torch.testing.assert_close(one, other.maps["shape_normals"])


def test_scale_of_shape(tmp_path, caplog):
    source = write_patches(tmp_path / "in", DEFAULT, count=2)
    one, two = (lent(source, scale=scale)[0].maps["shape"] for scale in (1.0, 2.0))
    torch.testing.assert_close(2 * one, two)
    pack(source, tmp_path / "out", millimetres_per_unit=2.0)
    torch.testing.assert_close(packed_patches(tmp_path / "out")[0].maps["shape"], two,
                               atol=1e-4, rtol=0)  # fmt: skip
    assert "shape is taken as" not in caplog.text


def test_folders_of_other_names_are_found_and_layout_files_say_where(tmp_path):
    source = write_patches(tmp_path / "in", LENT)
    pack(source, tmp_path / "found")
    layout = layout_of(tmp_path, {kind: repr(files) for kind, files in LENT.items()})
    pack(source, tmp_path / "said", layout=layout)
    for name in ("found", "said"):
        assert verify(tmp_path / name) == []
        assert set(index_of(tmp_path / name).kinds) == set(LENT)


def test_a_folder_for_each_patch(tmp_path):
    """Named like subjects, but too small to cut anything from."""
    source = write_patches(
        tmp_path / "in", {kind: f"{{key}}/{kind}.png" for kind in DEFAULT}, count=3
    )
    assert sum(pack(source, tmp_path / "out").samples.values()) == 3
    assert packed_patches(tmp_path / "out")[0].subject is None


def test_patches_that_do_not_pair_are_refused_by_key_or_left_out(tmp_path, caplog):
    source = write_patches(tmp_path / "in", DEFAULT)
    (source / "specular_normals" / "0003.png").unlink()
    shutil.copy(source / "shape" / "0000.png", source / "shape" / "9999.png")
    with pytest.raises(InputError) as caught:
        pack(source, tmp_path / "out")
    assert "0003: lacks specular_normals" in caught.value.given
    assert "9999: lacks diffuse_albedo" in caught.value.given
    assert "--leave-out" in caught.value.remedy
    assert "unpaired (1): lacks specular_normals: 0003" in caplog.text
    packed = pack(source, tmp_path / "out", leave_out=True)
    assert sum(packed.samples.values()) == 4
    assert any("left out: 2 " in line for line in packed.report)


def test_sizes_that_differ_are_refused_or_left_out(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT)
    write_patches(source, {"shape": DEFAULT["shape"]}, count=1, size=16)  # one map of a patch
    for kind in DEFAULT:
        write_image(source / kind / "0004.png", read_image(source / kind / "0004.png")[:16, :16])
    with pytest.raises(InputError) as caught:
        pack(source, tmp_path / "out")
    assert "its maps differ in size" in caught.value.given
    assert "not 20x20 as the others" in caught.value.given
    assert sum(pack(source, tmp_path / "out", leave_out=True).samples.values()) == 3


def test_patches_and_whole_maps_are_not_mixed(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT, size=24)
    write_patches(source, DEFAULT, count=2)
    with pytest.raises(InputError, match="8 images up to 20x20 and 12 larger"):
        pack(source, tmp_path / "out", patch=20)


def test_one_patch_is_refused(tmp_path):
    with pytest.raises(InputError, match="one patch"):
        pack(write_patches(tmp_path / "one", DEFAULT, count=1), tmp_path / "out")


def test_an_unreadable_patch_is_named(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT)
    path = source / "specular_albedo" / "0002.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"specular_albedo.0002\.png"):
        pack(source, tmp_path / "out")
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"specular_albedo/0002\.png"):
        pack(source, tmp_path / "out")


def test_overlapping_patches_are_on_one_side(tmp_path):
    """The same skin twice, a few texels apart: without positions only its look tells."""
    size, kinds = 128, ("diffuse_albedo", "shape")
    for number in range(6):
        maps = patch_maps(number, size + 16)
        for shift, name in ((0, "a"), (16, "b")):
            window = {kind: maps[kind][:, shift : shift + size, shift : shift + size]
                      for kind in kinds}  # fmt: skip
            _write(tmp_path / "in", f"{name}{number}", window)
    for seed in range(3):
        packed = pack(tmp_path / "in", tmp_path / f"out-{seed}", val_fraction=0.33, seed=seed)
        assert any("12 patches in 6 groups" in line for line in packed.report)
        held = {int(read_patch(s, "").key) % 6 for s in samples_of(tmp_path / f"out-{seed}", "val")}
        assert packed.samples == {"train": 8, "val": 4}
        assert len(held) == 2  # keys run a0 .. a5, b0 .. b5


def _write(folder, key, maps):
    for kind, values in maps.items():
        pixels = values * (0.5 if kind == "shape" else 1) + (0.5 if kind == "shape" else 0)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        pixels = (pixels * 65535).round().clamp(0, 65535).permute(1, 2, 0).numpy().astype("u2")
        write_image(folder / kind / f"{key}.png", pixels)


def test_copies_are_on_one_side_without_shape_too(tmp_path, caplog):
    kinds = {"diffuse_albedo": DEFAULT["diffuse_albedo"]}
    source = write_patches(tmp_path / "in", kinds, count=3)
    for number in range(3):
        shutil.copy(
            source / "diffuse_albedo" / f"000{number}.png",
            source / "diffuse_albedo" / f"001{number}.png",
        )
    packed = pack(source, tmp_path / "out", val_fraction=0.3)
    assert packed.samples == {"train": 4, "val": 2}
    first, second = (read_patch(s, "") for s in samples_of(tmp_path / "out", "val"))
    assert torch.equal(first.maps["diffuse_albedo"], second.maps["diffuse_albedo"])
    assert "no shape" in caplog.text


def test_what_is_declared_counts(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT)
    plain = lent(source)[0].maps
    layout = layout_of(
        tmp_path,
        {
            "diffuse_albedo": "{files: 'diffuse_albedo/{key}.png', encoding: linear}",
            "specular_normals": "{files: 'specular_normals/{key}', space: object, green: dx}",
        },
    )
    declared = lent(source, layout)[0].maps
    torch.testing.assert_close(declared["diffuse_albedo"], linear_to_srgb(plain["diffuse_albedo"]))
    torch.testing.assert_close(declared["specular_normals"], flip_green(plain["specular_normals"]))


@pytest.mark.parametrize("space", ["tangent", "offset"])
def test_normals_in_another_space_are_refused_with_the_way_out(tmp_path, space):
    source = write_patches(tmp_path / "in", DEFAULT)
    said = f"{{files: 'specular_normals/{{key}}', space: {space}}}"
    albedo = "diffuse_albedo/{key}"
    layout = layout_of(tmp_path, {"specular_normals": said, "diffuse_albedo": repr(albedo)})
    with pytest.raises(InputError, match=rf"(?s)specular_normals.*{space}.*realface add"):
        pack(source, tmp_path / "out", layout=layout)


def test_folders_of_patches_are_subjects(tmp_path, caplog):
    """No shape to tell what overlaps; the folders tell whose they are."""
    kinds = {"diffuse_albedo": "{key}_DiffAlb.png", "specular_normals": "{key}_SpecNrm.png"}
    for number, path in enumerate(sorted(write_patches(tmp_path / "in", kinds, 12).iterdir())):
        (path.parent / f"s{number // 6}").mkdir(exist_ok=True)
        path.rename(path.parent / f"s{number // 6}" / path.name)
    packed = pack(tmp_path / "in", tmp_path / "out", val_fraction=0.25)
    assert packed.samples == {"train": 9, "val": 3}
    sides = [
        {patch.source.partition("/")[0] for patch in patches}
        for patches in (
            [read_patch(one, "here") for one in samples_of(tmp_path / "out", split)]
            for split in ("train", "val")
        )
    ]
    assert len(sides[1]) == 1
    assert not sides[0] & sides[1]
    assert "4 subjects told by folders" in " ".join(packed.report)
    assert "no subjects are known" not in caplog.text


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["a/1", "a/2", "b/1", "b/2", "c/1", "c/2"], [0, 0, 1, 1, 2, 2]),
        (["a/1", "a/2", "b/1", "b/2"], None),  # two: train and test, perhaps
        (["a/1", "b/1", "c/1", "d/1"], None),  # a folder for each patch
        (["1", "2", "a/1", "a/2", "b/1", "b/2"], None),
    ],
)
def test_when_folders_tell_of_subjects(keys, told):
    assert subjects_by_folder(keys) == told


def test_what_cannot_be_decoded_is_left_out_if_that_is_asked_for(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT, count=6)
    spoilt = source / "shape" / "0003.png"
    spoilt.write_bytes(spoilt.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"0003\.png"):
        pack(source, tmp_path / "out")
    packed = pack(source, tmp_path / "out", leave_out=True)
    assert sum(packed.samples.values()) == 5
    assert "left out: 1 that cannot be read" in " ".join(packed.report)


def test_textures_need_not_pair(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT)
    (source / "texture").mkdir()
    for path in sorted((source / "diffuse_albedo").iterdir())[:2]:
        shutil.copy(path, source / "texture" / path.name)
    packed = pack(source, tmp_path / "out")
    assert "texture: 2 files, not packed" in " ".join(packed.report)
    assert "texture" not in index_of(tmp_path / "out").kinds
