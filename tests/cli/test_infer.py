"""`infer.py` as a user runs it, with tiny networks."""

import json

import numpy as np
import pytest
import torch

from realface.maps.encoding import linear_to_srgb
from realface.maps.files import write_image
from realface.maps.kinds import REFLECTANCE
from realface.maps.record import read_record
from realface.maps.subject import Subject
from tests.cli.command import PARTS, run
from tests.faces import write_face
from tests.trained import save_checkpoint, translator, write_weights


@pytest.fixture
def face(tmp_path):
    return write_face(tmp_path / "face")


@pytest.fixture
def weights(tmp_path):
    return write_weights(tmp_path / "weights")


def refused(capsys, arguments, words, code=2):
    got, _, err = run(capsys, "infer", *arguments)
    assert got == code, err
    for word in (*PARTS, *words):
        assert word in err


def test_maps_record_and_sheet(tmp_path, capsys, face, weights):
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights]
    code, out, err = run(capsys, "infer", *flags, "--device", "cpu")
    assert code == 0, err
    for kind in REFLECTANCE:
        assert f"{kind}: 1 window in" in out
        assert kind in err  # a bar for each map
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{kind}.tif" for kind in REFLECTANCE),
        "subject.json",
        "infer.json",
        "contact_sheet.png",
    }
    code, out, err = run(capsys, "infer", *flags, "--device", "cpu")
    assert code == 0
    assert err.count("is there already") == 4
    assert "\n\n" not in err  # no empty bar


def test_settings_may_come_from_a_config(tmp_path, capsys, weights):
    face = write_face(tmp_path / "face", 62, 93)
    config = tmp_path / "mine.yaml"
    config.write_text(f"pad: true\nformat: png\nbits: 8\nweights: {weights}\nwindow: 64\n"
                      "overlap: 32\ndevice: cpu\n")  # fmt: skip
    flags = ["--config", config, "--input", face, "--output", tmp_path / "out"]
    code, _, err = run(capsys, "infer", *flags)
    assert code == 0, err
    assert Subject(tmp_path / "out").size() == (62, 93)
    assert {record.bits for record in read_record(tmp_path / "out").maps.values()} == {8}


def test_checkpoint_overrides_its_own_translator(tmp_path, capsys, face, weights):
    mine = save_checkpoint(translator("specular_albedo", seed=5), tmp_path / "mine.ckpt")
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights, "--dry-run"]
    code, out, _ = run(capsys, "infer", *flags, "--checkpoint", mine)
    assert code == 0
    assert f"specular_albedo from mask, diffuse_albedo, by {mine}" in out
    assert f"by {weights / 'diffuse_albedo.safetensors'}" in out


def test_checkpoints_after_one_flag_or_several(tmp_path, capsys, face):
    paths = [save_checkpoint(translator(k), tmp_path / f"{k}.ckpt") for k in REFLECTANCE[:2]]
    flags = ["--input", face, "--output", tmp_path / "out", "--dry-run"]
    once = run(capsys, "infer", *flags, "--checkpoint", *paths)
    twice = run(capsys, "infer", *flags, "--checkpoint", paths[0], "--checkpoint", paths[1])
    assert once == twice
    assert once[0] == 0
    assert all(kind in once[1] for kind in REFLECTANCE[:2])


def test_wildcards_that_the_shell_has_left(tmp_path, capsys, face):
    paths = [
        save_checkpoint(translator(kind), tmp_path / "runs" / kind / "last.ckpt")
        for kind in REFLECTANCE[:2]
    ]
    flags = ["--input", face, "--output", tmp_path / "out", "--dry-run", "--checkpoint"]
    by_name = run(capsys, "infer", *flags, *paths)
    assert run(capsys, "infer", *flags, tmp_path / "runs" / "*" / "last.ckpt") == by_name
    assert by_name[0] == 0
    refused(capsys, [*flags, tmp_path / "none" / "*.ckpt"], ["*.ckpt", "check the path"])
    odd = save_checkpoint(translator("specular_albedo"), tmp_path / "odd[1].ckpt")
    assert run(capsys, "infer", *flags, odd)[0] == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--window", "large"], ["Expected int", "one of 'auto'", "Given value: large"]),
        (["--blend", "soft"], ["one of 'auto', 'cut', 'hann'", "Got value: soft"]),
        (["--blend", "avatarme", "--overlap", "64"], ["windows of 1536 px that share 768"]),
        (["--blend", "avatarme", "--window", "512"], ["leave these out"]),
    ],
)
def test_values_that_no_flag_takes(tmp_path, capsys, face, weights, flags, words):
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights, *flags]
    refused(capsys, flags, words)
    _, _, err = run(capsys, "infer", *flags)
    assert "typing" not in err
    assert not (tmp_path / "out").exists()


