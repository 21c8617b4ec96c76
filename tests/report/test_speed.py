"""Throughput: medians, without what is no training."""

import mmap
import sys
import time

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from realface.report.speed import SpeedMonitor, _Batch, memory, speeds
from tests.report.loggers import KeptWandb
from tests.translators.training import build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


class Slow(pl.Callback):
    """Sleeps in validation, and saves a checkpoint slowly within each batch."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, run, *_):
        run.save_checkpoint(self.folder / "last.ckpt")

    def on_save_checkpoint(self, *_):
        time.sleep(0.2)

    def on_validation_start(self, *_):
        time.sleep(0.2)


def logged(**changed):
    logger = KeptWandb()
    run = trainer(logger=logger, **changed)
    run.fit(build(), loader(6), loader())
    return [line for line in logger.logged if any("/" in key and key.split("/")[0] in
            ("speed", "memory") for key in line)]  # fmt: skip


def test_logged_every_so_many_batches_at_the_step_of_the_losses():
    lines = logged(callbacks=[SpeedMonitor()], log_every_n_steps=2, max_epochs=2)
    assert [line["trainer/global_step"] for line in lines] == [1, 3, 5, 7, 9, 11]
    for line in lines:
        assert line["speed/samples_per_second"] > 0
        assert 0 <= line["speed/wait_share"] <= 1
        assert line["speed/step_seconds"] > 0


@pytest.mark.parametrize("first", [True, False])
def test_validation_and_checkpoints_do_not_count(tmp_path, first):
    callbacks = [SpeedMonitor(), Slow(tmp_path)]
    lines = logged(
        callbacks=callbacks if first else callbacks[::-1],
        log_every_n_steps=3,
        val_check_interval=2,
        max_epochs=2,
    )
    for line in lines:
        assert line.get("speed/step_seconds", 0) < 0.15
        assert line.get("speed/wait_share", 0) < 0.6


def test_medians_ignore_an_outlier():
    usual = [_Batch(4, 0.1, 0.3)] * 9
    found = speeds([*usual, _Batch(4, 5.0, 20.0)], processes=2)
    assert found["speed/samples_per_second"] == pytest.approx(2 * 4 / 0.4)
    assert found["speed/step_seconds"] == pytest.approx(0.3)
    assert speeds(usual, 1)["speed/wait_share"] == pytest.approx(0.25)


def test_what_is_not_known_is_not_said():
    assert speeds([_Batch(4, None, None)], 1) == {}


def test_a_batch_whose_wait_is_not_known_counts_nowhere():
    """An epoch's first step is slow: it would be in the step's time and not in the rate."""
    usual, first = _Batch(4, 0.1, 0.3), _Batch(4, None, 9.0)
    assert speeds([first, usual], 1) == speeds([usual], 1)
    assert speeds([first], 1) == {}
    assert speeds([_Batch(4, None, 0.5), _Batch(4, 0.1, None)], 1) == {}


def test_memory_of_the_process():
    pytest.importorskip("resource")
    before = memory(torch.device("cpu"))
    # A quarter of a GiB from the system itself: an allocator may have as much left over.
    held = mmap.mmap(-1, 1 << 28)
    torch.frombuffer(held, dtype=torch.uint8).fill_(1)
    after = memory(torch.device("cpu"))
    assert 0.05 < before["memory/peak_gib"] < 100
    if sys.platform == "linux":
        grown = after["memory/allocated_gib"] - before["memory/allocated_gib"]
        assert grown == pytest.approx(0.25, abs=0.1)
        assert after["memory/peak_gib"] >= after["memory/allocated_gib"] - 0.02
    assert len(held) == 1 << 28


def test_none_without_the_system_telling(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory(torch.device("cpu")) == {}


def test_a_plain_logger_takes_it_and_no_logger_needs_it(tmp_path):
    logger = CSVLogger(tmp_path)
    for one in (logger, False):
        run = trainer(callbacks=[SpeedMonitor()], logger=one, log_every_n_steps=2)
        run.fit(build(), loader(4))
    header = (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().splitlines()[0]
    assert {"speed/step_seconds", "speed/samples_per_second"} <= set(header.split(","))
