"""Small trainings on generated batches."""

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from realface.translators import DiffuseAlbedo, DiffuseNormals, SpecularAlbedo, SpecularNormals
from tests.faces import face_batch

INPUTS = {
    DiffuseAlbedo: ["texture", "depth"],
    SpecularAlbedo: ["diffuse_albedo"],
    DiffuseNormals: ["grey_albedo", "shape_normals"],
    SpecularNormals: ["grey_albedo", "shape_normals"],
}
ALL = tuple(INPUTS)

SMALL: dict[str, Any] = {
    "generator": "global",
    "base_channels": 2,
    "downsamples": 1,
    "blocks": 1,
    "discriminator_channels": 2,
    "discriminator_layers": 1,
    "discriminator_scales": 2,
}
RECONSTRUCTION: dict[str, Any] = {
    "adversarial_weight": 0.0,
    "feature_matching_weight": 0.0,
    "reconstruction_weight": 1.0,
}


def build(kind=SpecularAlbedo, **changed):
    return kind(INPUTS[kind], **{**SMALL, **changed})


def trainer(**changed) -> pl.Trainer:
    arguments = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(**{**arguments, **changed})


def loader(count: int = 1, size: int = 32) -> DataLoader:
    """The same batch of two faces, ``count`` times."""
    return DataLoader([face_batch(size)] * count, batch_size=None)
