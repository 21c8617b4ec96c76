"""What trains a translator: batches of patches, wherever they come from."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import pytorch_lightning as pl

from realface.data.moves import move
from realface.data.transforms import Batch


class PatchDataModule(pl.LightningDataModule, ABC):
    """Training and validation batches of patches.

    Attributes:
        crop: Side of a patch [px].
        validation_samples: Patches per epoch.
        whole_faces: Whether its samples are whole faces, of no crop.
    """

    crop: int
    validation_samples: int
    whole_faces: ClassVar[bool] = False

    @abstractmethod
    def train_dataloader(self) -> Iterable[Any]:
        """The batches of an epoch, of another epoch at each call of ``iter``."""

    @abstractmethod
    def val_dataloader(self) -> Iterable[Any]:
        """The same batches in every epoch."""

    @abstractmethod
    def validation_count(self) -> int:
        """Validation patches per epoch, over all processes."""

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What is trained on: ``subjects``, ``samples``, ``terms``, as far as they are known."""

    def epoch_now(self) -> int:
        """The number of the epoch that begins.

        Ask no earlier than at an epoch's first batch: Lightning wants loaders, and iterators of
        them, before it has settled where a resumed run stands.
        """
        if self.trainer is None or getattr(self.trainer, "overfit_batches", False):
            return 0  # to overfit, the same batches come each time
        return int(self.trainer.current_epoch)

    def ranks(self) -> tuple[int, int]:
        """This process's number and how many train together."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Move the maps as it was drawn for them, on the device."""
        return move(batch)
