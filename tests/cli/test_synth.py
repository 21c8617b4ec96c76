"""synth as a command: which flags go together, and heads of one's own."""

import pytest

from realface.maps.subject import Subject
from realface.synthetic import ProceduralSubject
from tests.cli.command import refused, run
from tests.geometry.conftest import as_mesh, make_square, write_obj

SIZE = ("--height", 32, "--width", 48)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--patch", 64), "--patch without --patches"),
        (("--workers", 2), "--workers without --patches"),
        (("--landmarks", "places.json"), "--landmarks without --mesh"),
        (("--part", "face"), "--part without --mesh"),
        (("--flip-v",), "--flip-v without --mesh"),
        (("--patches", 8, "--lit"), "--lit with --patches"),
        (("--patches", 8, "--mesh", "head.obj"), "--mesh with --patches"),
        (("--patches", 8, "--flaws", "blur"), "flaws blur"),
        (("--flaws", "scratches"), "flaws scratches"),
        (("--subjects", 0), "--subjects 0"),
        (("--height", 0), "0x48"),
        (("--height", 48), "--height 32"),
        (("--seed", -1), "--seed -1"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, capsys, flags, words):
    assert words in refused(capsys, "synth", tmp_path / "out", *SIZE, *flags)
    assert not (tmp_path / "out").exists()


def test_flaws_reach_the_maps(tmp_path, capsys):
    for name, flaws in (("clean", ()), ("flawed", ("--flaws", "leaning_normals", "blur"))):
        code, _, err = run(capsys, "synth", tmp_path / name, "--subjects", 1, *SIZE, *flaws)
        assert code == 0, err
    clean, flawed = (
        Subject(tmp_path / name / "synthetic-000000").open("specular_normals").whole()
        for name in ("clean", "flawed")
    )
    assert (clean - flawed).abs().mean() > 0.05


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
