"""How large the errors of a validation epoch are: of all texels, of all processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from realface.maps.files import whole_file, write_image
from realface.maps.kinds import KINDS
from realface.metrics.angular import angular_error_map
from realface.report.chart import histogram_chart
from realface.report.to_loggers import log_histogram, occasion
from realface.translators.base import Translator

_PERCENTILES = {"median": 50, "90th percentile": 90, "95th percentile": 95}


@dataclass(frozen=True)
class Bins:
    """Bins of one width from 0; the last one also holds all that is larger.

    Attributes:
        count: How many.
        width: Of each, in ``unit``.
        unit: Of the errors.
        what: Is counted.
    """

    count: int
    width: float
    unit: str
    what: str

    @property
    def edges(self) -> NDArray[np.float64]:
        """``(count + 1,)``."""
        return np.arange(self.count + 1, dtype=np.float64) * np.float64(self.width)

    def counts(self, errors: Tensor, valid: Tensor) -> Tensor:
        """How many valid errors each bin holds, ``(count,)`` int64; NaN is as large as can be.

        Args:
            errors: ``(B, C, H, W)`` from 0, in ``unit``.
            valid: ``(B, 1, H, W)``; errors count where it is above 0.5.
        """
        number = (errors / self.width).nan_to_num(nan=torch.inf).clamp(max=self.count - 1).long()
        number = torch.where(valid > 0.5, number, self.count)
        return torch.bincount(number.flatten(), minlength=self.count + 1)[: self.count]


ANGLES = Bins(90, 0.5, "deg", "angular error")
"""0 to 45 degrees by half degrees."""

LEVELS = Bins(128, 0.5, "levels", "absolute error in levels of 8 bits")
"""0 to 64 of the 255 steps between black and white, by half steps."""


def bins_of(kind: str) -> Bins:
    """Those of normals, or of albedos."""
    return ANGLES if KINDS[kind].encoding == "unit_vector" else LEVELS


class ErrorHistograms(pl.Callback):
    """After each validation, the histogram of each output's errors where metrics count.

    Normals: the angle at each texel; albedos: what each channel, clamped to [0, 1], is off. Written
    as a picture, ``epoch-0007-<kind>-errors.png``, and as a line of ``<kind>-errors.csv``: the
    epoch and each bin's count, below the bins' lower edges. Logged as ``val/<kind>/errors`` to W&B
    and TensorBoard; percentiles as ``val/<kind>/error_p50``, ``_p90`` and ``_p95``, in degrees or
    levels, NaN where no texel was valid.

    Args:
        folder: For the pictures and tables.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._counts: dict[str, Tensor] = {}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count: every process counts every output, whatever its batches hold."""
        assert isinstance(pl_module, Translator)
        self._counts = {
            kind: torch.zeros(bins_of(kind).count, dtype=torch.int64, device=pl_module.device)
            for kind in pl_module.shown_outputs
        }

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch."""
        maps, predicted = outputs["maps"], outputs["predicted"]
        for kind in self._counts:
            found = errors(predicted[kind], maps[kind], kind)
            self._counts[kind] += bins_of(kind).counts(found, maps["known"])

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sum over the processes; log, draw and write.

        Raises:
            FailureError: If the disk refuses.
        """
        if trainer.sanity_checking:
            return
        for kind, own in self._counts.items():
            summed = trainer.strategy.reduce(own, reduce_op="sum")
            counts, bins = summed.cpu().numpy(), bins_of(kind)
            values = percentiles(counts, bins.edges, tuple(_PERCENTILES.values()))
            for percent, value in zip(_PERCENTILES.values(), values, strict=True):
                # All processes log the same; sync_dist only keeps Lightning from warning.
                pl_module.log(f"val/{kind}/error_p{percent}", value, sync_dist=True)
            log_histogram(trainer, f"val/{kind}/errors", counts, bins.edges)
            if trainer.is_global_zero:
                self._write(trainer, kind, counts, dict(zip(_PERCENTILES, values, strict=True)))

    def _write(
        self, trainer: pl.Trainer, kind: str, counts: NDArray[np.int64], marks: dict[str, float]
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        bins, name = bins_of(kind), occasion(trainer)
        texels = f"{counts.sum() // (1 if bins is ANGLES else KINDS[kind].channels):,}"
        title = f"{kind}, {name}: {bins.what}, {texels} texels"
        chart = histogram_chart(title, counts, bins.edges, bins.unit, marks)
        write_image(self.folder / f"{name}-{kind}-errors.png", chart)
        if trainer.state.fn == "fit":
            add_line(self.folder / f"{kind}-errors.csv", trainer.current_epoch, counts, bins.edges)


def errors(predicted: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Of maps ``(B, C, H, W)``: angles ``(B, 1, H, W)`` [deg], or levels of 8 bits, same shape."""
    if bins_of(kind) is ANGLES:
        return angular_error_map(predicted, truth)
    return 255 * (predicted.detach().float().clamp(0, 1) - truth.float()).abs()


def percentiles(
    counts: NDArray[np.int64], edges: NDArray[np.float64], percents: Sequence[float]
) -> list[float]:
    """Values that so many per cent of what was counted lie below; NaN where nothing was.

    Within a bin values are taken for evenly spread. What lies in the last one, which has no end, is
    given as its lower edge.
    """
    total = counts.sum()
    if not total:
        return [float("nan")] * len(percents)
    ends = edges.clip(max=edges[-2])
    below = np.concatenate(([0], np.cumsum(counts))) * (100 / total)
    return [float(value) for value in np.interp(percents, below, ends)]


def add_line(path: Path, epoch: int, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
    """Add an epoch to a table; what it held of that epoch and of later ones goes.

    Those are of a run that ended and was resumed from before them.

    Raises:
        FailureError: If the disk refuses; the table is then as before.
    """
    kept = []
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        kept = [line for line in lines if int(line.partition(",")[0]) < epoch]
    header = ",".join(("epoch", *(f"{edge:g}" for edge in edges[:-1])))
    line = ",".join(str(number) for number in (epoch, *counts.tolist()))
    with whole_file(path) as partial:
        partial.write_text("\n".join((header, *kept, line, "")), encoding="utf-8")
