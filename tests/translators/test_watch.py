"""What ends a training that has gone wrong."""

import pytest
import torch

from realface.errors import FailureError
from realface.translators.watch import Watch, contrast
from tests.translators.training import RECONSTRUCTION, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")

MASK = torch.ones(2, 1, 8, 8)


def test_contrast_is_a_ratio_of_deviations():
    truth = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(contrast(0.3 * truth + 5, truth, MASK), torch.tensor(0.3))
    assert contrast(torch.ones(2, 3, 8, 8), truth, MASK) == 0
    assert contrast(truth, torch.ones(2, 3, 8, 8), MASK) == 1  # a flat truth asks for nothing


def test_contrast_sees_valid_texels_alone():
    truth = torch.randn(2, 3, 8, 8)
    mask = MASK.clone()
    mask[..., 4:] = 0
    made = truth.clone()
    made[..., 4:] = torch.nan
    torch.testing.assert_close(contrast(made, truth, mask), torch.tensor(1.0))


def looks(watch, flat, **changed):
    leaf = torch.ones(3, requires_grad=True)
    losses = {"adversarial": leaf.sum(), "rendering": changed.get("loss", 1.0) * leaf.sum()}
    gradient = changed.get("gradient", torch.ones(3))
    ratio = torch.tensor(0.001 if flat else 0.5)
    return watch.look(losses, leaf, gradient, {"specular_albedo": ratio})


def test_a_collapse_is_one_that_lasts():
    watch = Watch(patience=3)
    for flat in (True, True, False, True, True):
        assert looks(watch, flat) is None
    assert "specular_albedo has collapsed: for 3 steps" in looks(watch, True)


def test_patience_zero_waits_for_ever():
    watch = Watch(patience=0)
    assert all(looks(watch, True) is None for _ in range(50))


def test_the_loss_at_fault_is_named_among_all():
    said = looks(Watch(0), False, loss=torch.inf)
    assert said.startswith("a loss that is not finite: rendering (losses: adversarial 3, ")


def test_a_gradient_at_fault_names_its_loss():
    leaf = torch.zeros(3, requires_grad=True)
    losses = {"adversarial": leaf.sum(), "rendering": leaf.square().sum().sqrt()}
    (gradient,) = torch.autograd.grad(sum(losses.values()), leaf, retain_graph=True)
    said = Watch(0).look(losses, leaf, gradient, {"specular_albedo": torch.tensor(1.0)})
    assert said == "the gradient of rendering is not finite, though the losses are"


def test_a_collapsed_training_ends_with_step_and_samples():
    model = build(**RECONSTRUCTION, learning_rate=0.0, collapse_patience=4)
    torch.nn.init.zeros_(model.generator.head.convolution.weight)
    with pytest.raises(FailureError, match="epoch 0, step 3: specular_albedo has collapsed") as e:
        trainer().fit(model, loader(6))
    assert "face-0, face-1" in e.value.given
