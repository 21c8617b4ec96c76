"""Subjects, shards and patches on disk, small and in closed form."""

import json
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from realface.data import remote
from realface.data.index import INDEX_NAME, TABLE_NAME, Index, parse_index, parse_table
from realface.data.packing.pack import pack
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


def index_of(folder: Path) -> Index:
    return parse_index((folder / INDEX_NAME).read_text(), str(folder))


def samples_of(folder: Path, split: str) -> list[dict[str, bytes]]:
    """Members of a split's samples by name, in order, as the table says where they lie."""
    index = index_of(folder)
    splits = {shard.file: shard.split for shard in index.shards}
    table = parse_table((folder / TABLE_NAME).read_text(), str(folder), index)
    samples = []
    for entry in table:
        if splits[entry.shard] == split:
            tar = (folder / entry.shard).read_bytes()
            samples.append({m.name: tar[m.offset : m.offset + m.size] for m in entry.members})
    return samples


def abouts_of(folder: Path, split: str) -> list[dict]:
    return [json.loads(sample["json"]) for sample in samples_of(folder, split)]


def write_patches(
    folder: Path, kinds: dict[str, str], count: int = 5, size: int = 20, bits: int = 8
) -> Path:
    """Patches as RealFaceDB is lent: ``kinds`` gives each kind's pattern with ``{key}``.

    All lie at one place of a face, each with skin of its own.
    """
    for number in range(count):
        maps = patch_maps(number, size)
        for kind, pattern in kinds.items():
            record = default_record(kind, "patch.png", size, size, bits)
            path = folder / pattern.format(key=f"{number:04d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = encode(maps[kind], KINDS[kind], record, np.dtype(f"u{bits // 8}"))
            write_image(path, pixels)
    return folder


def patch_maps(number: int, size: int) -> dict[str, Tensor]:
    """A lent patch's maps, ``shape`` in [-1, 1]: from a cheek, where normals lean."""
    generator = torch.Generator().manual_seed(number)
    top, left = round(0.6 * size), round(1.5 * size)
    maps = {
        kind: values[:, top : top + size, left : left + size]
        for kind, values in face_maps(3 * size, 3 * size, phase=float(number)).items()
    }
    skin = 0.2 * torch.rand(1, size, size, generator=generator)
    return {
        **maps,
        "diffuse_albedo": maps["diffuse_albedo"] - skin,
        "specular_albedo": (maps["specular_albedo"] - skin).clamp(min=0),
        "shape": maps["shape"] / 90,
    }


class Collector(pl.LightningModule):
    """Keeps the keys that it is given."""

    required_kinds = ("diffuse_albedo",)
    optional_kinds = ()
    shown_kinds = ()
    reads_whole_faces = False

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


@pytest.fixture
def quick(monkeypatch):
    """Waits for servers that a test can afford."""
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "READ_SECONDS", 0.5)
    remote._client.cache_clear()
    yield
    remote._client.cache_clear()
