"""`realface weights export`: flags, exit codes, what is printed and what is left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.command import refused, run
from tests.export.generators import specular_albedo
from tests.test_weights import Trap
from tests.trained import save_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    return save_checkpoint(specular_albedo(licence="CC0-1.0"), tmp_path / "last.ckpt")


def test_licence_and_note_come_from_flags(tmp_path, capsys, checkpoint):
    out = tmp_path / "weights"
    code, said, err = run(capsys, "weights", "export", checkpoint, out)
    assert (code, err) == (0, "")
    assert said.strip() == str(out / "specular_albedo.safetensors")
    assert json.loads((out / "specular_albedo.json").read_text())["licence"] == "CC0-1.0"
    code, _, _ = run(capsys, "weights", "export", checkpoint, out,
                     "--licence", "MIT", "--note", "Bad at beards.")  # fmt: skip
    assert code == 0
    assert json.loads((out / "specular_albedo.json").read_text())["licence"] == "MIT"
    card = (out / "specular_albedo.md").read_text()
    assert "- licence: MIT\n" in card
    assert card.endswith("Bad at beards.\n")


def test_missing_licence_is_told(tmp_path, capsys):
    checkpoint = save_checkpoint(specular_albedo(), tmp_path / "last.ckpt")
    code, _, err = run(capsys, "weights", "export", checkpoint, tmp_path / "weights")
    assert code == 0
    assert "--licence" in err


@pytest.mark.slow
def test_graphs_with_their_difference_and_no_word_of_others(tmp_path, checkpoint):
    done = subprocess.run(
        [sys.executable, "-c", "from realface.cli.main import main; main()", "weights", "export",
         checkpoint, tmp_path / "out", "--onnx", "--torch-export"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [Path(line.split(":")[0]).suffix for line in lines] == [".safetensors", ".onnx", ".pt2"]
    assert all("largest difference" in line for line in lines[1:])
    assert all(line.startswith("INFO: writing") for line in done.stderr.splitlines()), done.stderr


def test_without_the_extra_nothing_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("realface.export.onnx_graph.find_spec", lambda name: None)
    err = refused(capsys, "weights", "export", tmp_path / "none", tmp_path / "weights", "--onnx")
    assert 'pip install "realface[export]"' in err


def test_checkpoint_with_code_in_it_does_not_run(tmp_path, capsys, checkpoint):
    sprung, out = tmp_path / "sprung", tmp_path / "weights"
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "callbacks": Trap(sprung)}, checkpoint)
    err = refused(capsys, "weights", "export", checkpoint, out, "--onnx", "--torch-export")
    assert "not plain data" in err
    assert not sprung.exists()
    assert not out.exists()
