"""The whole-face stage by its commands: train, resume, stitch with it."""

from pathlib import Path

import pytest
import torch

from realface.maps.subject import Subject
from realface.weights import export_weights
from tests.cli.command import run
from tests.data.shard_folders import four_faces, write_folder
from tests.faces import write_face
from tests.trained import translator

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's and jsonargparse's own
CONFIGS = Path(__file__).parents[2] / "configs"
PATCH = ("texture", "delit_texture", "depth")
WHOLE_FACE = (
    "--config", CONFIGS / "whole_face.yaml", "--model.base_channels=2", "--model.downsamples=2",
    "--model.blocks=1", "--data.width=48", "--data.subjects=2", "--data.busts=2",
    "--data.batch_size=2", "--data.samples_per_epoch=4", "--data.validation_samples=1",
    "--wandb=disabled", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
)  # fmt: skip


def train(capsys, folder, *more):
    return run(capsys, "train", "fit", *WHOLE_FACE, "--run_dir", folder, *more)


def weights_of(folder):
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"]


def test_a_resumed_run_is_the_undisturbed_one(capsys, tmp_path):
    steady = "--model.constant_share=1.0"  # the rate does not fall towards an end
    assert train(capsys, tmp_path / "whole", steady, "--trainer.max_epochs=2")[0] == 0
    assert train(capsys, tmp_path / "parts", steady, "--trainer.max_epochs=1")[0] == 0
    before = weights_of(tmp_path / "parts")
    code, _, err = train(capsys, tmp_path / "parts", steady, "--trainer.max_epochs=2")
    assert code == 0, err
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert any(not torch.equal(before[name], parts[name]) for name in parts)
    for name, weight in whole.items():
        assert torch.equal(parts[name], weight), name
    panels = {path.name for path in (tmp_path / "whole" / "panels").iterdir()}
    assert "epoch-0001-diffuse_albedo.png" in panels


def test_more_halvings_than_faces_have_room_for_are_refused(capsys, tmp_path):
    code, _, err = train(capsys, tmp_path / "run", "--model.downsamples=6")
    assert code == 2
    assert "at most 5" in err


def test_whole_subjects_shards_train_it(capsys, tmp_path):
    write_folder(tmp_path / "shards", four_faces())
    shards = ("--data.shards", tmp_path / "shards")
    code, _, err = train(capsys, tmp_path / "run", *shards, "--trainer.max_epochs=1")
    assert code == 0, err


def test_its_weights_are_exported_and_stitched_with(capsys, tmp_path):
    code, _, err = train(capsys, tmp_path / "run", "--trainer.max_epochs=1")
    assert code == 0, err
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    code, _, err = run(capsys, "weights", "export", checkpoint, tmp_path / "weights",
                       "--licence", "CC0-1.0")  # fmt: skip
    assert code == 0, err
    assert "harmonics" in (tmp_path / "weights" / "whole_face.md").read_text(encoding="utf-8")
    face, patch = write_face(tmp_path / "face"), translator("diffuse_albedo", inputs=PATCH)
    export_weights(patch, tmp_path / "weights")
    code, _, err = run(capsys, "infer", "--input", face, "--output", tmp_path / "maps",
                       "--weights", tmp_path / "weights")  # fmt: skip
    assert code == 0, err
    albedo = Subject(tmp_path / "maps").open("diffuse_albedo").whole()
    assert albedo[:, 32, 48].min() > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config", CONFIGS / "whole_face.yaml",
          "--data=realface.data.procedural_datamodule.ProceduralDataModule"], "data of patches"),
        (["--config", CONFIGS / "diffuse_albedo.yaml",
          "--data=realface.data.whole_face_datamodule.WholeFaceDataModule"], "data of whole faces"),
    ],
)  # fmt: skip
def test_patches_are_not_whole_faces(capsys, tmp_path, flags, message):
    code, _, err = run(capsys, "train", "fit", *flags, "--run_dir", tmp_path / "run",
                       "--wandb=disabled", "--trainer.accelerator=cpu")  # fmt: skip
    assert code == 2
    assert message in err