def test_dry_run_tells_what_comes_before_the_windows(tmp_path, capsys, face):
    one = translator("specular_albedo", norm="instance")
    path = save_checkpoint(one, tmp_path / "one.ckpt")
    flags = ["--input", face, "--output", tmp_path / "out", "--checkpoint", path, "--dry-run"]
    code, out, _ = run(capsys, "infer", *flags, "--window", 60, "--tolerance", "8-bit")
    assert code == 0
    assert "statistics  of the map's norms (thumbnail)" in out
    assert "tolerance   one 8-bit level" in out


def test_dry_run_writes_nothing(tmp_path, capsys, face, weights):
    before = sorted(tmp_path.rglob("*"))
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights, "--dry-run"]
    code, out, _ = run(capsys, "infer", *flags)
    assert code == 0
    assert "1 (1 row x 1 column)" in out
    assert "64x96 (height x width)" in out
    assert "in all      about" in out
    assert sorted(tmp_path.rglob("*")) == before


def test_two_checkpoints_of_one_translator(tmp_path, capsys, face):
    paths = [save_checkpoint(translator("diffuse_albedo"), tmp_path / n) for n in ("a", "b")]
    flags = ["--input", face, "--output", tmp_path / "out", "--checkpoint", *paths]
    refused(capsys, flags, ["both of diffuse_albedo"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ([], "neither --checkpoint nor --weights"),
        (["--checkpoint", "none.ckpt"], "none.ckpt"),
        (["--weights", "nowhere"], "nowhere"),
    ],
)
def test_no_translators(tmp_path, capsys, face, flags, word, monkeypatch):
    monkeypatch.setattr("realface.weights.shipped_weights", lambda: None)
    refused(capsys, ["--input", face, "--output", tmp_path / "out", *flags], [word])


def test_dry_run_refuses_the_output_that_the_run_would(tmp_path, capsys, face, weights):
    (tmp_path / "file").write_text("")
    flags = ["--input", face, "--output", tmp_path / "file", "--weights", weights, "--dry-run"]
    refused(capsys, flags, ["which is a file"])


@pytest.mark.parametrize("device", ["cuda:7", "abacus", "meta:x"])
def test_device_that_is_not_there(tmp_path, capsys, face, weights, device):
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, [*flags, "--device", device], [device, "--device cpu"])
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(tmp_path, capsys, face, weights):
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, [*flags, "--device", "cuda"], ["--device cuda", "--device cpu"])


def test_input_that_is_not_there(tmp_path, capsys, weights):
    flags = ["--output", tmp_path / "out", "--weights", weights]
    refused(capsys, ["--input", tmp_path / "none", *flags], ["does not exist"])
    (tmp_path / "empty").mkdir()
    refused(capsys, ["--input", tmp_path / "empty", *flags], ["without a single map"])


def test_format_that_cannot_hold_the_bits(tmp_path, capsys, face, weights):
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, [*flags, "--format", "tif", "--bits", "32"], ["tif at 32 bits"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"maps": 3}', '{"colour": 1}', "null"])
def test_unreadable_subject_json(tmp_path, capsys, face, weights, text):
    (face / "subject.json").write_text(text)
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, flags, ["subject.json"])
    assert not (tmp_path / "out").exists()


def test_output_in_the_subjects_own_folder(tmp_path, capsys, face, weights):
    before = {path.name: path.read_bytes() for path in face.iterdir()}
    flags = ["--input", face, "--output", face, "--weights", weights]
    refused(capsys, flags, ["own folder"])
    assert {path.name: path.read_bytes() for path in face.iterdir()} == before


# A texture and its mesh.


