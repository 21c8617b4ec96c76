"""Every generator and norm in a translator: trained, resumed, exported, run."""

import pytest
import torch

from realface.errors import InputError
from realface.networks.generator import GENERATORS, UNet
from realface.networks.norms import BatchRenorm
from realface.translators import DiffuseNormals, SpecularAlbedo
from realface.weights import export_weights, load_checkpoint, load_weights
from tests.faces import face_batch
from tests.translators.training import INPUTS, SMALL, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")

NORMS = ["instance", "batch_renorm", "position", "none"]


def build(kind=SpecularAlbedo, **changed):
    torch.manual_seed(0)
    return kind(INPUTS[kind], **{**SMALL, "generator": "unet", **changed})


@pytest.mark.parametrize("norm", NORMS)
def test_what_was_trained_is_what_its_weights_are(tmp_path, norm):
    model = build(norm=norm, residual=True)
    made = trainer(enable_checkpointing=False)
    made.fit(model, loader(3), loader())
    made.save_checkpoint(tmp_path / "last.ckpt")
    trained = load_checkpoint(tmp_path / "last.ckpt")
    export_weights(trained, tmp_path / "weights")
    exported = load_weights(tmp_path / "weights")["specular_albedo"]
    batch, own = face_batch(32), model.eval()
    for one in (trained, exported):
        assert one.descriptor.generator == "unet"
        assert one.descriptor.spatial_statistics == (norm == "instance")
        assert one.generator.state_dict().keys() == own.generator.state_dict().keys()
        for name, tensor in own.generator.state_dict().items():
            assert one.generator.state_dict()[name].dtype == tensor.dtype
        with torch.no_grad():
            assert torch.equal(one(batch)["specular_albedo"], own(batch)["specular_albedo"])


@pytest.mark.parametrize("norm", ["batch_renorm", "position"])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(tmp_path, norm):
    whole = build(norm=norm)
    trainer(max_epochs=2).fit(whole, loader(2), loader())
    first, second = build(norm=norm), build(norm=norm)
    made = trainer(max_epochs=2, limit_train_batches=2)
    made.fit_loop.max_epochs = 1
    made.fit(first, loader(2), loader())
    made.fit_loop.max_epochs = 2
    made.save_checkpoint(tmp_path / "half.ckpt")
    trainer(max_epochs=2).fit(second, loader(2), loader(), ckpt_path=tmp_path / "half.ckpt")
    for (name, one), other in zip(
        whole.generator.state_dict().items(), second.generator.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)


@pytest.mark.parametrize("norm", NORMS)
def test_checkpointed_activations_train_the_same(norm):
    plain, sparing = (build(norm=norm, gradient_checkpointing=on) for on in (False, True))
    for model in (plain, sparing):
        trainer().fit(model, loader(2), loader())
    for one, other in zip(
        plain.generator.state_dict().values(), sparing.generator.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_running_statistics_move_once_a_step():
    model = build(norm="batch_renorm")
    trainer().fit(model, loader(3), loader())
    norms = [one for one in model.generator.modules() if isinstance(one, BatchRenorm)]
    assert norms
    assert {int(one.steps) for one in norms} == {3}
    assert all(one.running_variance.std() > 0 for one in norms)


def test_left_out_arguments_are_the_generators_own():
    for name, kind in GENERATORS.items():
        model = SpecularAlbedo(["diffuse_albedo"], generator=name, base_channels=2, downsamples=1)
        own = kind(3, 1, base_channels=2, downsamples=1)
        assert model.generator.arguments == own.arguments
    assert UNet(3, 1).arguments["norm"] == "position"


@pytest.mark.parametrize("kind", [SpecularAlbedo, DiffuseNormals])
@pytest.mark.parametrize("foreign", [{"local_blocks": 3}, {"upsampling": "transposed"}])
def test_what_the_unet_has_not_got_is_refused(kind, foreign):
    (name, value), = foreign.items()  # fmt: skip
    with pytest.raises(InputError, match=f"{name} {value} with generator unet") as caught:
        build(kind, **foreign)
    assert f"{name} null" in str(caught.value)
