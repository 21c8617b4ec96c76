"""Validation images: what a translator read, made and should have made."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from realface.maps.files import write_image
from realface.maps.kinds import KINDS
from realface.translators.base import Translator

_ROWS = 4
_LOUDER = 4.0  # errors are small: shown this many times larger


class PanelWriter(pl.Callback):
    """After each validation, writes a PNG of its first samples and logs it to W&B.

    From left to right: the input maps, the prediction, the truth, and their difference, four
    times larger, around grey.

    Args:
        folder: For the PNGs, named by epoch.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch."""
        if batch_idx or not trainer.is_global_zero or trainer.sanity_checking:
            return
        assert isinstance(pl_module, Translator)
        kind = pl_module.outputs[0]
        maps = {**outputs["maps"], "prediction": outputs["predicted"][kind]}
        image = panel(maps, pl_module.interface.kinds, kind)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.folder / f"epoch-{trainer.current_epoch:04d}.png", image)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/panel", [image], step=trainer.global_step)


def panel(maps: dict[str, Tensor], inputs: tuple[str, ...], output: str) -> Any:
    """Rows of tiles ``(H, W, 3)`` uint8, one for each sample of a batch, four at most."""
    tiles = [_viewable(maps[kind], kind) for kind in inputs]
    made, truth = (_viewable(maps[name], output) for name in ("prediction", output))
    difference = (0.5 + _LOUDER * (made - truth) / 2).clamp(0, 1)
    rows = torch.cat((*tiles, made, truth, difference), dim=3)[:_ROWS]
    image = torch.cat(rows.unbind(0), dim=1).permute(1, 2, 0)
    return (image * 255).round().to(torch.uint8).cpu().numpy().astype(np.uint8)


def _viewable(values: Tensor, kind: str) -> Tensor:
    """``(B, 3, H, W)`` in [0, 1]."""
    values = values.float()
    if KINDS[kind].encoding == "unit_vector":
        values = 0.5 * values + 0.5
    elif KINDS[kind].encoding == "position":
        low, high = (edge(values.flatten(2), dim=2, keepdim=True).unsqueeze(3)
                     for edge in (torch.amin, torch.amax))  # fmt: skip
        values = (values - low) / (high - low).clamp(min=1e-6)
    return values.clamp(0, 1).expand(-1, 3, -1, -1)
