"""Which file is which kind and which files belong together, by names and by a layout file."""

import itertools
from pathlib import Path, PurePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.data.discovery.layouts import Entry, describe, discover, read_layout
from realface.data.discovery.synonyms import read_path
from realface.errors import InputError
from realface.maps.files import write_image

NAMES = {
    "diffuse_albedo": "DiffuseAlbedo diff_albedo diffAlb d_albedo albedo basecolor BaseColor "
    "diffuse diffusealbedo DIFFALB diffuse-albedo-map da",
    "specular_albedo": "SpecularAlbedo specAlb spec s_albedo specular/albedo albedo/specular sa",
    "diffuse_normals": "DiffNormals diffuse_normals diff_nrm dn normals/diffuse",
    "specular_normals": "SpecNormals spec_nrm specular_normal SPECNRM sn normals/specular",
    "shape": "shape Shape xyz XYZ XYZMap position positions pos vertexmap vertexMap shape/xyz",
    "shape_normals": "shapeNormals geoNormals normals_shape shape/normals normals/shape",
    "mask": "mask alpha valid diffuse/mask",
    "occlusion": "occlusion AO ambient_occlusion",
    "translucency": "translucency sss subsurfaceScattering",
    "texture": "texture lit raw textures",
}
SYNONYMS = [(kind, name) for kind, names in sorted(NAMES.items()) for name in names.split()]
FIVE = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")


def write_files(folder: Path, names, size=8) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.zeros((size, size, 3), np.uint8))
    return folder


def faults(layout) -> dict[str, list[str]]:
    found = {}
    for problem in layout.problems:
        found.setdefault(problem.fault, []).append(problem.about)
    return found


@pytest.mark.parametrize(("kind", "name"), SYNONYMS)
@pytest.mark.parametrize("pattern", ["{}/s01_e2_0001.png", "train/s01/0001_{}.png"])
def test_synonyms(kind, name, pattern):
    if "/" in name and pattern.endswith("_{}.png"):
        pattern = "{}/0001.png"
    assert read_path(PurePath(pattern.format(name))).kind == kind


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("normals/0001.png", "diffuse, specular or shape"),
        ("normalmap/0001.png", "diffuse, specular or shape"),
        ("Map-COL.jpg", "diffuse albedo or texture"),
        ("albedo_mask/1.png", "albedo and mask"),
        ("diffuse_specular_normals/1.png", "diffuse and specular"),
        ("diffuse_lit/1.png", "diffuse and lit"),
        ("SpecNormals_object_tangent/1.png", "object and tangent"),
    ],
)
def test_what_is_ambiguous_is_said_and_not_chosen(path, reason):
    said = read_path(PurePath(path))
    assert said.kind is None
    assert said.unclear
    assert reason in said.reason


@pytest.mark.parametrize("path", ["specular_roughness/1.png", "s1_displacement.png", "0001.png"])
def test_other_maps_are_no_kind(path):
    said = read_path(PurePath(path))
    assert said.kind is None
    assert not said.unclear


def test_words_on_space_green_and_encoding_are_kept():
    said = read_path(PurePath("normals/specular_object_DirectX/0001.png"))
    assert (said.kind, said.space, said.green) == ("specular_normals", "object", "dx")
    assert read_path(PurePath("diffAlb_linear/1.png")).encoding == "linear"
    assert read_path(PurePath("object_1/diffAlb.png")).space is None  # a colour has none


@given(
    names=st.tuples(*(st.sampled_from(NAMES[kind].split()) for kind in FIVE)),
    pattern=st.sampled_from(
        ["{name}/{key}.png", "{key}/{name}.png", "top/{name}/{key}.png", "{name}/x_{key}.png"]
    ),
)
def test_any_names_pair(tmp_path_factory, names, pattern):
    source = tmp_path_factory.mktemp("source")
    keys = ["0001", "0002"]
    write_files(source, [pattern.format(name=n, key=k) for n in names for k in keys])
    layout = discover(source)
    assert layout.problems == ()
    assert set(layout.files) == set(FIVE)
    assert [key.removeprefix("x_") for key in layout.keys] == keys
    for kind, name in zip(FIVE, names, strict=True):
        paths = {k: source / pattern.format(name=name, key=k) for k in keys}
        assert list(layout.files[kind].values()) == list(paths.values())


