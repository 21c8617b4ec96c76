"""synth as a command: which flags go together, and heads of one's own."""

import pytest

from realface.maps.files import read_image
from realface.maps.record import FILE_NAME, read_record
from realface.maps.subject import Subject
from realface.synthetic import ProceduralSubject
from realface.synthetic.flaws import FLAWS
from tests.cli.command import refused, run
from tests.geometry.conftest import as_mesh, make_square, write_obj

SIZE = ("--height", 32, "--width", 48)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--patch", 64), "--patch without --patches"),
        (("--patch", 0), "--patch without --patches"),
        (("--workers", 2), "--workers without --patches"),
        (("--workers", 0), "--workers without --patches"),
        (("--patches", 0), "patches 0"),
        (("--patches", 8, "--patch", 0), "patch 0"),
        (("--patches", 8, "--workers", 0), "workers 0"),
        (("--millimetres-per-unit", 0), "--millimetres-per-unit without --mesh"),
        (("--source", ""), "--source without --mesh"),
        (("--landmarks", "places.json"), "--landmarks without --mesh"),
        (("--part", "face"), "--part without --mesh"),
        (("--flip-v",), "--flip-v without --mesh"),
        (("--patches", 8, "--lit"), "--lit with --patches"),
        (("--patches", 8, "--mesh", "head.obj"), "--mesh with --patches"),
        (("--patches", 8, "--flaw", "blur"), "flaws blur"),
        (("--flaw", "scratches"), "flaws scratches"),
        (("--subjects", 0), "--subjects 0"),
        (("--height", 0), "0x48"),
        (("--height", 48), "--height 32"),
        (("--seed", -1), "seeds -1 to 6"),
        (("--seed", 2**31 - 7), "seeds 2147483641 to 2147483648"),
        (("--seed", 10**20, "--subjects", 1), "seed 100000000000000000000"),
        (("--patches", 2, "--seed", 2**63 - 1), "seeds 9223372036854775807"),
        (("--patches", 8, "--subjects", 2, "--seed", 2**31 - 1), "seeds 2147483647 to 2147483648"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, capsys, flags, words):
    assert words in refused(capsys, "synth", tmp_path / "out", *SIZE, *flags)
    assert not (tmp_path / "out").exists()


def test_flaws_reach_the_maps(tmp_path, capsys):
    flags = ("--flaw", "leaning_normals", "--flaw", "blur")
    for name, flaws in (("clean", ()), ("flawed", flags)):
        code, _, err = run(capsys, "synth", *flaws, tmp_path / name, "--subjects", 1, *SIZE)
        assert code == 0, err
    clean, flawed = (
        Subject(tmp_path / name / "synthetic-000000").open("specular_normals").whole()
        for name in ("clean", "flawed")
    )
    assert (clean - flawed).abs().mean() > 0.05
    assert read_record(tmp_path / "flawed" / "synthetic-000000").flaws == flags[1::2]


def test_help_names_every_flaw_and_says_which_are_for_inputs(capsys):
    code, out, _ = run(capsys, "synth", "--help")
    assert code == 0
    assert all(name in out for name in FLAWS)
    assert "inputs" in out


def test_what_is_there_is_kept_if_it_is_what_is_asked_for(tmp_path, capsys):
    asked = ("synth", tmp_path, "--seed", 5, "--subjects", 1, *SIZE, "--flaw", "background")
    folder = tmp_path / "synthetic-000005"
    assert run(capsys, *asked)[0] == 0
    (folder / "diffuse_albedo.tif").write_bytes(b"mine")
    assert run(capsys, *asked)[0] == 0
    assert (folder / "diffuse_albedo.tif").read_bytes() == b"mine"


def test_what_is_there_but_made_otherwise_is_refused_before_the_work(tmp_path, capsys):
    out = ("synth", tmp_path, *SIZE)
    folder = tmp_path / "synthetic-000005"
    assert run(capsys, *out, "--seed", 5, "--subjects", 1)[0] == 0
    record = (folder / FILE_NAME).read_text()
    pixels = read_image(folder / "diffuse_albedo.tif")
    for flags, words in (
        (("--flaw", "background"), ("flaws", "none", "background")),
        (("--mesh", "head.obj", "--licence", "mine"), ("licence", "mine", "CC0-1.0")),
        (("--mesh", "head.obj", "--licence", "CC0-1.0"), ("source", "head.obj")),
    ):
        err = refused(capsys, *out, "--seed", 4, "--subjects", 2, *flags)
        assert "synthetic-000005" in err
        assert all(word in err for word in words)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic-000005"]
    assert (folder / FILE_NAME).read_text() == record
    assert (read_image(folder / "diffuse_albedo.tif") == pixels).all()


def test_a_subject_under_another_s_name_is_refused(tmp_path, capsys):
    assert run(capsys, "synth", tmp_path, "--seed", 5, "--subjects", 1, *SIZE)[0] == 0
    (tmp_path / "synthetic-000005").rename(tmp_path / "synthetic-000006")
    err = refused(capsys, "synth", tmp_path, "--seed", 6, "--subjects", 1, *SIZE)
    assert "seed 5" in err


def test_a_mesh_that_is_no_face_is_refused(tmp_path, capsys):
    square = write_obj(tmp_path / "square.obj", make_square())
    refused(capsys, "synth", tmp_path / "out", *SIZE, "--mesh", square, "--subjects", 1)
    assert not (tmp_path / "out" / "synthetic-000000").exists()


def test_a_subject_on_a_head_of_one_s_own(tmp_path, capsys):
    """The head is a procedural one, written as a mesh."""
    maps = ProceduralSubject(5).maps(160, 240)
    head = write_obj(tmp_path / "head.obj", as_mesh(maps), normals=True)
    code, _, err = run(capsys, "synth", tmp_path / "out", "--subjects", 1, "--seed", 9,
                       "--height", 96, "--width", 96, "--mesh", head, "--millimetres-per-unit", 1,
                       "--source", "my scan", "--licence", "mine", "--lit")  # fmt: skip
    assert code == 0, err
    subject = Subject(tmp_path / "out" / "synthetic-000009")
    assert subject.size() == (96, 96)
    assert subject.record.licence == "mine"
    assert "my scan" in subject.record.source
    assert {"texture", "specular_normals", "occlusion"} <= set(subject.record.maps)