@pytest.fixture
def scan(tmp_path):
    """A grid of 9 x 13 vertices with UVs over the closed-form bump, and its texture."""
    rows, columns, lines = 9, 13, []
    for i in range(rows):
        for j in range(columns):
            u, v = j / (columns - 1), i / (rows - 1)
            x, y = 150 * u - 75, 110 * v - 55
            lines += [f"v {x} {y} {40 - (x / 12) ** 2 - (y / 10) ** 2}", f"vt {u} {v}"]
    for i in range(rows - 1):
        for j in range(columns - 1):
            a = i * columns + j + 1
            b, c, d = a + 1, a + columns + 1, a + columns
            lines += [f"f {a}/{a} {b}/{b} {c}/{c}", f"f {a}/{a} {c}/{c} {d}/{d}"]
    mesh, texture = tmp_path / "scan.obj", tmp_path / "scan.png"
    mesh.write_text("\n".join(lines) + "\n")
    write_texture(texture, 64, 96)
    return mesh, texture


def write_texture(path, height, width):
    values = linear_to_srgb(torch.linspace(0.2, 0.6, height * width * 3))
    pixels = (values.view(height, width, 3) * 65535).numpy().astype(np.uint16)
    write_image(path, pixels)


def test_texture_without_its_mesh_lies_on_a_flat_sheet(tmp_path, capsys, scan, weights):
    flags = ["--input", scan[1], "--output", tmp_path / "out", "--weights", weights]
    code, _, err = run(capsys, "infer", *flags)
    assert code == 0, err
    assert "flat sheet" in err
    assert "as if its width were 280 mm" in err
    sheet = Subject(tmp_path / "out" / "input")
    assert sheet.open("shape").whole()[2].abs().max() < 1e-3
    assert sheet.record.maps["shape"].derived
    # Another scale is another job, and so is a mesh.
    code, _, err = run(capsys, "infer", *flags, "--texel", "0.5")
    assert code == 0
    assert "0.5 mm a texel (as given)" in err
    assert "is there already" not in err
    code, _, err = run(capsys, "infer", *flags, "--mesh", scan[0])
    assert code == 0
    assert "flat sheet" not in err