def pairs_of(folder, first, second):
    layout = discover(write_files(folder, [*first, *second]))
    return layout, [
        (layout.files["diffuse_albedo"][key], layout.files["specular_normals"][key])
        for key in layout.keys
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("DiffuseAlbedo/da_{:04d}.png", "SpecNormals/sn_{:04d}.png"),
        ("DiffuseAlbedo/{:04d}.png", "SpecNormals/{}.png"),
        ("İ müller/{}/diffAlb.png", "İ müller/{}/specNormals.png"),
        ("{:04d}_diffAlb_linear.png", "{:04d}_specNormals_object_gl.png"),
        ("DiffuseAlbedo/RFDB_foo_{}.png", "SpecNormals/RFDB_bar_{}.png"),
        ("object_{}_diffAlb.png", "object_{}_specNormals.png"),
        ("DiffuseAlbedo/s01_e2_{}.png", "SpecNormals/S01-E2-{}.png"),
    ],
)
def test_keys_that_are_written_differently_pair(tmp_path, first, second):
    numbers = range(12)
    firsts, seconds = ([text.format(n) for n in numbers] for text in (first, second))
    layout, pairs = pairs_of(tmp_path, firsts, seconds)
    expected = {(tmp_path / a, tmp_path / b) for a, b in zip(firsts, seconds, strict=True)}
    assert set(pairs) == expected
    assert not layout.problems


def test_words_left_out_to_pair_are_told(tmp_path):
    layout, _ = pairs_of(tmp_path, ["diffuse/foo_1.png", "diffuse/foo_2.png"],
                         ["specNrm/bar_1.png", "specNrm/bar_2.png"])  # fmt: skip
    assert any("foo" in note for note in layout.notes)
    assert any("foo" in line for line in describe(layout))


def test_subjects_with_other_numbers_never_pair(tmp_path):
    layout, pairs = pairs_of(tmp_path, ["diffuse/s01_1.png", "diffuse/s01_2.png"],
                             ["specNrm/s02_1.png", "specNrm/s02_2.png"])  # fmt: skip
    assert pairs == []
    assert len(faults(layout)["unpaired"]) == 4


def test_padding_is_kept_where_it_tells_files_apart(tmp_path):
    names = ["1.png", "01.png"]
    layout, pairs = pairs_of(
        tmp_path, [f"diffuse/{n}" for n in names], [f"specNrm/{n}" for n in names]
    )
    assert sorted((a.name, b.name) for a, b in pairs) == [(n, n) for n in sorted(names)]
    assert not layout.problems


def test_every_file_is_taken_or_listed(tmp_path):
    source = write_files(tmp_path, [f"{kind}/{n}.png" for kind in FIVE for n in range(4)])
    write_files(source, ["normals/0.png", "foo.png", "shape/1_xyz.png", ".hidden/shape/9.png"])
    write_files(source, ["shape/0.png"], size=9)
    write_files(source, [f"{kind}/5.png" for kind in FIVE], size=10)
    (source / "readme.txt").write_text("")
    (source / "diffuse_albedo" / "2.png").unlink()
    (source / "diffuse_normals" / "3.png").write_bytes(b"no image")
    (source / "mask").mkdir()
    (source / "shape" / "7.png.partial").write_bytes(b"")
    layout = discover(source)
    assert faults(layout) == {
        "unrecognised": ["readme.txt", "foo.png"],
        "ambiguous": ["normals/0.png"],
        "duplicate": ["1 (shape/1.png, shape/1_xyz.png)"],
        "unreadable": ["diffuse_normals/3.png"],
        "unpaired": ["1", "2", "3"],
        "size": ["0", *(f"{kind}/5.png" for kind in FIVE)],
    }
    assert layout.keys == ["0", "5"]
    taken = {path for files in layout.files.values() for path in files.values()}
    listed = "\n".join(problem.about for problem in layout.problems)
    seen = (p for p in source.rglob("*.png") if not any(x.startswith(".") for x in p.parts))
    assert all(p in taken or p.relative_to(source).as_posix() in listed for p in seen)


def test_the_report(tmp_path):
    source = write_files(tmp_path, [f"{kind}/{n:02d}.png" for kind in FIVE for n in range(20)])
    for number in range(7):
        (source / "shape" / f"{number:02d}.png").unlink()
    lines = describe(discover(source))
    assert "diffuse_albedo: 20 files, 8x8 uint8, 00 is diffuse_albedo/00.png" in lines
    assert f"13 keys have all of {', '.join(FIVE)}" in lines
    assert lines[-1] == "unpaired (7): lacks shape: 00, 01, 02, 03, 04 and 2 more"


