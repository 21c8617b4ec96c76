"""`train.py` with bad input and bad luck, on shards of the closed-form face."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import wandb
import yaml

from realface.cli.train import ShortBar
from realface.cli.wandb_run import logged_in, wandb_id, wandb_mode
from realface.data.packing.pack import pack
from tests.cli.command import PARTS, TINY_NETWORK, run
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


def flags(shards, folder, *more) -> list[str]:
    tiny = {
        **TINY_NETWORK,
        "data.batch_size": 1,
        "data.crop": 32,
        "data.samples_per_epoch": 2,
        "data.workers": 0,
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 1,
        "trainer.enable_progress_bar": "false",
        "wandb": "disabled",
        "run_dir": folder,
        "data.shards": shards,
    }
    given = [f"--{name}={value}" for name, value in tiny.items()]
    return ["fit", "--config", str(CONFIGS / "specular_albedo.yaml"), *given, *more]


def train(capsys, shards, folder, *more):
    return run(capsys, "train", *flags(shards, folder, *more))


def test_trains(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run")
    assert code == 0, err
    assert str(tmp_path / "run") in err
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert not list((tmp_path / "run").rglob("*.partial"))
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["model"]["init_args"]["base_channels"] == 2


def test_fewer_validation_samples_than_processes(tmp_path, capsys, shards):
    more = ("--trainer.devices=2", "--data.validation_samples=1")
    code, _, err = train(capsys, shards, tmp_path / "run", *more)
    assert code == 2
    assert "1 validation samples for 2 processes" in err


@pytest.mark.slow
def test_trains_in_two_processes(tmp_path, shards):
    more = ("--trainer.devices=2", "--data.samples_per_epoch=4", "--model.init_args.residual=true")
    command = [sys.executable, "train.py", *flags(shards, tmp_path / "run", *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=CONFIGS.parent, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2 * 2  # steps of each process, optimisers
    assert {"psnr", "ssim"} <= last["descriptor"]["metrics"].keys()


class Nosy(pl.Callback):
    """A callback that a config may name."""

    epochs = 0

    def on_train_epoch_end(self, trainer, pl_module):
        Nosy.epochs += 1


def test_callbacks_of_the_config_are_kept_beside_ours(tmp_path, capsys, shards):
    config = tmp_path / "more.yaml"
    config.write_text("trainer: {callbacks: [{class_path: tests.cli.test_train.Nosy}]}\n")
    Nosy.epochs = 0
    code, _, err = train(capsys, shards, tmp_path / "run", "--config", str(config))
    assert code == 0, err
    assert Nosy.epochs == 1
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    "line",
    ["logger: false", "plugins: [{class_path: pytorch_lightning.plugins.io.TorchCheckpointIO}]"],
)
def test_loggers_and_plugins_of_the_config_are_refused(tmp_path, capsys, shards, line):
    config = tmp_path / "more.yaml"
    config.write_text(f"trainer: {{{line}}}\n")
    code, _, err = train(capsys, shards, tmp_path / "run", "--config", str(config))
    assert code == 2
    assert line.split(":")[0] in err
    assert all(part in err for part in PARTS)


def test_crop_off_the_stride(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run", "--data.crop=31")
    assert code == 2
    assert "data.crop 31" in err
    assert "30 or 32" in err


def test_out_of_memory(tmp_path, capsys, shards, monkeypatch):
    def hungry(self, **_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(pl.Trainer, "fit", hungry)
    code, _, err = train(capsys, shards, tmp_path / "run")
    assert code == 1
    assert "--data.batch_size" in err


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ("--model.init_args.inputs=[diffuse_normals]", "inputs ['diffuse_albedo']"),
        ("--model.init_args.generator=local", "generator global and not local"),
        ("--model.init_args.base_channels=4", "base_channels 2 and not 4"),
        ("--model.init_args.discriminator_channels=4", "another discriminator"),
        ("--model.init_args.discriminator_scales=2", "another discriminator"),
    ],
)
def test_a_run_of_other_networks_is_not_resumed(tmp_path, capsys, trained, shards, more, word):
    code, _, err = train(capsys, shards, trained, more)
    assert code == 2
    assert word in err
    assert "last.ckpt" in err


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shards):
    from realface.cli.main import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.raises(SystemExit) as caught:
        main(["train", *flags(shards, folder)])
    assert caught.value.code == 0
    return folder


def test_bar_shows_the_total_and_the_metrics_on_one_line(tmp_path, capsys, shards):
    code, out, err = train(capsys, shards, tmp_path / "run", "--trainer.enable_progress_bar=true")
    assert code == 0, err
    assert "train/total=" in out
    assert "val/psnr=" in out
    assert "v_num" not in out
    assert "feature_matching" not in out
    assert max(len(line) for line in out.replace("\r", "\n").splitlines()) <= 120
    assert issubclass(ShortBar, pl.callbacks.TQDMProgressBar)


@pytest.fixture
def nobody(tmp_path, monkeypatch):
    """A home without a W&B login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
