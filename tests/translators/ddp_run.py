"""A short training whose weights are written down: for `test_processes`."""

import argparse
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch

from realface.data.datamodule import ReflectanceDataModule
from realface.translators import SpecularNormals
from tests.translators.training import SMALL


class Doubles(ReflectanceDataModule):
    """In double precision two orders of summation agree far better than two algorithms."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        maps = super().on_after_batch_transfer(batch, dataloader_idx)
        return {
            name: value.double() if torch.is_tensor(value) else value
            for name, value in maps.items()
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards")
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--penalty", action="store_true")
    given = parser.parse_args()
    pl.seed_everything(0, verbose=False)
    held = {"r1_weight": 5.0, "r1_interval": 2, "discriminator_norm": "spectral"}
    model = SpecularNormals(
        ["grey_albedo", "shape_normals"],
        **{**SMALL, "learning_rate": 1e-3, "accumulate_batches": given.accumulate},
        **(held if given.penalty else {}),
    ).double()
    data = Doubles(
        given.shards, batch_size=given.batch, crop=16, samples_per_epoch=8, workers=0,
        tone_probability=0.0,
    )  # fmt: skip
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", devices=given.processes, logger=False,
        strategy="ddp" if given.processes > 1 else "auto", num_sanity_val_steps=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        precision="64-true",
    )  # fmt: skip
    trainer.fit(model, data)
    torch.save(
        {"state": model.state_dict(), "psnr": trainer.callback_metrics["val/psnr"],
         "steps": trainer.global_step, "r1": trainer.callback_metrics.get("train/r1")},
        given.out / f"rank-{trainer.global_rank}.pt",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