def test_signs_that_differ_by_kind_pair_and_others_are_kept(tmp_path):
    names = ["diffuse/face-0.png", "diffuse/face_0.png", "specNrm/face-0.png", "specNrm/face_0.png"]
    assert discover(write_files(tmp_path / "kept", names)).keys == ["face-0", "face_0"]
    layout, pairs = pairs_of(tmp_path / "differ", ["diffuse/a-1.png"], ["specNrm/a_1.png"])
    assert len(pairs) == 1
    assert set(layout.keys) < {"a-1", "a_1"}


def test_an_empty_folder_and_none(tmp_path):
    assert describe(discover(tmp_path)) == ["no maps were found"]
    with pytest.raises(InputError, match="no folder"):
        discover(tmp_path / "missing")


def test_links_are_followed_once(tmp_path):
    source = write_files(tmp_path / "in", ["diffuse/1.png"])
    write_files(tmp_path / "elsewhere", ["1.png"])
    try:
        (source / "specNormals").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (source / "loop").symlink_to(source, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert list(discover(source).files) == ["diffuse_albedo", "specular_normals"]


def test_contradicting_words_are_listed(tmp_path):
    source = write_files(tmp_path, ["specNormals/1_gl.png", "specNormals/2_dx.png"])
    layout = discover(source)
    assert layout.entries["specular_normals"].green is None
    assert faults(layout)["ambiguous"] == ["specular_normals"]


def test_a_layout_file_gives_the_same(tmp_path):
    source = write_files(tmp_path / "in", [f"{k}/{n}/{n}_{k}.png" for k in "ab" for n in (1, 2)])
    write_files(source, ["c/1.png", "d/1.PNG", "d/2.PNG"])
    (tmp_path / "layout.yaml").write_text(
        "diffuse_albedo: a/{key}/{key}_a.png\n"
        "specular_normals: {files: 'b/{key}/{key}_b.png', green: dx}\n"
        "shape: d/{key}\n"
    )
    layout = discover(source, read_layout(tmp_path / "layout.yaml"))
    assert layout.keys == ["1", "2"]
    assert list(layout.files) == ["diffuse_albedo", "specular_normals", "shape"]
    assert layout.entries["specular_normals"] == Entry("b/{key}/{key}_b.png", green="dx")
    assert faults(layout) == {"unrecognised": ["c/1.png"]}


def test_patterns_that_match_nothing_are_refused(tmp_path):
    source = write_files(tmp_path, ["a/1.png"])
    with pytest.raises(InputError, match=r"shape: b/\{key\}"):
        discover(source, {"diffuse_albedo": Entry("a/{key}"), "shape": Entry("b/{key}")})


def test_files_of_two_patterns_are_listed(tmp_path):
    source = write_files(tmp_path, ["a/1.png", "a/2_n.png"])
    entries = {"diffuse_albedo": Entry("a/{key}.png"), "specular_normals": Entry("a/{key}_n.png")}
    with pytest.raises(InputError, match="specular_normals"):  # all of its files are ambiguous
        discover(source, entries)
    assert faults(discover(source, {"diffuse_albedo": Entry("a/{key}.png")})) == {}


@pytest.mark.parametrize(
    "text",
    ["shape: {files: 'a/{key}.png', sapce: object}", "shape: {space: object}",
     "mask: {files: 'a/{key}.png', space: object}", "shape: a/b.png", "albedo: a/{key}.png",
     "shape_normals: {files: 'a/{key}.png', green: up}", "", "- a", "shape: 3", "shape: [", "{}"],
)  # fmt: skip
def test_layouts_that_are_none(tmp_path, text):
    (tmp_path / "layout.yaml").write_text(text)
    with pytest.raises(InputError, match="layout"):
        read_layout(tmp_path / "layout.yaml")


def test_order_of_folders_and_files_means_nothing(tmp_path):
    names = [f"{kind}/{number}.png" for kind in FIVE for number in range(3)]
    layouts = [
        discover(write_files(tmp_path / str(turn), order))
        for turn, order in enumerate((names, names[::-1]))
    ]
    one, other = ([*itertools.chain(*(f.values() for f in lay.files.values()))] for lay in layouts)
    assert [p.relative_to(tmp_path / "0") for p in one] == [
        p.relative_to(tmp_path / "1") for p in other
    ]
