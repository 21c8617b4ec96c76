"""Procedural patches from the command line: as shards, and as a stream to train on."""

from pathlib import Path

import pytest
import torch
import yaml

from tests.cli.command import TINY_NETWORK, run

CONFIGS = Path(__file__).parents[2] / "configs"
SIZE = ("--height", 128, "--width", 192)


def test_synth_writes_shards_that_verify(tmp_path, capsys):
    out = tmp_path / "shards"
    flags = ("--patches", 5, "--patch", 32, "--workers", 1)
    code, said, err = run(capsys, "synth", out, *SIZE, *flags)
    assert code == 0, err
    assert "4 train, 1 val samples" in said
    code, said, _ = run(capsys, "verify", out)
    assert (code, said.strip()) == (0, "no faults")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--patches", 1), "patches 1"),
        (("--patches", 4, "--subjects", 1), "subjects 1"),
        (("--patches", 4, "--patch", 0), "patch 0"),
        (("--patches", 4, "--workers", 0), "workers 0"),
        (("--patches", 4, "--patch", 256), "256x256 in maps of 128x192"),
        (("--patches", 4, "--height", 100, "--width", 200), "--height 133, or --width 150"),
    ],
)
def test_numbers_of_patches(tmp_path, capsys, flags, words):
    code, _, err = run(capsys, "synth", tmp_path / "out", *SIZE, *flags)
    assert code == 2
    assert words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_training_on_the_stream_needs_no_files(tmp_path, capsys):
    tiny = {
        **TINY_NETWORK,
        "data.crop": 32,
        "data.samples_per_epoch": 2,
        "data.validation_samples": 1,
        "data.narrowest_map": 192,
        "data.widest_map": 384,
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 1,
        "trainer.enable_progress_bar": "false",
        "wandb": "disabled",
        "run_dir": tmp_path / "run",
    }
    configs = [f"--config={CONFIGS / name}.yaml" for name in ("diffuse_albedo", "procedural")]
    code, _, err = run(capsys, "train", "fit", *configs, *(f"--{k}={v}" for k, v in tiny.items()))
    assert code == 0, err
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]
    assert saved["class_path"].endswith("ProceduralDataModule")
    own = yaml.safe_load((CONFIGS / "diffuse_albedo.yaml").read_text())["data"]["batch_size"]
    assert saved["init_args"]["batch_size"] == own
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0.5 < last["descriptor"]["millimetres_per_texel"] < 3
    given = {**tiny, "trainer.max_epochs": 2}
    for name, value in (
        ("narrowest_map", "300"), ("widest_map", "400"), ("flaws", "[background]"), ("seed", "1"),
    ):  # fmt: skip
        changed = {**given, f"data.{name}": value}
        flags = (f"--{k}={v}" for k, v in changed.items())
        code, _, err = run(capsys, "train", "fit", *configs, *flags)
        assert code == 2, name
        assert f"data.{name} " in err
    flags = [f"--{k}={v}" for k, v in given.items() if "_map" not in k]
    code, _, err = run(capsys, "train", "fit", configs[0], *flags, "--data.shards=x")
    assert code == 2
    assert "a run with data ProceduralDataModule" in err
