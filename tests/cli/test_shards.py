"""`realface pack` and `realface verify` from the command line."""

import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from realface import translators
from realface.cli.shards import NEEDS
from realface.data.index import Terms
from tests.cli.command import refused, run
from tests.data.conftest import index_of, write_patches, write_subject
from tests.faces import face_maps

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = ("--patch", 24, "--stride", 12, "--minimum-valid", 0.3, "--workers", 1)
KINDS = {kind: f"{kind}/{{key}}.png" for kind in ("diffuse_albedo", "specular_normals", "shape")}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for number in range(3):
        write_subject(folder / f"face-{number}", face_maps(48, 64, phase=float(number)))
    return folder


def test_packs_and_verifies(faces, tmp_path, capsys):
    code, out, err = run(capsys, "pack", faces, tmp_path / "out", *SMALL)
    assert code == 0
    assert "30 train, 15 val, 2 whole-train, 1 whole-val samples" in out
    assert "specular_normals: taken as unit_vector, object, gl" in err
    code, out, _ = run(capsys, "verify", tmp_path / "out", "--workers", 1)
    assert code == 0
    assert "no faults" in out
    shard = tmp_path / "out" / "val-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-700])
    code, out, _ = run(capsys, "verify", tmp_path / "out", "--workers", 1)
    assert code == 1
    assert "val-000000.tar" in out


def test_a_dry_run_reports_on_stdout_and_writes_nothing(faces, tmp_path, capsys):
    code, out, _ = run(capsys, "pack", faces, tmp_path / "out", *SMALL, "--dry-run")
    assert code == 0
    for words in ("3 subject folders", "taken as srgb", "validation subjects: face-", "48 samples",
                  "GB on disk as png"):  # fmt: skip
        assert words in out
    assert not list(tmp_path.iterdir())


def test_what_is_said_of_files(tmp_path, capsys):
    source = write_patches(tmp_path / "in", KINDS)
    flags = ("--green", "dx", "--encoding", "diffuse_albedo=linear", "--workers", 1)
    code, _, err = run(capsys, "pack", source, tmp_path / "out", *flags)
    assert code == 0
    assert "specular_normals: taken as unit_vector, object, dx" in err
    assert "diffuse_albedo: taken as linear" in err
    assert "specular_normals is taken as dx, but looks gl" in err


@pytest.mark.parametrize(
    "flags",
    [("--green", "up"), ("--space", "specular_normals=world"), ("--encoding", "=srgb=x"),
     ("--codec", "webp"), ("--workers", "many")],
)  # fmt: skip
def test_flags_that_are_none(tmp_path, capsys, flags):
    code, _, err = run(capsys, "pack", tmp_path, tmp_path / "out", *flags)
    assert code == 2
    assert flags[0] in err


def test_flags_for_what_is_not_there(tmp_path, capsys):
    source = write_patches(tmp_path / "in", KINDS)
    assert "mask" in refused(capsys, "pack", source, tmp_path / "out", "--encoding", "mask=linear")
    assert "workers 0" in refused(capsys, "pack", source, tmp_path / "out", "--workers", 0)


def test_terms_are_kept_and_told(tmp_path, capsys):
    source = write_patches(tmp_path / "in", KINDS)
    day = date.today() - timedelta(days=720)
    flags = ("--source", "RealFaceDB", "--licence", "signed", "--workers", 1)
    code, _, err = run(
        capsys, "pack", source, tmp_path / "out", *flags, "--downloaded", day.isoformat()
    )
    assert code == 0
    (terms,) = index_of(tmp_path / "out").terms
    assert terms == Terms("RealFaceDB", "signed", terms.expires)
    assert 9 <= (date.fromisoformat(terms.expires) - date.today()).days <= 11
    assert "RealFaceDB must be destroyed by" in err
    code, _, err = run(capsys, "verify", tmp_path / "out", "--workers", 1)
    assert code == 0
    assert "must be destroyed by" in err
    both = ("--downloaded", "2025-01-01", "--expires", "2025-01-01")
    assert "leave one out" in refused(capsys, "pack", source, tmp_path / "again", *both)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_tells_how_to_go_on(tmp_path, capsys, workers):
    source = write_patches(tmp_path / "in", KINDS, count=150, size=48)
    program = "import sys; from realface.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "pack", source, tmp_path / "out", "--workers", workers],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not list(tmp_path.glob(".out.partial/*/*.json")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    begun = time.monotonic()
    told = process.communicate(timeout=20)[1]
    assert time.monotonic() - begun < 10
    assert process.returncode == 130
    assert "run the same command to go on" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()
    assert run(capsys, "pack", source, tmp_path / "out", "--workers", 1)[0] == 0


def test_what_shards_are_enough_for_is_what_the_translators_need():
    """The table spares `pack` the import of Lightning."""
    for kind, needed in NEEDS.items():
        said = yaml.safe_load((CONFIGS / f"{kind}.yaml").read_text())["model"]
        name = said["class_path"].rpartition(".")[2]
        small = {"base_channels": 2, "discriminator_channels": 2}
        built = getattr(translators, name)(**{**said["init_args"], **small})
        assert set(needed) == set(built.required_kinds)


def test_pack_tells_what_its_shards_can_train(tmp_path, capsys):
    kinds = {"diffuse_albedo": "DiffAlb/{key}.png", "specular_albedo": "SpecAlb/{key}.png"}
    write_patches(tmp_path / "in", kinds)
    code, out, err = run(capsys, "pack", tmp_path / "in", tmp_path / "out", "--dry-run")
    assert code == 0, err
    assert "enough for specular_albedo; diffuse_albedo lacks diffuse_normals" in out


def test_a_flag_for_a_kind_that_is_none(faces, tmp_path, capsys):
    said = refused(capsys, "pack", faces, tmp_path / "out", *SMALL, "--encoding", "specular=linear")
    assert "a flag for specular" in said


@pytest.mark.parametrize("inside", [True, False])
def test_shards_do_not_go_into_their_source_nor_around_it(faces, capsys, inside):
    out = faces / "shards" if inside else faces.parent
    said = refused(capsys, "pack", faces, out, *SMALL)
    assert "in it nor around it" in said or "name another folder" in said
    assert not (faces / "shards").exists()


def test_data_that_must_be_gone_is_not_copied(faces, tmp_path, capsys):
    gone = str(date.today() - timedelta(1))
    said = refused(capsys, "pack", faces, tmp_path / "out", *SMALL, "--expires", gone)
    assert f"must have been destroyed by {gone}" in said
