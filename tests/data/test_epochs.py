import contextlib

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from realface.data.epochs import EpochLoader, FixedLoader
from realface.errors import InputError
from realface.translators.checkpoints import TimedCheckpoint

STEPS, EPOCHS = 4, 3
WHOLE = [(epoch, step) for epoch in range(EPOCHS) for step in range(STEPS)]


def loader(epoch_now=lambda: 0, steps=STEPS, **layout) -> EpochLoader:
    def batches(epoch, first):
        for step in range(first, steps):
            yield epoch, step

    return EpochLoader(batches, steps, epoch_now, layout)


class Recorder(pl.LightningModule):
    """Keeps what it is given; two optimisers' worth of Lightning's counters."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.indices = [], []

    def train_dataloader(self):
        return loader(lambda: self.trainer.current_epoch, processes=1)

    def val_dataloader(self):
        return FixedLoader(lambda: iter(range(2)), 2)

    def validation_step(self, batch, index):
        pass

    def training_step(self, batch, index):
        self.seen.append(tuple(int(part) for part in batch))
        self.indices.append(index)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD([self.weight], lr=0.1) for _ in range(2)]


class KilledError(Exception):
    """As good as SIGKILL: nothing is saved on the way out."""


class KillAt(Callback):
    """Kills a run the so-many-th time that it comes to a hook."""

    def __init__(self, hook, left):
        self.left = left
        setattr(self, hook, self._come)

    def _come(self, *_):
        if self.left == 0:
            raise KilledError
        self.left -= 1


def train(folder, resume=None, kill=None, **trainer):
    module = Recorder()
    kept = [
        ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False),
        TimedCheckpoint(folder / "last.ckpt", minutes=0.0),
    ]
    callbacks = [*kept, *([KillAt(*kill)] if kill else [])]
    with contextlib.suppress(KilledError):
        pl.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, callbacks=callbacks,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            **trainer,
        ).fit(module, ckpt_path=resume, weights_only=True)  # fmt: skip
    return module


HOOKS = [
    *(("on_train_batch_start", left) for left in range(1, len(WHOLE))),
    *((hook, left) for hook in ("on_validation_start", "on_train_epoch_end") for left in range(3)),
    *(("on_train_batch_end", left) for left in (3, 7)),
]


@pytest.mark.filterwarnings("ignore:.*exists and is not empty")
@pytest.mark.parametrize("validate", [1.0, 0.5])
@pytest.mark.parametrize("kill", HOOKS)
def test_lightning_goes_on_with_the_very_next_batch(tmp_path, kill, validate):
    first = train(tmp_path, kill=kill, val_check_interval=validate)
    assert first.seen == WHOLE[: len(first.seen)]
    last = tmp_path / "last.ckpt"
    second = train(tmp_path, resume=last, val_check_interval=validate)
    lost = 0 if kill[0] == "on_train_batch_start" else 1  # it was not checkpointed yet
    assert second.seen == WHOLE[-len(second.seen) :]
    assert 0 <= len(first.seen) + len(second.seen) - len(WHOLE) <= lost
    assert second.indices == [step for _, step in second.seen]


def test_a_state_enters_the_middle_of_an_epoch_once():
    one = loader()
    batches = iter(one)
    seen = [next(batches) for _ in range(3)]
    again = loader()
    again.load_state_dict(one.state_dict())
    assert seen + list(again) == [(0, step) for step in range(STEPS)]
    assert list(again) == [(0, step) for step in range(STEPS)]


def test_an_iterator_that_is_not_used_changes_nothing():
    one = loader()
    one.load_state_dict({"epoch": 0, "batches": 2})
    iter(one)
    assert list(one) == [(0, 2), (0, 3)]


def test_a_state_of_another_epoch_is_not_entered():
    """One that was taken at the very end of an epoch is loaded in the next."""
    one = loader(lambda: 1)
    one.load_state_dict({"epoch": 0, "batches": STEPS})
    assert list(one) == [(1, step) for step in range(STEPS)]


def test_the_middle_of_another_layout_is_refused():
    state = {"epoch": 0, "batches": 2, "processes": 1}
    other = loader(processes=2)
    other.load_state_dict(state)
    with pytest.raises(InputError, match="middle of an epoch with processes 1"):
        next(iter(other))
    other.load_state_dict(state | {"epoch": 7})
    assert len(list(other)) == STEPS


def test_fixed_batches_repeat():
    one = FixedLoader(lambda: iter("ab"), 2)
    assert list(one) == list(one) == ["a", "b"]
    assert len(one) == 2
