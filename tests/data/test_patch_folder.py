import pytest
import torch

from realface.data.pack import pack
from realface.data.patch_folder import PatchFolder, read_layout
from realface.data.samples import read_patch
from realface.data.verify import verify
from realface.errors import InputError
from realface.maps.encoding import linear_to_srgb
from realface.maps.spaces import flip_green
from tests.data.conftest import samples_of, write_patches

DEFAULT = {
    kind: f"{kind}/{{key}}.png"
    for kind in ("diffuse_albedo", "specular_albedo", "specular_normals", "shape")
}
LENT = {
    "diffuse_albedo": "DiffAlbedo/{key}_da.png",
    "specular_albedo": "SpecAlbedo/{key}_sa.png",
    "diffuse_normals": "normals/diff/{key}.png",
}


def layout_of(folder, patterns):
    path = folder / "layout.yaml"
    path.write_text("".join(f"{kind}: {pattern!r}\n" for kind, pattern in patterns.items()))
    return path


def test_default_layout(tmp_path, caplog):
    source = write_patches(tmp_path / "in", DEFAULT)
    packed = pack(source, tmp_path / "out", val_fraction=0.4)
    assert (packed.train, packed.val) == (3, 2)
    assert verify(tmp_path / "out") == []
    assert "90 millimetres per unit" in caplog.text
    assert "no subjects are known" in caplog.text
    patches = [
        read_patch(s) for split in ("train", "val") for s in samples_of(tmp_path / "out", split)
    ]
    assert sorted(patch.key for patch in patches) == [f"{number:06d}" for number in range(5)]
    lent = PatchFolder(source, None, None)
    for patch in patches:
        truth = lent.read(int(patch.key))
        assert patch.subject is None
        assert set(patch.maps) == {*DEFAULT, "shape_normals"}
        for kind, values in truth.maps.items():
            level = 2 * 180 / 65535 if kind == "shape" else 1.1 / 255
            assert (patch.maps[kind] - values).abs().max() <= level, kind
        assert truth.maps["shape"].abs().max() <= 90 * 1.01


def test_scale_of_shape(tmp_path, caplog):
    source = write_patches(tmp_path / "in", DEFAULT, count=2)
    one, two = (PatchFolder(source, None, scale).read(0).maps["shape"] for scale in (1.0, 2.0))
    torch.testing.assert_close(2 * one, two)
    assert "millimetres per unit" not in caplog.text


def test_a_layout_file(tmp_path):
    source = write_patches(tmp_path / "in", LENT)
    layout = layout_of(tmp_path, LENT)
    assert {kind: entry.files for kind, entry in read_layout(layout).items()} == LENT
    pack(source, tmp_path / "out", layout=layout)
    assert verify(tmp_path / "out") == []
    with pytest.raises(InputError, match="give a --layout file"):
        pack(source, tmp_path / "other")


def test_unpaired_patches_are_refused_by_key(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT)
    (source / "specular_normals" / "0003.png").unlink()
    (source / "shape" / "extra.png").write_bytes((source / "shape" / "0000.png").read_bytes())
    with pytest.raises(InputError) as caught:
        pack(source, tmp_path / "out")
    assert "specular_normals lacks 2: 0003, extra" in caught.value.given
    assert "diffuse_albedo lacks 1: extra" in caught.value.given


def test_one_patch_and_patches_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(InputError, match="one patch"):
        pack(write_patches(tmp_path / "one", DEFAULT, count=1), tmp_path / "out")
    source = write_patches(tmp_path / "in", DEFAULT)
    write_patches(source, {"shape": DEFAULT["shape"]}, count=1, size=16)
    with pytest.raises(InputError, match="patch 0000 with maps of sizes"):
        pack(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    ["shape: {files: 'a/{key}.png', sapce: object}", "shape: {space: object}",
     "mask: {files: 'a/{key}.png', space: object}",
     "shape: {files: 'a/{key}.png', encoding: linear}",
     "shape_normals: {files: 'a/{key}.png', green: up}",
     "", "- a", "albedo: a/{key}.png", "shape: a/b.png", "shape: '{key}/{key}.png'", "shape: 3",
     "shape: [", "{"],
)  # fmt: skip
def test_layouts_that_are_none(tmp_path, text):
    (tmp_path / "layout.yaml").write_text(text)
    with pytest.raises(InputError, match="layout"):
        read_layout(tmp_path / "layout.yaml")


def test_a_missing_layout(tmp_path):
    with pytest.raises(InputError, match="layout"):
        read_layout(tmp_path / "layout.yaml")


def test_what_is_assumed_is_told_and_what_is_declared_counts(tmp_path, caplog):
    caplog.set_level("INFO")
    source = write_patches(tmp_path / "in", DEFAULT)
    plain = PatchFolder(source, None, None).read(0).maps
    assert "diffuse_albedo: taken as srgb" in caplog.text
    assert "specular_normals: taken as unit_vector, object, gl" in caplog.text
    assert "shape: taken as position" in caplog.text
    layout = tmp_path / "layout.yaml"
    layout.write_text(
        "diffuse_albedo: {files: 'diffuse_albedo/{key}.png', encoding: linear}\n"
        "specular_normals: {files: 'specular_normals/{key}.png', space: object, green: dx}\n"
    )
    declared = PatchFolder(source, layout, None).read(0).maps
    assert "specular_normals: taken as unit_vector, object, dx" in caplog.text
    torch.testing.assert_close(declared["diffuse_albedo"], linear_to_srgb(plain["diffuse_albedo"]))
    torch.testing.assert_close(declared["specular_normals"], flip_green(plain["specular_normals"]))


@pytest.mark.parametrize("space", ["tangent", "offset"])
def test_normals_in_another_space_are_refused_with_the_way_out(tmp_path, space):
    source = write_patches(tmp_path / "in", DEFAULT)
    layout = tmp_path / "layout.yaml"
    layout.write_text(f"specular_normals: {{files: 'specular_normals/{{key}}', space: {space}}}\n")
    with pytest.raises(InputError, match=rf"(?s)specular_normals .*{space}.*realface add"):
        PatchFolder(source, layout, None)


def test_two_files_of_one_key_are_refused(tmp_path):
    source = write_patches(tmp_path / "in", DEFAULT)
    (source / "shape" / "0001.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"0001\.png and 0001\.tif"):
        PatchFolder(source, None, None)
