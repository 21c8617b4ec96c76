"""The whole job by its commands: synth, pack, verify, train, export, infer."""

import csv
import json
from pathlib import Path

import pytest
import torch

from realface.maps.subject import Subject
from realface.weights import load_checkpoint
from tests.cli.command import run

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = (
    "--model.init_args.base_channels=2",
    "--model.init_args.downsamples=2",
    "--model.init_args.blocks=1",
    "--model.init_args.discriminator_channels=2",
    "--model.init_args.discriminator_layers=1",
    "--model.init_args.licence=CC0-1.0",
    "--data.crop=48",
    "--data.samples_per_epoch=4",
    "--data.validation_samples=2",
    "--data.workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    from realface.cli.main import main

    folder = tmp_path_factory.mktemp("job")
    size = ("--height", "128", "--width", "192")
    for command in (
        ["synth", folder / "subjects", "--subjects", "3", *size, "--lit"],
        ["pack", folder / "subjects", folder / "shards", "--patch", "64", "--stride", "64"],
        ["verify", folder / "shards"],
    ):
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in command])
        assert caught.value.code == 0, command
    return folder / "shards"


def train(capsys, shards, folder, *more, translator="specular_albedo"):
    return run(
        capsys,
        "train",
        "fit",
        "--config",
        CONFIGS / f"{translator}.yaml",
        "--config",
        CONFIGS / "smoke.yaml",
        "--data.shards",
        shards,
        "--run_dir",
        folder,
        *TINY,
        *more,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_from_nothing_to_a_map(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run", "--trainer.max_epochs=1")
    assert code == 0, err
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert (tmp_path / "run" / "panels" / "epoch-0000-specular_albedo.png").is_file()
    assert (tmp_path / "run" / "config.yaml").is_file()
    assert load_checkpoint(checkpoint).descriptor.millimetres_per_texel == pytest.approx(
        json.loads((shards / "index.json").read_text())["millimetres_per_texel"]
    )
    code, _, err = run(capsys, "weights", "export", checkpoint, tmp_path / "weights")
    assert code == 0, err
    assert "licence: CC0-1.0" in (tmp_path / "weights" / "specular_albedo.md").read_text()
    subject = sorted((shards.parent / "subjects").iterdir())[0]
    flags = ["--input", subject, "--window", "128", "--overlap", "64", "--device", "cpu"]
    for name, source in (("weights", tmp_path / "weights"), ("checkpoint", checkpoint)):
        code, out, err = run(capsys, "infer", *flags, f"--{name}", source,
                             "--output", tmp_path / f"by-{name}")  # fmt: skip
        assert code == 0, err
        assert "2 windows" in out
    maps = [
        Subject(tmp_path / f"by-{name}").open("specular_albedo").whole()
        for name in ("weights", "checkpoint")
    ]
    assert maps[0].shape == (1, 128, 192)
    assert torch.equal(*maps)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_same_command_goes_on_from_the_last_checkpoint(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run", "--trainer.max_epochs=1")
    assert code == 0, err
    assert "resuming" not in err
    first = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    code, _, err = train(capsys, shards, tmp_path / "run", "--trainer.max_epochs=2")
    assert code == 0, err
    assert "resuming from" in err
    second = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert second["global_step"] == 2 * first["global_step"]
    assert (tmp_path / "run" / "panels" / "epoch-0001-specular_albedo.png").is_file()
    rows = []
    for log in (tmp_path / "run" / "logs").glob("version_*/metrics.csv"):
        with log.open() as file:
            rows += csv.DictReader(file)
    assert {row["epoch"] for row in rows} >= {"0", "1"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_de_lighting_trains_without_a_stored_texture(tmp_path, capsys, shards):
    flags = ("--trainer.fast_dev_run=true",)
    code, _, err = train(capsys, shards, tmp_path / "run", *flags, translator="diffuse_albedo")
    assert code == 0, err


@pytest.mark.filterwarnings("ignore")
def test_shards_that_are_not_there(tmp_path, capsys):
    code, _, err = train(capsys, tmp_path / "nowhere", tmp_path / "run")
    assert code == 2
    assert "realface pack" in err
