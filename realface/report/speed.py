"""How fast a training goes, what of it is waiting for data, and what memory it takes."""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from realface.report.to_loggers import logged_step

_GIB = 2.0**30
_KIB = 2.0**10


@dataclass(frozen=True)
class _Batch:
    """One batch: its samples, and seconds waited for it and spent on it; None: not known."""

    samples: int
    waited: float | None
    spent: float | None


class SpeedMonitor(pl.Callback):
    """Logs, every ``log_every_n_steps`` batches, what the batches since the last time took.

    ``speed/samples_per_second``: of all processes, at the median batch; ``speed/step_seconds``: a
    median step, without the wait before it; ``speed/wait_share``: of the whole, from the end of a
    step to the start of the next, in [0, 1]: loading, moving to the device, and logging.
    Validation and checkpoints do not count, nor does the first batch of an epoch.
    ``memory/allocated_gib`` and ``memory/peak_gib``: tensors on the CUDA device; elsewhere the
    process, without the loader's workers, as far as the system tells.

    To the loggers alone: as Lightning's own metrics, numbers would go to the device and back.
    """

    def __init__(self) -> None:
        self._batches: list[_Batch] = []
        self._since: float | None = None
        self._waited: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What came before is no wait for a batch."""
        self._since = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Likewise."""
        self._since = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Likewise, whether it is saved within a batch or after it."""
        self._since = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The wait is over."""
        self._waited = self._lap()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """The step is over; log if it is time."""
        self._batches.append(_Batch(len(batch["key"]), self._waited, self._lap()))
        every = trainer.log_every_n_steps
        if not every or (logged_step(trainer) + 1) % every:
            return
        metrics = {**speeds(self._batches, trainer.world_size), **memory(pl_module.device)}
        self._batches = []
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=logged_step(trainer))

    def _lap(self) -> float | None:
        """Seconds since the last call; None where something else came between."""
        now = time.perf_counter()
        since, self._since = self._since, now
        return None if since is None else now - since


def speeds(batches: list[_Batch], processes: int) -> dict[str, float]:
    """What can be said of some batches that ``processes`` worked on in step.

    All of it is of the same batches: those whose wait and work are both known.
    """
    whole = [
        (one.samples, one.waited, one.spent)
        for one in batches
        if one.waited is not None and one.spent is not None
    ]
    if not whole:
        return {}
    rates = [samples / (waited + spent) for samples, waited, spent in whole]
    waits, steps = sum(waited for _, waited, _ in whole), [spent for *_, spent in whole]
    return {
        "speed/samples_per_second": processes * statistics.median(rates),
        "speed/step_seconds": statistics.median(steps),
        "speed/wait_share": waits / (waits + sum(steps)),
    }


def memory(device: torch.device) -> dict[str, float]:
    """Memory now and at its most so far [GiB], as far as it can be told."""
    if device.type == "cuda":
        return {
            "memory/allocated_gib": torch.cuda.memory_allocated(device) / _GIB,
            "memory/peak_gib": torch.cuda.max_memory_allocated(device) / _GIB,
        }
    try:
        import resource
    except ImportError:  # Windows
        return {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"memory/peak_gib": peak * (1.0 if sys.platform == "darwin" else _KIB) / _GIB}
    pages = Path("/proc/self/statm")  # Linux
    if pages.is_file():
        resident = int(pages.read_text(encoding="ascii").split()[1])
        found["memory/allocated_gib"] = resident * resource.getpagesize() / _GIB
    return found
