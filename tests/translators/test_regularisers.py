"""What the discriminator is held by, and the losses of maps: in the step, each by its name."""

import logging

import pytest
import pytorch_lightning as pl
import torch

from realface.losses.gradient_penalty import gradient_penalty
from realface.maps.kinds import REFLECTANCE
from realface.networks.discriminator import MultiScaleDiscriminator
from realface.translators import (
    DiffuseAlbedo,
    DiffuseNormals,
    Joint,
    SpecularAlbedo,
    SpecularNormals,
)
from realface.translators.adversarial import r1_penalty
from tests.faces import face_batch
from tests.translators.training import ALL, RECONSTRUCTION, SMALL, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")

R1 = {"r1_weight": 2.0, "r1_interval": 3}


class Steps(pl.Callback):
    """The discriminator's gradients at each of its steps, and what it was before."""

    def __init__(self):
        self.gradients, self.penalties = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if optimizer is trainer.optimizers[1]:
            named = pl_module.discriminator.named_parameters()
            self.gradients.append({name: one.grad.clone() for name, one in named})


def fit(model, count=1, **arguments) -> pl.Trainer:
    made = trainer(**arguments)
    made.fit(model, loader(count), loader())
    return made


def gradients(**arguments) -> list[dict]:
    """Of fresh networks with the same weights."""
    torch.manual_seed(0)
    steps = Steps()
    fit(build(learning_rate=0.0, **arguments), count=4, callbacks=[steps])
    return steps.gradients


def test_the_penalty_comes_in_every_third_step_three_times_as_heavy():
    plain, held = gradients(), gradients(**R1)
    torch.manual_seed(0)
    model, batch = build(), face_batch(32)
    inputs = model.interface.read(batch, None)
    truth = model.interface.join({model.name: batch[model.name]})
    mask = batch["mask"]
    penalty = gradient_penalty(
        lambda maps: model.discriminator(torch.cat((inputs, maps), dim=1) * mask), truth, mask
    )
    names, weights = zip(*model.discriminator.named_parameters(), strict=True)
    expected = torch.autograd.grad(2.0 * 3 * penalty, weights, allow_unused=True)
    for step, (without, given) in enumerate(zip(plain, held, strict=True)):
        for name, more in zip(names, expected, strict=True):
            wanted = without[name] if step % 3 or more is None else without[name] + more
            torch.testing.assert_close(given[name], wanted, atol=1e-6, rtol=1e-4, msg=name)


def test_every_batch_of_such_a_step_has_the_penalty():
    noted = []

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            noted.append(float(trainer.callback_metrics["train/r1"]))

    fit(build(**R1, accumulate_batches=2, learning_rate=1e-2), count=8, callbacks=[Note()])
    assert len(set(noted[:6])) == 1  # same weights, same truth
    assert noted[6] != noted[5]


def test_the_generators_gradient_knows_nothing_of_the_penalty():
    states = []
    for more in ({}, R1):
        torch.manual_seed(0)
        model = build(**more)
        fit(model)
        states.append(model.generator.state_dict())
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("norm", ["instance", "spectral", "none"])
def test_every_norm_of_the_discriminator_steps_in_every_precision(norm, precision):
    model = build(SpecularNormals, discriminator_norm=norm, **R1, gradient_weight=1.0)
    metrics = fit(model, count=2, precision=precision).callback_metrics
    for name in ("r1", "gradient", "discriminator", "adversarial", "feature_matching"):
        assert metrics[f"train/{name}"].isfinite()
    assert metrics["train/r1"] > 0


def test_the_penalty_is_computed_past_the_compiled_graph():
    """That has no second derivatives."""

    def refuse(graph, examples):
        raise NotImplementedError

    judge = MultiScaleDiscriminator(2, base_channels=2, layers=1)
    judge.compile(backend=refuse)
    one = torch.rand(1, 1, 16, 16)
    assert r1_penalty(judge, one, one, torch.ones_like(one), torch.contiguous_format) > 0


