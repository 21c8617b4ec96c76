"""A training run that notes what it sees, and dies where it is told to: for `test_resume`."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch

from realface.data.datamodule import ReflectanceDataModule
from realface.translators.checkpoints import AtomicCheckpointIO, TimedCheckpoint


class Notes(pl.LightningModule):
    """Appends ``[epoch, step, keys]`` of each batch to a file of its process."""

    required_kinds = ("diffuse_albedo",)
    optional_kinds = ()
    shown_kinds = ()
    reads_whole_faces = False

    def __init__(self, folder: Path, die_before: int):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.folder, self.left = folder, die_before

    def on_train_batch_start(self, batch, index):
        if self.left == 0:
            os.killpg(0, signal.SIGKILL)  # every process of the run
        self.left -= 1

    def training_step(self, batch, index):
        with (self.folder / f"seen-{self.global_rank}.jsonl").open("a") as file:
            print(json.dumps([self.current_epoch, index, batch["key"]]), file=file)
        self.manual_backward(self.weight * 0)
        self.optimizers().step()

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--die-before", type=int, default=-1)
    given = parser.parse_args()
    last = given.folder / "last.ckpt"
    data = ReflectanceDataModule(
        given.shards, batch_size=2, crop=16, workers=given.workers, tone_probability=0.0
    )
    trainer = pl.Trainer(
        max_epochs=given.epochs, accelerator="cpu", devices=given.processes, logger=False,
        strategy="ddp" if given.processes > 1 else "auto", num_sanity_val_steps=0,
        callbacks=[TimedCheckpoint(last, minutes=0)], plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        limit_val_batches=0,
    )  # fmt: skip
    resumed = last if last.is_file() else None
    trainer.fit(Notes(given.folder, given.die_before), data, ckpt_path=resumed, weights_only=True)


if __name__ == "__main__":
    sys.exit(main())
