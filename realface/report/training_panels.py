"""Validation images: what a translator read, made and should have made."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from realface.maps.files import write_image
from realface.maps.kinds import KINDS
from realface.networks.channels import FITTED_LIGHT
from realface.report.page import Image, page
from realface.report.sample_rows import SMALLEST, Sample, rows
from realface.report.to_loggers import log_image, occasion
from realface.translators.base import Translator

_SAMPLES = 2  # a page of two patches is 5 MB
_WIDEST = 4000  # px: what viewers and browsers still show


class PanelWriter(pl.Callback):
    """After each validation, a page of its first samples for each map that is made.

    Written as ``epoch-0007-<kind>.png`` and logged as ``val/panel/<kind>`` to W&B and TensorBoard.
    Two rows a sample, see `realface.report.sample_rows.rows`. The first process alone draws its own
    samples; nothing random is drawn.

    Args:
        folder: For the PNGs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._samples: list[Sample] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a page."""
        self._samples = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first samples: batches may hold one each."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        room = _SAMPLES - len(self._samples)
        if room > 0:
            self._samples += samples(batch["key"], outputs["maps"], outputs["predicted"], room)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, write and log.

        Raises:
            FailureError: If the disk refuses.
        """
        if not self._samples:
            return
        assert isinstance(pl_module, Translator)
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind in pl_module.shown_outputs:
            inputs = tuple(one for one in pl_module.interface.kinds if one != FITTED_LIGHT)
            image = panel(self._samples, inputs, kind)
            write_image(self.folder / f"{occasion(trainer)}-{kind}.png", image)
            log_image(trainer, f"val/panel/{kind}", image)
        self._samples = []


def samples(keys: list[str], maps: Any, predicted: Any, count: int) -> list[Sample]:
    """The first samples of a batch of maps ``(B, C, H, W)`` by kind, brought to the CPU at once."""

    def kept(tensors: Any) -> dict[str, Any]:
        return {name: values[:count].detach().float().cpu() for name, values in tensors.items()}

    true, made = kept(maps), kept(predicted)
    for kind in made:
        if KINDS[kind].encoding != "unit_vector":
            made[kind] = made[kind].clamp(0, 1)
    return [
        Sample(
            key,
            {name: values[number : number + 1] for name, values in true.items()},
            {name: values[number : number + 1] for name, values in made.items()},
        )
        for number, key in enumerate(keys[:count])
    ]


def panel(samples: list[Sample], inputs: tuple[str, ...], output: str) -> Image:
    """The page of one kind of map ``(H, W, 3)`` uint8, at most 4000 px wide."""
    import cv2

    lines = [line for sample in samples for line in rows(sample, inputs, output)]
    width = max(SMALLEST, *(tile.image.shape[1] for line in lines for tile in line))
    image = page(lines, width, max(len(line) for line in lines))
    if image.shape[1] <= _WIDEST:
        return image
    size = _WIDEST, round(image.shape[0] * _WIDEST / image.shape[1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
