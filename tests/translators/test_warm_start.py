"""Training that starts from weights that are there already."""

import logging

import pytest
import torch

from realface.errors import InputError
from realface.translators import DiffuseNormals, SpecularNormals
from realface.translators.warm_start import start_from
from realface.weights import export_weights, load_checkpoint
from tests.translators.training import build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    made = trainer()
    made.fit(build(SpecularNormals), loader(), loader())
    path = tmp_path_factory.mktemp("trained") / "best.ckpt"
    made.save_checkpoint(path)
    return path


def state(path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def test_a_checkpoint_gives_both_networks(checkpoint, caplog):
    model = build(SpecularNormals)
    with caplog.at_level(logging.INFO, "realface"):
        start_from(model, checkpoint)
    assert all(torch.equal(value, state(checkpoint)[n]) for n, value in model.state_dict().items())
    assert "generator and discriminator" in caplog.text


def test_another_discriminator_begins_anew(checkpoint, caplog):
    model = build(SpecularNormals, discriminator_scales=1)
    with caplog.at_level(logging.INFO, "realface"):
        start_from(model, checkpoint)
    trained = state(checkpoint)
    for name, value in model.generator.state_dict().items():
        assert torch.equal(value, trained[f"generator.{name}"])
    assert "no such discriminator" in caplog.text


def test_a_weights_folder_gives_the_generator(checkpoint, tmp_path):
    export_weights(load_checkpoint(checkpoint), tmp_path)
    model = build(SpecularNormals)
    start_from(model, tmp_path)
    for name, value in model.generator.state_dict().items():
        assert torch.equal(value, state(checkpoint)[f"generator.{name}"])


@pytest.mark.parametrize(
    ("kind", "changed", "words"),
    [
        (SpecularNormals, {"base_channels": 4}, "base_channels 2 and not 4"),
        (DiffuseNormals, {}, "translator specular_normals and not diffuse_normals"),
        (SpecularNormals, {"space": "tangent"}, "space object and not tangent"),
    ],
)
def test_weights_of_another_network_are_refused(checkpoint, kind, changed, words):
    with pytest.raises(InputError, match=words):
        start_from(build(kind, **changed), checkpoint)


def test_a_folder_without_this_translator_and_no_folder_at_all(checkpoint, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        start_from(build(SpecularNormals), tmp_path / "none")
    export_weights(load_checkpoint(checkpoint), tmp_path)
    with pytest.raises(InputError, match="weights of specular_normals"):
        start_from(build(DiffuseNormals), tmp_path)