def test_what_is_said_of_a_mesh_that_is_not_there(tmp_path, capsys, scan, weights):
    flags = ["--input", scan[1], "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, [*flags, "--flip-v"], ["--flip-v without a --mesh"])
    refused(capsys, [*flags, "--millimetres-per-unit", "2"], ["--millimetres-per-unit without"])
    refused(capsys, [*flags, "--texel", "0"], ["--texel 0"])
    assert not (tmp_path / "out").exists()


@pytest.fixture
def island(tmp_path):
    """A texture whose upper half is black, and a mesh that lies over its lower half alone."""
    texture, mesh = tmp_path / "island.png", tmp_path / "island.obj"
    pixels = np.random.default_rng(0).integers(9000, 50000, (64, 96, 3)).astype(np.uint16)
    pixels[:40] = 0
    write_image(texture, pixels)
    corners = [(0, 0), (1, 0), (1, 0.3), (0, 0.3)]
    lines = [f"v {150 * u} {150 * v} {u * v}\nvt {u} {v}" for u, v in corners]
    mesh.write_text("\n".join(lines) + "\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n")
    return texture, mesh


def test_a_textures_background_is_masked_out(tmp_path, capsys, island, weights):
    flags = ["--input", island[0], "--output", tmp_path / "out", "--weights", weights]
    code, _, err = run(capsys, "infer", *flags)
    assert code == 0, err
    assert f"{40 * 96} texels (62.5 %) are masked out" in err
    mask = Subject(tmp_path / "out" / "input").open("mask").whole()[0]
    assert not mask[:40].any()
    assert mask[40:].all()
    code, _, err = run(capsys, "infer", *flags, "--background", "none")
    assert code == 0
    assert "masked out" not in err
    assert "mask" not in Subject(tmp_path / "out" / "input")


def test_uvs_beside_the_face(tmp_path, capsys, island, weights):
    texture, mesh = island
    flags = ["--input", texture, "--mesh", mesh, "--output", tmp_path / "out", "--weights", weights]
    code, _, err = run(capsys, "infer", *flags)
    assert code == 0
    assert "belong together" not in err
    refused(capsys, [*flags, "--flip-v"], ["all miss", "leave --flip-v out"])
    mesh.write_text(mesh.read_text().replace("0.3", "0.8"))
    code, _, err = run(capsys, "infer", *flags)
    assert code == 0
    assert "is background" in err
    refused(capsys, [*flags, "--texel", "1", "--mask", write_mask(tmp_path, 0)], ["no texel"])


def write_mask(folder, value):
    path = folder / "none.png"
    write_image(path, np.full((64, 96, 1), value, np.uint8))
    return path


def test_a_black_texture_is_refused(tmp_path, capsys, weights):
    write_image(tmp_path / "black.png", np.zeros((64, 96, 3), np.uint8))
    flags = ["--input", tmp_path / "black.png", "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, flags, ["all of which is black"])


def test_weights_of_the_package(tmp_path, capsys, face, monkeypatch):
    own = write_weights(tmp_path / "own", REFLECTANCE[:2], licence="CC0-1.0")
    monkeypatch.setattr("realface.weights.shipped_weights", lambda: own)
    flags = ["--input", face, "--output", tmp_path / "out", "--dry-run"]
    code, out, err = run(capsys, "infer", *flags)
    assert code == 0, err
    assert f"weights     of the package: {own}" in out
    assert "diffuse_albedo, licence: CC0-1.0" in out
    assert "no weights for diffuse_normals, specular_normals" in err
    mine = write_weights(tmp_path / "mine", REFLECTANCE[2:])
    code, out, err = run(capsys, "infer", *flags, "--weights", mine)
    assert code == 0
    assert "of the package" not in out
    assert "diffuse_albedo from" not in out


def test_texture_with_mesh_and_mask(tmp_path, capsys, scan, weights):
    mesh, texture = scan
    mask = tmp_path / "valid.png"
    pixels = np.zeros((64, 96, 1), np.uint8)
    pixels[8:-8, 8:-8] = 255
    write_image(mask, pixels)
    flags = ["--input", texture, "--mesh", mesh, "--mask", mask, "--weights", weights]
    code, out, err = run(capsys, "infer", *flags, "--output", tmp_path / "out", "--dry-run")
    assert code == 0, err
    assert "64x96" in out
    assert not (tmp_path / "out").exists()
    code, _, err = run(capsys, "infer", *flags, "--output", tmp_path / "out")
    assert code == 0, err
    made = Subject(tmp_path / "out")
    assert set(REFLECTANCE) <= made.record.maps.keys()
    outside = torch.from_numpy(pixels[..., 0] == 0)
    assert made.open("diffuse_albedo").whole()[:, outside].max() == 0
    # The same command goes on from there: nothing is baked or stitched again.
    code, _, err = run(capsys, "infer", *flags, "--output", tmp_path / "out")
    assert code == 0
    assert err.count("is there already") == 4
    # A changed texture is a changed job.
    write_image(texture, np.full((64, 96, 3), 30000, np.uint16))
    code, _, err = run(capsys, "infer", *flags, "--output", tmp_path / "out")
    assert code == 0
    assert "is there already" not in err


def test_texture_of_a_size_that_does_not_fit_is_refused_before_the_bake(
    tmp_path, capsys, scan, weights
):
    mesh, texture = scan
    write_texture(texture, 62, 93)
    flags = ["--input", texture, "--mesh", mesh, "--output", tmp_path / "out"]
    refused(capsys, [*flags, "--weights", weights], ["62x93", "multiples of 4", "--pad"])
    assert not (tmp_path / "out").exists()


def test_damaged_texture_mesh_and_mask(tmp_path, capsys, scan, weights):
    mesh, texture = scan
    flags = ["--output", tmp_path / "out", "--weights", weights]
    write_texture(tmp_path / "small.png", 32, 48)
    refused(capsys, ["--input", texture, "--mesh", mesh, "--mask", tmp_path / "small.png", *flags],
            ["small.png", "64x96"])  # fmt: skip
    (tmp_path / "bad.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    refused(capsys, ["--input", texture, "--mesh", tmp_path / "bad.obj", *flags], ["UV"])
    refused(capsys, ["--input", texture, "--mesh", tmp_path / "none.obj", *flags], ["none.obj"])
    texture.write_bytes(texture.read_bytes()[:-2000])
    refused(capsys, ["--input", texture, "--mesh", mesh, *flags], ["scan.png"])
    assert not list((tmp_path).glob("out/*"))


def test_given_mask_only_narrows_the_baked_one(tmp_path, capsys, scan, weights):
    mesh, texture = scan
    lines = mesh.read_text().splitlines()
    faces = [number for number, line in enumerate(lines) if line.startswith("f ")]
    mesh.write_text("\n".join(lines[: faces[len(faces) // 2]]) + "\n")  # the upper half
    mask = tmp_path / "valid.png"
    pixels = np.zeros((64, 96, 1), np.uint8)
    pixels[:, 48:] = 255
    write_image(mask, pixels)
    code, _, err = run(capsys, "infer", "--input", texture, "--mesh", mesh, "--mask", mask,
                       "--weights", weights, "--output", tmp_path / "out")  # fmt: skip
    assert code == 0, err
    both = Subject(tmp_path / "out" / "input").open("mask").whole()[0]
    assert both[:, :48].max() == 0
    halves = both[:32, 48:].mean(), both[32:, 48:].mean()
    assert sorted(float(half) for half in halves) == pytest.approx([0, 1], abs=0.05)


def test_scale_of_the_mesh(tmp_path, capsys, scan, weights):
    mesh, texture = scan
    flags = ["--input", texture, "--mesh", mesh, "--weights", weights]
    out = ["--output", tmp_path / "out"]
    refused(capsys, [*flags, *out, "--millimetres-per-unit", "-1"], ["--millimetres-per-unit"])
    assert not (tmp_path / "out").exists()
    for scale in (1.0, 10.0):
        code, _, err = run(capsys, "infer", *flags, *out, "--millimetres-per-unit", scale)
        assert code == 0, err
        assert read_record(tmp_path / "out" / "input").millimetres_per_unit == scale
        assert "is there already" not in err


def test_what_no_bake_can_mend_is_refused_before_it(tmp_path, capsys, scan, weights, monkeypatch):
    def never(*_, **__):
        raise AssertionError("baked")

    monkeypatch.setattr("realface.geometry.subject_maps.bake_subject", never)
    mesh, texture = scan
    flags = ["--input", texture, "--mesh", mesh, "--output", tmp_path / "out"]
    more = ["--weights", weights, "--format", "png", "--bits", "32"]
    refused(capsys, [*flags, *more], ["png at 32 bits"])
    alone = write_weights(tmp_path / "alone", ("specular_albedo",))
    refused(capsys, [*flags, "--weights", alone], ["without diffuse_albedo"])
    assert not (tmp_path / "out").exists()


def test_mesh_or_mask_with_a_subject_folder(tmp_path, capsys, scan, face, weights):
    flags = ["--input", face, "--output", tmp_path / "out", "--weights", weights]
    refused(capsys, [*flags, "--mesh", scan[0]], ["--mesh with the subject folder"])
    refused(capsys, [*flags, "--mask", scan[1]], ["--mask with the subject folder"])
    refused(capsys, [*flags, "--millimetres-per-unit", "2"], ["--millimetres-per-unit with the"])


def test_texels_of_another_size_than_in_training(tmp_path, capsys, scan, face):
    mesh, texture = scan
    weights = write_weights(tmp_path / "weights", millimetres_per_texel=1.0)
    flags = ["--input", texture, "--mesh", mesh, "--weights", weights, "--output", tmp_path / "out"]
    scale = ["--millimetres-per-unit", "1"]
    code, out, err = run(capsys, "infer", *flags, *scale, "--dry-run")
    assert code == 0, err
    assert "trained at 1: run at" in out
    code, _, err = run(capsys, "infer", *flags, *scale)
    assert code == 0, err
    assert Subject(tmp_path / "out").size() == (64, 96)
    larger = Subject(tmp_path / "out" / "at_trained_texel")
    assert larger.size()[0] > 100
    assert set(REFLECTANCE) <= Subject(tmp_path / "out").record.maps.keys()
    code, _, err = run(capsys, "infer", *flags, *scale)
    assert code == 0
    assert err.count("is there already") == 8
    code, _, err = run(capsys, "infer", *flags, *scale, "--scale", "none")
    assert code == 0
    assert "expect detail of the wrong size" in err
    code, _, err = run(capsys, "infer", *flags, "--texel", "1.1")
    assert code == 0
    assert "expect detail" not in err
    assert "are brought back" not in err
    refused(capsys, [*flags, *scale, "--texel", "1"], ["--texel and --millimetres-per-unit"])


def test_weights_export(tmp_path, capsys):
    path = save_checkpoint(translator("specular_albedo"), tmp_path / "last.ckpt")
    code, out, _ = run(capsys, "weights", "export", path, tmp_path / "weights")
    assert code == 0
    assert out.strip().endswith("specular_albedo.safetensors")
    about = json.loads((tmp_path / "weights" / "specular_albedo.json").read_text())
    assert about["multiple_of"] == 4
    code, _, err = run(capsys, "weights", "export", tmp_path / "none", tmp_path / "weights")
    assert code == 2
    for part in PARTS:
        assert part in err
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "weights", "export", path, tmp_path / "file")
    assert code == 2  # a file where a folder is wanted is the user's to mend
    assert "given:" in err
