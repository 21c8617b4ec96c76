"""Subjects, shards and patches on disk, small and in closed form."""

import json
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from realface.data.pack import pack
from realface.data.shards import all_samples, read_index, shard_urls
from realface.maps.encoding import unit
from realface.maps.files import write_image
from realface.maps.io import encode
from realface.maps.kinds import KINDS
from realface.maps.record import SubjectRecord, default_record
from realface.maps.subject import save_map
from tests.faces import face_maps


def write_subject(folder: Path, maps: dict[str, Tensor], **about) -> Path:
    """A subject folder of these maps."""
    record = SubjectRecord(millimetres_per_unit=1.0, source="tests", **about)
    for kind, values in maps.items():
        save_map(folder, kind, values, about=record)
        record = None
    return folder


@pytest.fixture(scope="session")
def subjects(tmp_path_factory) -> Path:
    """Four faces of 48 x 64, each with its own pattern."""
    folder = tmp_path_factory.mktemp("subjects")
    for number in range(4):
        write_subject(folder / f"face-{number}", face_maps(48, 64, phase=float(number)))
    return folder


@pytest.fixture(scope="session")
def shards(subjects, tmp_path_factory) -> Path:
    """The four faces packed: 24-pixel patches, five a shard."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    pack(subjects, out, patch=24, stride=12, minimum_valid=0.3, samples_per_shard=5)
    return out


def samples_of(folder: Path, split: str) -> list[dict]:
    """Undecoded samples of a split, in order."""
    return list(all_samples(shard_urls(folder, read_index(folder), split)))


def abouts_of(folder: Path, split: str) -> list[dict]:
    return [json.loads(sample["json"]) for sample in samples_of(folder, split)]


def write_patches(folder: Path, kinds: dict[str, str], count: int = 5, size: int = 20) -> Path:
    """Patches as RealFaceDB is lent: ``kinds`` gives each kind's pattern with ``{key}``."""
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        for kind, pattern in kinds.items():
            values = torch.rand(KINDS[kind].channels, size, size, generator=generator)
            if KINDS[kind].encoding == "unit_vector":
                values = unit(values - torch.tensor((0.5, 0.5, -1.0)).view(3, 1, 1))
            record = default_record(kind, "patch.png", size, size, 8)
            path = folder / pattern.format(key=f"{number:04d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(
                path, encode(values, KINDS[kind], record, torch.zeros(1).byte().numpy().dtype)
            )
    return folder


class Collector(pl.LightningModule):
    """Keeps the keys that it is given."""

    required_kinds = ("diffuse_albedo",)
    optional_kinds = ()

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trained, self.validated = [], []

    def training_step(self, batch, index):
        assert batch["diffuse_albedo"].shape[1] == 3
        assert batch["mask"].device == self.device
        self.trained.append(tuple(batch["key"]))
        self.optimizers().step()  # Lightning writes no checkpoint of a run without a step

    def validation_step(self, batch, index):
        self.validated.append(tuple(batch["key"]))
        self.log("val/psnr", float(self.current_epoch), batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


def fit(data: pl.LightningDataModule, epochs: int, folder: Path | None = None, **more) -> Collector:
    """Train with the two checkpoints of `train.py`, if a folder is named; the module that ran."""
    collector = Collector()
    kept = [
        ModelCheckpoint(
            folder, "best", enable_version_counter=False, monitor="val/psnr", mode="max"
        ),
        ModelCheckpoint(
            folder, "last", enable_version_counter=False, save_on_train_epoch_end=True
        ),
    ] if folder else []  # fmt: skip
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=bool(kept),
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=kept,
    )  # fmt: skip
    trainer.fit(collector, datamodule=data, weights_only=True, **more)
    return collector