def test_wandb_login_is_found(nobody, monkeypatch, name):
    assert not logged_in()
    (nobody / name).write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    if name == "elsewhere":
        monkeypatch.setenv("NETRC", str(nobody / name))
    assert logged_in()
    assert wandb_mode("auto") == "online"
    assert wandb_mode("offline") == "offline"


@pytest.mark.parametrize(
    ("stated", "mode"),
    [("offline", "offline"), ("dryrun", "offline"), ("disabled", "disabled"), ("", "online")],
)
def test_wandb_mode_of_the_environment(nobody, monkeypatch, stated, mode):
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("WANDB_MODE", stated)
    assert wandb_mode("auto") == mode
    assert wandb_mode("online") == "online"


def test_wandb_run_of_the_folder_goes_on(tmp_path):
    assert wandb_id(tmp_path) is None
    for number, name in enumerate(("run-20260101_101010-abc12345", "offline-run-20260102_1-xyz")):
        (tmp_path / "wandb" / name).mkdir(parents=True)
        os.utime(tmp_path / "wandb" / name, (number, number))
    (tmp_path / "wandb" / "latest-run").mkdir()
    assert wandb_id(tmp_path) == "xyz"


def test_crop_larger_than_the_patches(tmp_path, capsys, shards):
    code, _, err = train(capsys, shards, tmp_path / "run", "--data.crop=64")
    assert code == 2
    assert "crop 64" in err


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        ("--model.init_args.base_channels=0", "base_channels 0"),
        ("--model.init_args.discriminator_scales=0", "discriminator_scales 0"),
        ("--model.init_args.accumulate_batches=0", "accumulate_batches 0"),
        ("--model.init_args.beta1=2", "beta1 2.0"),
        ("--model.init_args.learning_rate=-1e-4", "learning_rate -0.0001"),
        ("--model.init_args.inputs=[hair]", "hair"),
        ("--model.init_args.space=diagonal", "model.space diagonal"),
        ("--trainer.accelerator=tpu", ""),
        ("--trainer.gradient_clip_val=1.0", "trainer.gradient_clip_val 1.0"),
        ("--trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches 2"),
        ("--trainer.max_steps=3", "trainer.max_steps 3"),
        ("--trainer.precision=16-mixed", "trainer.precision 16-mixed"),
        ("--trainer.precision=64-true", "trainer.precision 64-true"),
        ("--trainer.precision=half", "trainer.precision half"),
        ("--trainer.max_epochs=many", "trainer.max_epochs many"),
        ("--checkpoint_minutes=-1", "checkpoint_minutes -1"),
        ("--ema_decay=2", "ema_decay 2"),
        ("--optimizer=Adam", "--optimizer=Adam"),
        ("--tensorboard=maybe", "tensorboard maybe"),
    ],
)
def test_values_that_are_refused_before_anything_is_written(tmp_path, capsys, shards, flag, given):
    code, _, err = train(capsys, shards, tmp_path / "run", flag)
    assert code == 2
    assert all(part in err for part in PARTS)
    assert given in err.partition("expected:")[0]
    assert "Union" not in err
    assert "Namespace" not in err
    assert not (tmp_path / "run").exists()


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
    wandb.finish()  # as the process would at its end
    code, _, err = train(capsys, shards, tmp_path / "run", "--wandb=auto", "--trainer.max_epochs=2")
    wandb.finish()
    assert code == 0, err
    runs = [path.name.split("-")[3] for path in (tmp_path / "run").glob("wandb/offline-run-*")]
    assert len(set(runs)) == 1  # one run; its folders are named by the second


