"""Averaged weights: their values, where they are, and what is validated, kept and gone on from."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.translators import SpecularAlbedo
from realface.translators.averaging import MovingAverage, decay_after
from realface.weights import load_checkpoint
from tests.translators.training import build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


class Steps(pl.Callback):
    """The generator's weights after every batch, and while it is validated."""

    def __init__(self):
        self.after, self.validated = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.after.append(copy.deepcopy(pl_module.generator.state_dict()))

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.validated.append(copy.deepcopy(pl_module.generator.state_dict()))


def average(states: list[dict], decay: float) -> dict:
    mean = dict(states[0])
    for count, state in enumerate(states[1:], start=1):
        stays = decay_after(count, decay)
        mean = {name: stays * mean[name] + (1 - stays) * state[name] for name in mean}
    return mean


def fitted(tmp_path, decay=0.8, batches=4, **arguments):
    model, steps = build(SpecularAlbedo, learning_rate=1e-2, **arguments), Steps()
    last = pl.callbacks.ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    made = trainer(max_epochs=2, enable_checkpointing=True,
                   callbacks=[steps, MovingAverage(decay), last])  # fmt: skip
    made.fit(model, loader(batches), loader())
    return model, steps


def same(one: dict, other: dict) -> None:
    for name, value in other.items():
        torch.testing.assert_close(one[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_the_average_is_validated_kept_exported_and_left_in_the_module(tmp_path):
    model, steps = fitted(tmp_path)
    for epoch, seen in enumerate(steps.validated):
        same(seen, average(steps.after[: 4 * (epoch + 1)], 0.8))
    expected = average(steps.after, 0.8)
    same(model.generator.state_dict(), expected)
    same(load_checkpoint(tmp_path / "last.ckpt").state(), expected)
    assert not torch.equal(expected["head.convolution.weight"],
                           steps.after[-1]["head.convolution.weight"])  # fmt: skip


def test_training_goes_on_from_the_weights_and_not_from_their_average(tmp_path):
    _, steps = fitted(tmp_path)
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["current_model_state"]
    for name, value in steps.after[-1].items():
        assert torch.equal(stored[f"generator.{name}"], value)


@pytest.mark.filterwarnings("error:.*WeightAveraging")
def test_a_checkpoint_is_validated_by_its_average(tmp_path):
    model, _ = fitted(tmp_path)
    seen = Steps()
    trainer(callbacks=[MovingAverage(0.8), seen]).validate(
        build(SpecularAlbedo), loader(), ckpt_path=tmp_path / "last.ckpt", verbose=False,
        weights_only=True,
    )  # fmt: skip
    same(seen.validated[0], model.generator.state_dict())


def test_accumulated_batches_are_averaged_once_for_each_step(tmp_path):
    model, steps = fitted(tmp_path, accumulate_batches=2)
    same(model.generator.state_dict(), average(steps.after[1::2], 0.8))


@given(st.integers(1, 10**6), st.floats(0.0, 0.9999))
def test_decay_grows_to_what_was_asked_for(count, decay):
    assert 0 <= decay_after(count, decay) <= decay_after(count + 1, decay) <= decay
    assert decay_after(10**9, decay) == decay


def test_half_of_a_short_trainings_average_is_of_its_last_steps():
    """A constant 0.999 would still be nine tenths the first weights."""
    shares = [1.0]
    for count in range(1, 100):
        stays = decay_after(count, 0.999)
        shares = [stays * one for one in shares] + [1 - stays]
    assert sum(shares[-12:]) > 0.5
    assert shares[0] < 1e-6


def test_counts_are_copied():
    callback = MovingAverage(0.9)
    averaged, current = [torch.tensor(3)], [torch.tensor(8)]
    callback._update(averaged, current, torch.tensor(5))
    assert averaged[0] == 8


def test_the_average_follows_the_weights_to_their_device():
    callback, model = MovingAverage(0.9), build(SpecularAlbedo)
    callback.setup(None, model, "fit")
    model.to("meta")
    callback.on_fit_start(None, model)
    assert {one.device.type for one in callback._average_model.parameters()} == {"meta"}
