"""The same pictures and histograms in every logger, at the step of Lightning's own metrics."""

from types import SimpleNamespace

import numpy as np
import pytest
import wandb
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from realface.report.to_loggers import log_histogram, log_image, logged_step
from tests.report.loggers import KeptWandb

COUNTS, EDGES = np.array([0, 3, 1, 0]), np.arange(5.0)
IMAGE = np.zeros((8, 12, 3), np.uint8)
IMAGE[:4] = (255, 0, 0)


def trainer_of(*loggers, first=True, step=7):
    loop = SimpleNamespace(total_batch_idx=step)
    return SimpleNamespace(loggers=list(loggers), is_global_zero=first, fit_loop=loop)


def test_wandb_has_both():
    logger = KeptWandb()
    log_image(trainer_of(logger), "val/panel/a", IMAGE)
    log_histogram(trainer_of(logger), "val/a/errors", COUNTS, EDGES)
    panel, histogram = logger.logged
    assert panel["trainer/global_step"] == histogram["trainer/global_step"] == 7
    (image,) = panel["val/panel/a"]
    assert isinstance(image, wandb.Image)
    assert image.image.size == (12, 8)
    assert list(histogram["val/a/errors"].histogram) == COUNTS.tolist()
    assert list(histogram["val/a/errors"].bins) == EDGES.tolist()


def test_tensorboard_has_both(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path)
    log_image(trainer_of(logger), "val/panel/a", IMAGE)
    log_histogram(trainer_of(logger), "val/a/errors", COUNTS, EDGES)
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    (image,) = events.Images("val/panel/a")
    assert (image.step, image.height, image.width) == (7, 8, 12)
    (histogram,) = events.Histograms("val/a/errors")
    value = histogram.histogram_value
    assert (histogram.step, value.num, value.min, value.max) == (7, 4, 1, 3)
    assert value.sum == 3 * 1.5 + 2.5
    assert sum(value.bucket) == 4


def test_others_are_passed_over_and_other_processes_log_nothing(tmp_path):
    logger = KeptWandb()
    for trainer in (trainer_of(CSVLogger(tmp_path)), trainer_of(), trainer_of(logger, first=False)):
        log_image(trainer, "a", IMAGE)
        log_histogram(trainer, "a", COUNTS, EDGES)
    log_histogram(trainer_of(logger), "a", 0 * COUNTS, EDGES)
    assert logger.logged == []
    assert not list(tmp_path.rglob("*.png"))


def test_no_step_below_zero():
    assert logged_step(trainer_of(step=-1)) == 0
