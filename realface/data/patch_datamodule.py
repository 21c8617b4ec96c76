"""What trains a translator: batches of patches, wherever they come from."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch

from realface.data.transforms import Batch, mirror


class PatchDataModule(pl.LightningDataModule, ABC):
    """Training and validation batches of patches.

    Attributes:
        crop: Side of a patch [px].
        validation_samples: Patches per epoch.
        mirror_probability: Of a left-right mirror in training.
    """

    crop: int
    validation_samples: int
    mirror_probability: float

    @abstractmethod
    def train_dataloader(self) -> Iterable[Any]:
        """The batches of an epoch, of another epoch at each call of ``iter``."""

    @abstractmethod
    def val_dataloader(self) -> Iterable[Any]:
        """The same batches in every epoch."""

    def epoch_now(self) -> int:
        """The number of the epoch that begins.

        Ask no earlier than at an epoch's first batch: Lightning wants loaders, and iterators of
        them, before it has settled where a resumed run stands.
        """
        return self.trainer.current_epoch if self.trainer else 0

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Mirror training samples on the device."""
        if self.trainer is None or not self.trainer.training:
            return batch
        chosen = torch.rand(len(batch["key"]), device=batch["mask"].device)
        return mirror(batch, chosen < self.mirror_probability)
