"""What a training leaves behind: a checkpoint that is whole, describes itself, and is read."""

import errno
import tracemalloc
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from realface.translators import SpecularNormals
from realface.translators.checkpoints import AtomicCheckpointIO, TimedCheckpoint
from realface.weights import load_checkpoint
from tests.faces import face_batch
from tests.translators.training import ALL, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


def fitted(kind, path: Path, **arguments):
    model = build(kind, licence="CC0-1.0")
    made = trainer(plugins=[AtomicCheckpointIO()], **arguments)
    made.fit(model, loader(), loader())
    made.save_checkpoint(path)
    return model


@pytest.mark.parametrize("kind", ALL)
def test_checkpoint_describes_itself_and_predicts_the_same(tmp_path, kind):
    model = fitted(kind, tmp_path / "last.ckpt").eval()
    loaded = load_checkpoint(tmp_path / "last.ckpt")
    about = loaded.descriptor
    assert about.translator == model.name
    assert about.inputs == model.inputs
    assert about.licence == "CC0-1.0"
    assert about.multiple_of == model.generator.multiple_of
    assert {"psnr", "ssim"} <= about.metrics.keys()
    maps = model.prepare(face_batch(32), torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(maps)[model.name], model(maps)[model.name])


def test_checkpoint_is_plain_data(tmp_path):
    fitted(SpecularNormals, tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["descriptor"]["translator"] == "specular_normals"
    assert any(name.startswith("discriminator.") for name in checkpoint["state_dict"])
    assert list(tmp_path.iterdir()) == [tmp_path / "last.ckpt"]


def test_checkpoint_counts_the_epochs_that_it_was_trained_for(tmp_path):
    best = ModelCheckpoint(tmp_path, "best-{epoch}", monitor="val/psnr", save_top_k=-1)
    last = ModelCheckpoint(tmp_path, "last-{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    every = {"callbacks": [best, last], "enable_checkpointing": True, "max_epochs": 2}
    fitted(SpecularNormals, tmp_path / "end.ckpt", **every)
    names = ("best-epoch=0", "last-epoch=0", "best-epoch=1", "last-epoch=1", "end")
    found = [load_checkpoint(tmp_path / f"{name}.ckpt").descriptor.epochs for name in names]
    assert found == [1, 1, 2, 2, 2]


def test_checkpoint_within_an_epoch_counts_those_before(tmp_path):
    within = TimedCheckpoint(tmp_path / "within.ckpt", 0)
    trainer(max_epochs=2, callbacks=[within]).fit(build(SpecularNormals), loader(3))
    assert load_checkpoint(tmp_path / "within.ckpt").descriptor.epochs == 1


def test_training_goes_on_from_a_checkpoint(tmp_path):
    fitted(SpecularNormals, tmp_path / "last.ckpt")
    model = build(SpecularNormals)
    made = trainer(max_epochs=3)
    made.fit(model, loader(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert made.current_epoch == 3
    assert made.global_step == 6  # both optimisers are counted; one of three epochs was there


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("unexpected pos 64")]
)
def test_failed_write_leaves_the_checkpoint_before(tmp_path, monkeypatch, error):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)

    def broken(checkpoint, path):
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match=r"No space|unexpected pos"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_is_not_copied_in_memory(tmp_path):
    weights = {"weight": torch.zeros(1 << 22)}
    tracemalloc.start()
    AtomicCheckpointIO().save_checkpoint(weights, tmp_path / "deep" / "last.ckpt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < weights["weight"].nbytes / 4