@pytest.mark.parametrize("kind", ALL)
def test_each_translator_is_relit_with_the_truths_other_maps(kind):
    model = build(kind, rendering_weight=1.0, lighting="studio", **RECONSTRUCTION)
    read = {*model.required_kinds, *model.optional_kinds}
    assert {*REFLECTANCE, "shape", "occlusion"} <= read
    maps = face_batch(32)
    made = {kind.name: (0.9 * maps[kind.name]).requires_grad_()}

    def loss(predicted) -> torch.Tensor:
        torch.manual_seed(0)
        return model.map_losses(predicted, maps, maps, None, maps["mask"])["rendering"]

    assert loss({kind.name: maps[kind.name]}) < 1e-5
    (slope,) = torch.autograd.grad(loss(made), made[kind.name])
    assert slope.isfinite().all()
    assert slope.any()
    assert fit(model).callback_metrics["train/rendering"].isfinite()


def test_tangent_normals_are_relit_in_object_space():
    model = build(SpecularNormals, rendering_weight=1.0, lighting="studio", space="tangent")
    maps = face_batch(32)
    model.interface = model.interface.__class__(model.inputs, model.outputs, "tangent", 2.0)
    frame = model.interface.frame(maps)
    made = model.interface.relative({SpecularNormals.name: maps[SpecularNormals.name]}, frame)
    losses = model.map_losses(made, made, maps, frame, maps["mask"])
    assert losses["rendering"] < 1e-5


def test_without_all_that_light_is_shaded_from_the_loss_is_left_out_and_said_so(caplog):
    model = build(SpecularAlbedo, rendering_weight=1.0)
    batch = {name: values for name, values in face_batch(32).items() if name != "shape"}
    made = trainer()
    with caplog.at_level(logging.WARNING, "realface"):
        made.fit(model, torch.utils.data.DataLoader([batch, batch], batch_size=None))
    assert "train/rendering" not in made.callback_metrics
    assert [r.message for r in caplog.records if "realface" in r.name] == [
        "no rendering loss: samples have no shape"
    ]


def test_trained_by_rendering_alone_it_is_needed():
    off = {"adversarial_weight": 0.0, "feature_matching_weight": 0.0}
    model = build(SpecularAlbedo, rendering_weight=1.0, **off)
    assert {*REFLECTANCE, "shape"} <= set(model.required_kinds)


def test_what_is_not_asked_for_is_not_needed():
    assert "shape" not in build(SpecularAlbedo).required_kinds
    assert build(SpecularAlbedo).optional_kinds == ()


@pytest.mark.parametrize("kind", [DiffuseAlbedo, DiffuseNormals])
def test_the_gradient_loss_sees_detail_and_no_tone(kind):
    model, maps = build(kind, gradient_weight=1.0), face_batch(32)
    truth, mask = {kind.name: maps[kind.name]}, maps["mask"]

    def loss(made: torch.Tensor) -> float:
        return float(model.map_losses({kind.name: made}, truth, maps, None, mask)["gradient"])

    assert loss(truth[kind.name]) == 0
    assert loss(truth[kind.name] + 0.1) < 1e-6
    assert loss(truth[kind.name] + 0.1 * torch.rand_like(mask)) > 0.01


def test_of_several_maps_the_gradient_loss_is_the_mean():
    maps, losses = face_batch(32), []
    for outputs in [REFLECTANCE, *((kind,) for kind in REFLECTANCE)]:
        model = Joint(["texture", "shape_normals"], **SMALL, gradient_weight=1.0)
        model.outputs = outputs
        made = {kind: maps[kind].roll(1, -1) for kind in REFLECTANCE}
        losses.append(model.map_losses(made, maps, maps, None, maps["mask"])["gradient"])
    torch.testing.assert_close(losses[0], torch.stack(losses[1:]).mean())
