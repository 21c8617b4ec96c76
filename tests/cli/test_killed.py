"""`train.py` killed in mid-epoch and started again: the run that was never killed, bit for bit."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from realface.cli.train import train
from realface.data.packing.pack import pack
from tests.cli.command import TINY_NETWORK
from tests.faces import write_face

CONFIGS = Path(__file__).parents[2] / "configs"

pytestmark = pytest.mark.filterwarnings("ignore")


class KilledError(Exception):
    """As good as SIGKILL: nothing is saved on the way out."""


class Kill(pl.Callback):
    """A callback that a config may name."""

    def __init__(self, before: int):
        self.left = before

    def on_train_batch_start(self, *_):
        if self.left == 0:
            raise KilledError
        self.left -= 1


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    for number in range(3):
        write_face(folder / "faces" / f"face-{number}")
    pack(folder / "faces", folder / "shards", patch=32, stride=16)
    return folder / "shards"


def run(
    shards: Path,
    folder: Path,
    translator: str,
    killed_before: int | None = None,
    epochs: int = 2,
    **more,
) -> dict:
    """What the last checkpoint of a training holds."""
    given = {
        **TINY_NETWORK,
        "data.crop": 24,
        "data.batch_size": 2,
        "data.samples_per_epoch": 8,
        "data.workers": 0,
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": epochs,
        "trainer.enable_progress_bar": "false",
        "checkpoint_minutes": 0,
        "wandb": "disabled",
        "run_dir": folder,
        "data.shards": shards,
    }
    if translator == "diffuse_albedo":
        given |= {"model.init_args.lighting": "studio", "model.init_args.flaw_probability": 0.5}
    given |= more
    flags = [f"--{name}={value}" for name, value in given.items()]
    if killed_before is not None:
        config = folder.with_suffix(".yaml")
        kill = {"class_path": "tests.cli.test_killed.Kill", "init_args": {"before": killed_before}}
        config.write_text(f"trainer: {{callbacks: [{kill}]}}\n")
        flags += ["--config", str(config)]
    train(["fit", "--config", str(CONFIGS / f"{translator}.yaml"), *flags])
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.slow
@pytest.mark.parametrize("translator", ["diffuse_albedo", "specular_normals"])
@pytest.mark.parametrize("killed_before", [1, 3, 4, 6])
def test_the_same_weights_come_out(tmp_path, shards, translator, killed_before):
    whole = run(shards, tmp_path / "whole", translator)
    with pytest.raises(KilledError):
        run(shards, tmp_path / "killed", translator, killed_before)
    left = 2 * 4 - killed_before  # a run that began anew would die of one batch more
    resumed = run(shards, tmp_path / "killed", translator, left)
    assert resumed["global_step"] == whole["global_step"] == 2 * 2 * 4
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(resumed[part], whole[part]), part


@pytest.mark.slow
@pytest.mark.parametrize("killed_before", [3, 6])
def test_the_same_average_and_the_same_steps_come_out(tmp_path, shards, killed_before):
    """Averaged weights, batches accumulated by two, clipping, and both networks' whole faces.

    And what counts steps, or keeps vectors from one to the next: R1 and spectral norm.
    """
    more = {"ema_decay": 0.9, "model.init_args.accumulate_batches": 2,
            "model.init_args.r1_weight": 1.0, "model.init_args.r1_interval": 3,
            "model.init_args.discriminator_norm": "spectral",
            "model.init_args.clip_gradient_norm": 0.1,
            "model.init_args.inputs": "[texture, shape_normals, whole_texture]"}  # fmt: skip
    whole = run(shards, tmp_path / "whole", "joint", **more)
    with pytest.raises(KilledError):
        run(shards, tmp_path / "killed", "joint", killed_before, **more)
    # The last checkpoint lies after a step: what was accumulated after it is done again.
    left = 2 * 4 - killed_before // 2 * 2
    resumed = run(shards, tmp_path / "killed", "joint", left, **more)
    assert resumed["global_step"] == whole["global_step"] == 2 * 2 * 2
    parts = ("state_dict", "current_model_state", "averaging_state", "optimizer_states",
             "lr_schedulers")  # fmt: skip
    for part in parts:
        assert same(resumed[part], whole[part]), part
    assert not same(whole["state_dict"], whole["current_model_state"])


@pytest.mark.slow
def test_a_run_that_is_made_longer_learns_on(tmp_path, shards):
    """Its rate had come to zero at its end; half of 4 epochs are at the full rate, as 2 were."""
    run(shards, tmp_path / "longer", "specular_normals", epochs=2)
    longer = run(shards, tmp_path / "longer", "specular_normals", epochs=4)
    whole = run(shards, tmp_path / "whole", "specular_normals", epochs=4)
    assert same(longer["state_dict"], whole["state_dict"])
