"""Checkpoints that are either whole or absent."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from realface.maps.files import partial_path
from realface.translators.base import Translator

_LOOK = 20  # batches between looks at the clock, where processes must agree on the time


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name and renames it into place.

    Lightning's own writer leaves half a file when the disk fills up or the process is killed,
    and that half would then be resumed from. It also makes the whole file in memory first: 2 GiB of
    the paper's networks and their moments.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save; Lightning's ``storage_options`` are for remote files and not used.

        Raises:
            OSError: If the disk refuses; what stood under ``path`` before stays.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(target)
        try:
            torch.save(checkpoint, partial)
            os.replace(partial, target)
        except RuntimeError as error:  # torch's zip writer turns a full disk into one
            raise OSError(f"{target}: {error}") from error
        finally:
            partial.unlink(missing_ok=True)


class TimedCheckpoint(pl.Callback):
    """Saves within an epoch, every so many minutes, after a batch's last step.

    Lightning's `ModelCheckpoint` does not save by time under manual optimisation. Where batches are
    accumulated it waits for the step: gradients are not saved.

    Args:
        path: Of the checkpoint, overwritten each time.
        minutes: Between two.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self._path, self._seconds = path, 60 * minutes
        self._saved = time.monotonic()
        self._batches = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *of_batch: Any
    ) -> None:
        """Save, if it is time; the first process's clock counts for all."""
        if trainer.is_last_batch:  # the epoch's own checkpoint comes, after its validation
            return
        batch_index = of_batch[-1]
        if isinstance(pl_module, Translator) and pl_module.accumulating(batch_index):
            return
        self._batches += 1
        if trainer.world_size > 1 and self._seconds and self._batches % _LOOK:
            return
        due = time.monotonic() - self._saved >= self._seconds
        if trainer.strategy.broadcast(due):
            trainer.save_checkpoint(self._path)
            self._saved = time.monotonic()
