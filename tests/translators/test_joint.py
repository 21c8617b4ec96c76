"""One generator for all four maps, and its rendering loss."""

import pytest
import torch

from realface.errors import InputError
from realface.maps.kinds import REFLECTANCE
from realface.report.training_panels import PanelWriter
from realface.translators import Joint
from tests.faces import face_batch
from tests.translators.training import SMALL, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


RENDERED = {"lighting": "studio", "rendering_weight": 10.0}


def joint(**changed) -> Joint:
    return Joint(["texture", "shape_normals"], **{**SMALL, **RENDERED, **changed})


def test_all_four_maps_come_of_one_pass():
    model = joint()
    maps = model.prepare(face_batch(32), torch.Generator().manual_seed(0))
    made = model(maps)
    assert tuple(made) == REFLECTANCE
    for kind, values in made.items():
        assert values.shape == maps[kind].shape


@pytest.mark.parametrize("lighting", ["studio", "varied"])
def test_a_step_logs_its_losses_and_each_maps_metrics(lighting):
    fitted = trainer()
    fitted.fit(joint(lighting=lighting, reconstruction_weight=1.0), loader(), loader())
    metrics = fitted.callback_metrics
    for name in ("adversarial", "feature_matching", "rendering", "reconstruction"):
        assert metrics[f"train/{name}"].isfinite()
    each = torch.stack([metrics[f"val/{kind}/psnr"] for kind in REFLECTANCE])
    torch.testing.assert_close(metrics["val/psnr"], each.mean())
    assert "val/specular_normals/angle" in metrics
    assert "val/diffuse_albedo/angle" not in metrics


def test_rendering_is_zero_for_the_truth_and_grows_with_what_is_wrong():
    model, maps = joint(), face_batch(32)
    mask = maps["mask"]

    def loss(**changed) -> float:
        torch.manual_seed(0)
        made = {kind: changed.get(kind, maps[kind]) for kind in REFLECTANCE}
        return float(model.map_losses(made, maps, maps, None, mask)["rendering"])

    assert loss() < 1e-5
    for kind in ("diffuse_albedo", "specular_albedo"):
        assert 1e-3 < loss(**{kind: maps[kind] + 0.05}) < loss(**{kind: maps[kind] + 0.1})
    for kind in ("diffuse_normals", "specular_normals"):
        assert loss(**{kind: maps["shape_normals"]}) > 1e-3


def test_rendering_reaches_every_map():
    model, maps = joint(), face_batch(32)
    made = {kind: maps[kind].clone().requires_grad_() for kind in REFLECTANCE}
    for values in made.values():
        values.data.mul_(0.9)
    loss = model.map_losses(made, maps, maps, None, maps["mask"])["rendering"]
    for gradient in torch.autograd.grad(loss, list(made.values())):
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_without_weight_nothing_is_rendered():
    assert joint(rendering_weight=0.0).map_losses({}, {}, {}, None, torch.ones(1)) == {}


def test_rendering_under_no_lights_is_refused():
    with pytest.raises(InputError, match="rendering_lights 0"):
        joint(rendering_lights=0)


def test_rendering_alone_learns_a_toy_problem():
    model = joint(adversarial_weight=0.0, feature_matching_weight=0.0, base_channels=8,
                  norm="none", learning_rate=5e-3, residual=True, constant_share=1.0)  # fmt: skip
    batch = model.prepare(face_batch(32), torch.Generator().manual_seed(0))

    def error() -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            return float(
                model.map_losses(model(batch), batch, batch, None, batch["mask"])["rendering"]
            )

    start = error()
    trainer().fit(model, loader(160))
    assert error() < 0.7 * start


def with_wholes(size: int = 32) -> dict:
    batch = face_batch(size)
    whole = {kind: values for kind, values in face_batch(24).items() if kind != "key"}
    return {**batch, "whole": whole}


@pytest.mark.parametrize("lighting", ["studio", "varied"])
def test_the_whole_texture_is_lit_with_the_patch_and_read(tmp_path, lighting):
    model = Joint(["texture", "shape_normals", "whole_texture"],
                  **{**SMALL, **RENDERED, "lighting": lighting, "norm": "none"})  # fmt: skip
    assert model.reads_whole_faces
    assert not joint().reads_whole_faces
    fitted = trainer(callbacks=[PanelWriter(tmp_path)])
    batches = torch.utils.data.DataLoader([with_wholes()], batch_size=None)
    fitted.fit(model, batches, batches)
    assert len(list(tmp_path.glob("*.png"))) == 4
    assert fitted.callback_metrics["val/psnr"].isfinite()
    maps = model.prepare(with_wholes(), torch.Generator().manual_seed(0))
    assert maps["whole_texture"].shape == (2, 3, 32, 32)
    blind = {**maps, "whole_texture": torch.zeros(2, 3, 32, 32)}
    with torch.no_grad():
        assert not torch.equal(model(maps)["diffuse_albedo"], model(blind)["diffuse_albedo"])


def test_needs_what_it_is_lit_from_and_never_a_stored_texture():
    assert set(joint().required_kinds) == {*REFLECTANCE, "shape", "shape_normals"}
    blind = Joint(["shape_normals"], **SMALL, **RENDERED)
    assert set(blind.required_kinds) == {*REFLECTANCE, "shape_normals"}
    assert "shape" in blind.optional_kinds