def test_a_changed_setting_is_not_resumed_in_silence(tmp_path, capsys, shards):
    assert train(capsys, shards, tmp_path / "run")[0] == 0
    saved = (tmp_path / "run" / "config.yaml").read_text()
    rate = "--model.init_args.learning_rate=0.5"
    code, _, err = train(capsys, shards, tmp_path / "run", rate, "--trainer.max_epochs=2")
    assert code == 2
    assert "learning_rate 0.5" in err
    assert (tmp_path / "run" / "config.yaml").read_text() == saved


@pytest.mark.parametrize(
    "flag",
    [
        "data.batch_size=2", "data.crop=16", "data.samples_per_epoch=3",
        "data.mirror_probability=0.25", "data.tone_probability=0.25", "data.seed=1",
    ],
)  # fmt: skip
def test_a_changed_setting_of_the_data_is_not_resumed_in_silence(
    capsys, shards, trained, monkeypatch, flag
):
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, **_: None)
    code, _, err = train(capsys, shards, trained, f"--{flag}")
    assert code == 2
    assert flag.replace("=", " ") in err
    assert str(trained) in err


def test_loading_and_judging_may_change_in_a_resumed_run(
    tmp_path, capsys, shards, trained, monkeypatch
):
    started = []
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, **given: started.append(given["ckpt_path"]))
    (tmp_path / "moved").symlink_to(shards)
    flags = (
        "--data.workers=1", "--data.validation_samples=1",
        "--model.init_args.channels_last=true", "--model.init_args.gradient_checkpointing=true",
        "--model.init_args.collapse_patience=9",
    )  # fmt: skip
    code, _, err = train(capsys, tmp_path / "moved", trained, *flags)
    assert code == 0, err
    assert started == [trained / "checkpoints" / "last.ckpt"]


def networks_of(run_dir: Path) -> dict[str, torch.Tensor]:
    last = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    return last["state_dict"]


def test_fine_tuning_bends_the_weights_that_it_starts_from(tmp_path, capsys, shards, trained):
    more = ("--config", str(CONFIGS / "finetune.yaml"), "--trainer.max_epochs=1")
    start = f"--start_from={trained / 'checkpoints' / 'last.ckpt'}"
    code, _, err = train(capsys, shards, tmp_path / "mine", *more, start)
    assert code == 0, err
    assert "starting from" in err
    assert "generator and discriminator" in err
    before, after = networks_of(trained), networks_of(tmp_path / "mine")
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed
    # A step or two of Adam at 2e-5; spectral norms' vectors are no weights.
    for name in (name for name in changed if "parametrizations.weight.0._" not in name):
        assert (before[name] - after[name]).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("start", "more", "word"),
    [
        ("nowhere.ckpt", (), "which does not exist"),
        ("", ("--model.init_args.base_channels=4",), "base_channels 2 and not 4"),
    ],
)
def test_weights_that_a_run_cannot_start_from(tmp_path, capsys, shards, trained, start, more, word):
    path = tmp_path / start if start else trained / "checkpoints" / "last.ckpt"
    code, _, err = train(capsys, shards, tmp_path / "mine", f"--start_from={path}", *more)
    assert code == 2
    assert word in err
    assert not (tmp_path / "mine" / "checkpoints").exists()


@pytest.mark.slow
def test_tensorboard_gets_scalars_and_panels(tmp_path, capsys, shards):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, err = train(capsys, shards, tmp_path / "run", "--tensorboard=true")
    assert code == 0, err
    (folder,) = (tmp_path / "run" / "tensorboard").iterdir()
    logged = EventAccumulator(str(folder)).Reload().Tags()
    assert "val/psnr" in logged["scalars"]
    assert logged["images"]
    assert logged["histograms"]


def test_tensorboard_that_is_not_installed(tmp_path, capsys, shards, monkeypatch):
    def absent(*_, **__):
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr("realface.cli.train.TensorBoardLogger", absent)
    code, _, err = train(capsys, shards, tmp_path / "run", "--tensorboard=true")
    assert code == 2
    assert "realface[tensorboard]" in err


@pytest.mark.parametrize("word", ["test", "predict"])
def test_only_what_works_is_offered(capsys, word):
    assert run(capsys, "train", word)[0] == 2
