"""Folders as RealFaceDB and labs may have them: each pairs, or says why not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import pytest
import tifffile

from realface.data.discovery.layouts import describe, discover
from realface.maps.files import write_image

KINDS = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")
FOLDERS = ("DiffuseAlbedo", "SpecularAlbedo", "DiffuseNormals", "SpecularNormals", "Shape")
WORDS = ("diffuse_albedo", "specular_albedo", "diffuse_normal", "specular_normal", "position")
NUMBERS = ("0001", "0002", "0011")


class Whole(NamedTuple):
    """A folder that pairs without a rest: the pattern, names of the five kinds, the keys."""

    pattern: str
    names: Sequence[str] = FOLDERS
    keys: Sequence[str] = NUMBERS
    written: Sequence[str] | None = None  # the keys in the file names, where they are others


WHOLE = {
    "folders": Whole("{name}/{key}.png"),
    "suffix in capitals": Whole("{name}/{key}.PNG"),
    "exr": Whole("{name}/{key}.exr"),
    "tiff": Whole("{name}/{key}.tiff"),
    "short, before": Whole(
        "{name}_{key}.png", ("diffAlbedo", "specAlbedo", "diffNormals", "specNormals", "shape")
    ),
    "words, after": Whole("{key}_{name}.png", WORDS),
    "a folder a patch": Whole(
        "{key}/{name}.png",
        ("AlbedoDiffuse", "AlbedoSpecular", "NormalsDiffuse", "NormalsSpecular", "Shape"),
        ("patch0001", "patch0002"),
    ),
    "initials": Whole("{name}/{key}.png", ("DA", "SA", "DN", "SN", "XYZ")),
    "initials in a split": Whole(
        "{key}.png", ("da", "sa", "dn", "sn", "xyz"), ("train/0001", "val/0002"),
        ("train/{name}/0001", "val/{name}/0002"),
    ),
    "one split": Whole("train/{name}/{key}.png", ("da", "sa", "dn", "sn", "xyz")),
    "abbreviated": Whole(
        "{name}/p_{key}.png", ("diff_alb", "spec_alb", "diff_norm", "spec_norm", "shape"),
        ("p_00001", "p_00002"), ("00001", "00002"),
    ),
    "a size in the folder": Whole(
        "{name}_512/img_{key}.png", FOLDERS, ("12_34", "12_35"), ("12_34", "12_35")
    ),
    "subjects and expressions": Whole(
        "{key}/{name}.exr", WORDS, ("s001/neutral", "s001/smile", "s002/neutral")
    ),
    "subjects in one name": Whole(
        "{key}_{name}.tif", WORDS, ("subject_01_expression_02", "subject_02_expression_01")
    ),
    "nested words": Whole(
        "{name}/{key}.png",
        ("albedo/diffuse", "albedo/specular", "normals/diffuse", "normals/specular", "shape"),
    ),
    "letters": Whole("{key}_{name}.png", ("albedo_d", "albedo_s", "normal_d", "normal_s", "pos")),
    "spaces": Whole(
        "{name}/{key}.png",
        ("Diffuse Albedo Maps", "Specular Albedo Maps", "Diffuse Normal Maps",
         "Specular Normal Maps", "Shape (XYZ)"),
    ),
    "patches": Whole("{name}_patches/{key}.png", WORDS),
    "the kind twice": Whole("{name}/{name}{key}.png"),
    "the set's name": Whole(
        "RealFaceDB_{name}/RealFaceDB_{name}_{key}.png", WORDS, ("RealFaceDB_0001",), ("0001",)
    ),
    "uv": Whole(
        "{key}_{name}_uv.png", ("diffuse", "specular", "diffuse_normal", "specular_normal", "mesh")
    ),
    "hashes": Whole("{name}/{key}.png", FOLDERS, ("0be771", "77d0aa", "a3f9c2")),
    "people's names": Whole("{key}/{name}.png", WORDS, ("Müller 3", "face-0", "face_1.v2")),
    "dots": Whole("{key}.{name}.png", WORDS, ("face.1001", "face.1002")),
    "dates": Whole("{key}_{name}.png", WORDS, ("20190312_john_neutral", "20190312_john_smile")),
    "shared brackets": Whole("{key} ({name}).png", WORDS, ("anna-1", "bob-2")),
}  # fmt: skip


def write(source: Path, name: str) -> Path:
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((8, 8, 3), np.uint8)
    if path.name.startswith(".") or path.suffix in (".txt", ".db"):
        path.write_bytes(b"x")
    elif path.suffix == ".jpg":
        path.write_bytes(imagecodecs.jpeg_encode(pixels))
    elif path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels, photometric="rgb")
    else:
        write_image(path, pixels.astype(np.float32) if path.suffix == ".exr" else pixels)
    return path


def files_of(case: Whole) -> Iterator[tuple[str, str, str]]:
    for kind, name in zip(KINDS, case.names, strict=True):
        for key, written in zip(case.keys, case.written or case.keys, strict=True):
            pattern = case.pattern.replace("{key}", written)
            yield kind, key, pattern.format(name=name)


@pytest.mark.parametrize("title", sorted(WHOLE))
def test_they_pair_and_keys_are_names_that_people_know(tmp_path, title):
    case = WHOLE[title]
    expected = {kind: {} for kind in KINDS}
    for kind, key, name in files_of(case):
        expected[kind][key] = write(tmp_path, name)
    layout = discover(tmp_path)
    assert layout.problems == ()
    assert layout.files == expected


FIVE = [f"{folder}/{number}.png" for folder in FOLDERS for number in NUMBERS]
SAID = {
    "kinds by one letter": (["S/0001.png", "DA/0001.png"], 1, ["ambiguous (1): d and s alone"]),
    "normals of what": (
        ["normal/1.png", "albedo/1.png"], 1, ["ambiguous (1): normals of what? diffuse, specular"]
    ),
    "what lies beside": (
        [*FIVE, "README.txt", "Shape/Thumbs.db", "Shape/._0001.png", "__MACOSX/Shape/._1.png"], 3,
        ["no image that realface reads (.txt): README.txt", "(.db): Shape/Thumbs.db"],
    ),
    "previews of the same names": (
        [*FIVE, "Shape/0001.jpg"], 2,
        ["duplicate (1): several files of shape for one key", "patterns end in .jpg or .png"],
    ),
    "previews in a folder": (
        [*FIVE, "preview/Shape/0001.jpg"], 3, ["a preview, as its path says: preview/Shape/0001"]
    ),
    "previews by name": (
        [*FIVE, "Shape/0001_thumb.jpg"], 3, ["a thumb, as its path says: Shape/0001_thumb.jpg"]
    ),
    "sizes in names": (
        ["anna_diffuseAlbedo_4k.png", "anna_specularAlbedo_2k.png"], 0,
        ["lacks specular_albedo: anna_4k", "lacks diffuse_albedo: anna_2k"],
    ),
    "numbered folders": (
        ["1_DiffuseAlbedo/0001.png", "2_SpecularAlbedo/0001.png"], 0,
        ["lacks specular_albedo: 1/0001", "lacks diffuse_albedo: 2/0001"],
    ),
    "one missing": (FIVE[:-1], 2, ["unpaired (1): lacks shape: 0011"]),
}  # fmt: skip


@pytest.mark.parametrize("title", sorted(SAID))
def test_what_does_not_pair_is_said(tmp_path, title):
    names, pairs, texts = SAID[title]
    for name in names:
        write(tmp_path, name)
    layout = discover(tmp_path)
    assert len(layout.keys) == pairs
    told = "\n".join(describe(layout))
    for text in texts:
        assert text in told


def test_padding_that_differs_by_kind_keeps_the_padded_key(tmp_path):
    for number in (1, 2, 11):
        for name in (f"DiffuseAlbedo/{number:04d}", f"Shape/{number}", f"SpecNrm/{number:02d}"):
            write(tmp_path, f"{name}.png")
    layout = discover(tmp_path)
    assert layout.problems == ()
    assert layout.keys == list(NUMBERS)
