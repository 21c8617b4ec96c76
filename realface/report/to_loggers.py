"""Pictures and histograms of a training, to whichever of its loggers can take them."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from realface.report.page import Image


def occasion(trainer: pl.Trainer) -> str:
    """How files of a validation begin: ``epoch-0007``, or ``validate`` where nothing is trained."""
    return f"epoch-{trainer.current_epoch:04d}" if trainer.state.fn == "fit" else "validate"


def logged_step(trainer: pl.Trainer) -> int:
    """The step at which Lightning logs metrics now: batches trained, from 0.

    Not ``trainer.global_step``, which counts the steps of both optimisers.
    """
    return max(0, trainer.fit_loop.total_batch_idx)


def log_image(trainer: pl.Trainer, name: str, image: Image) -> None:
    """Log a picture to W&B and TensorBoard; other loggers are passed over.

    Args:
        trainer: On its first process; on others nothing happens.
        name: Of the picture, the same each time.
        image: ``(H, W, 3)`` uint8.
    """
    step = logged_step(trainer)
    for logger in _loggers(trainer):
        if isinstance(logger, WandbLogger):
            # As PNG a page of skin is 10 MB, each epoch; the folder has those.
            logger.log_image(name, [image], step=step, file_type=["jpg"])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step, dataformats="HWC")


def log_histogram(
    trainer: pl.Trainer, name: str, counts: NDArray[np.int64], edges: NDArray[np.float64]
) -> None:
    """Log a histogram to W&B and TensorBoard; other loggers are passed over.

    Args:
        trainer: On its first process; on others nothing happens.
        name: Of the histogram, the same each time.
        counts: ``(N,)``, of each bin; one that counts nothing is not logged.
        edges: ``(N + 1,)``, ascending.
    """
    if not counts.sum():
        return
    step = logged_step(trainer)
    for logger in _loggers(trainer):
        if isinstance(logger, WandbLogger):
            import wandb  # slow to import, and in use by now

            histogram = wandb.Histogram(np_histogram=(counts, edges))
            logger.log_metrics({name: histogram}, step=step)
        elif isinstance(logger, TensorBoardLogger):
            _add_to_tensorboard(logger.experiment, name, counts, edges, step)


def _loggers(trainer: pl.Trainer) -> list[Any]:
    return list(trainer.loggers) if trainer.is_global_zero else []


def _add_to_tensorboard(
    writer: Any,
    name: str,
    counts: NDArray[np.int64],
    edges: NDArray[np.float64],
    step: int,
) -> None:
    """Its sums are those of values in the middle of their bins."""
    middles = (edges[:-1] + edges[1:]) / 2
    filled = np.flatnonzero(counts)
    writer.add_histogram_raw(
        name,
        min=float(edges[filled[0]]),
        max=float(edges[filled[-1] + 1]),
        num=int(counts.sum()),
        sum=float((counts * middles).sum()),
        sum_squares=float((counts * middles**2).sum()),
        bucket_limits=edges[1:].tolist(),
        bucket_counts=counts.tolist(),
        global_step=step,
    )
