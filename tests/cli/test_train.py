"""`train.py` with bad input and bad luck, on shards of the closed-form face."""

from pathlib import Path

import pytest
import torch

from realface.data.pack import pack
from tests.cli.command import PARTS, run
from tests.faces import write_face

CONFIGS = Path(__file__).parents[2] / "configs"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    for number in range(3):
        write_face(folder / "faces" / f"face-{number}")
    pack(folder / "faces", folder / "shards", patch=32, stride=32)
    return folder / "shards"


def train(capsys, shards, folder, *more):
    tiny = {
        "model.init_args.generator": "global",
        "model.init_args.base_channels": 2,
        "model.init_args.downsamples": 1,
        "model.init_args.blocks": 1,
        "model.init_args.discriminator_channels": 2,
        "model.init_args.discriminator_layers": 1,
        "model.init_args.discriminator_scales": 1,
        "data.crop": 32,
        "data.samples_per_epoch": 2,
        "data.workers": 0,
        "data.shuffle": 1,
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 1,
        "trainer.enable_progress_bar": "false",
        "wandb": "disabled",
        "run_dir": folder,
        "data.shards": shards,
    }
    flags = [f"--{name}={value}" for name, value in tiny.items()]
    return run(capsys, "train", "fit", "--config", CONFIGS / "specular_albedo.yaml", *flags, *more)


def test_trains(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run")
    assert code == 0, err
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_crop_larger_than_the_patches(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run", "--data.crop=64")
    assert code == 2
    assert "crop 64" in err


@pytest.mark.parametrize(
    "flag",
    [
        "--model.init_args.base_channels=0",
        "--model.init_args.inputs=[hair]",
        "--trainer.accelerator=tpu",
        "--trainer.gradient_clip_val=1.0",
    ],
)
def test_values_that_a_constructor_refuses(tmp_path, capsys, shards, flag):
    code, _, err = train(capsys, shards, tmp_path / "run", flag)
    assert code == 2
    assert all(part in err for part in PARTS)


def test_damaged_last_checkpoint(tmp_path, capsys, shards):
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"junk")
    code, _, err = train(capsys, shards, tmp_path / "run")
    assert code == 2
    assert "last.ckpt" in err


def test_last_checkpoint_is_of_the_last_epoch_even_when_it_is_worse(tmp_path, capsys, shards):
    worse = ("--model.init_args.learning_rate=30", "--trainer.max_epochs=4")
    code, _, err = train(capsys, shards, tmp_path / "run", *worse)
    assert code == 0, err
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4 * 2 * 2  # epochs, samples, optimisers


def test_resuming_keeps_the_metrics_of_earlier_epochs(tmp_path, capsys, shards):
    steps = ("--trainer.log_every_n_steps=1",)
    assert train(capsys, shards, tmp_path / "run", *steps)[0] == 0
    assert train(capsys, shards, tmp_path / "run", *steps, "--trainer.max_epochs=2")[0] == 0
    epochs = set()
    for file in (tmp_path / "run" / "logs").glob("*/metrics.csv"):
        rows = file.read_text().splitlines()
        column = rows[0].split(",").index("epoch")
        epochs |= {row.split(",")[column] for row in rows[1:]}
    assert {"0", "1"} <= epochs


@pytest.mark.slow
def test_without_a_wandb_login_training_is_logged_offline(tmp_path, capsys, shards, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    code, _, err = train(capsys, shards, tmp_path / "run", "--wandb=auto")
    assert code == 0, err
    assert list((tmp_path / "run").glob("wandb/offline-run-*"))
