"""The generator/discriminator step."""

import warnings
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from realface.errors import FailureError, InputError
from realface.losses.adversarial import least_squares_discriminator, least_squares_generator
from realface.losses.feature_matching import feature_matching
from realface.losses.reconstruction import reconstruction
from realface.maps.kinds import REFLECTANCE
from realface.networks.channels import map_to_output, output_to_map
from realface.translators import DiffuseAlbedo, DiffuseNormals, SpecularAlbedo, SpecularNormals
from tests.faces import face_batch
from tests.translators.training import ALL, RECONSTRUCTION, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


def fit(model, count=1, **arguments) -> pl.Trainer:
    made = trainer(**arguments)
    made.fit(model, loader(count), loader())
    return made


def test_the_four_make_the_four_maps():
    assert tuple(kind.name for kind in ALL) == REFLECTANCE


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("generator", ["global", "local"])
def test_a_step_of_training_and_validation(kind, generator):
    model = build(kind, generator=generator, local_blocks=1, reconstruction_weight=1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    metrics = fit(model).callback_metrics
    losses = {"adversarial", "feature_matching", "reconstruction", "discriminator", "total"}
    assert {name for name in metrics if name.startswith("train/")} == {
        f"train/{name}" for name in losses
    }
    assert {"val/psnr", "val/ssim"} <= metrics.keys()
    assert ("val/angle" in metrics) == (kind in (DiffuseNormals, SpecularNormals))
    assert all(torch.isfinite(value) for value in metrics.values())
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ALL)
def test_prediction_has_the_kinds_channels_and_normals_are_unit(kind):
    model = build(kind)
    maps = model.prepare(face_batch(32), torch.Generator().manual_seed(0))
    made = model(maps)[model.name]
    assert made.shape == maps[model.name].shape
    if kind in (DiffuseNormals, SpecularNormals):
        torch.testing.assert_close(made.norm(dim=1), torch.ones(2, 32, 32))


@pytest.mark.parametrize("kind", [SpecularAlbedo, SpecularNormals])
def test_reconstruction_learns_a_toy_problem(kind):
    model = build(kind, **RECONSTRUCTION, base_channels=8, learning_rate=5e-3, constant_share=1.0)
    batch = face_batch(32)

    def loss() -> float:
        with torch.no_grad():
            losses = model.map_losses(model(batch), batch, batch, None, batch["mask"])
        return float(losses["reconstruction"])

    start = loss()
    fit(model, count=60)
    assert loss() < 0.5 * start


class Watch(pl.Callback):
    """Notes which network each optimiser's step has changed."""

    def __init__(self):
        self.changes = []

    def on_fit_start(self, trainer, pl_module):
        for number, optimizer in enumerate(trainer.optimizers):
            step = optimizer.step
            optimizer.step = lambda *a, number=number, step=step, **k: self._step(
                pl_module, number, step
            )

    def _step(self, model, number, step):
        networks = {"generator": model.generator, "discriminator": model.discriminator}
        before = {
            name: [parameter.detach().clone() for parameter in network.parameters()]
            for name, network in networks.items()
        }
        step()
        changed = {
            name
            for name, network in networks.items()
            if any(
                not torch.equal(one, other)
                for one, other in zip(before[name], network.parameters(), strict=True)
            )
        }
        self.changes.append((number, changed))


def test_each_step_changes_its_own_network_alone():
    watch = Watch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(build(), count=2, callbacks=[watch])
    assert watch.changes == 2 * [(0, {"generator"}), (1, {"discriminator"})]


def plain_gradients(model, batch) -> dict[str, dict[str, torch.Tensor]]:
    """pix2pixHD's own way: three looks, and a backward pass from each network's whole loss."""
    maps, mask = model.prepare(batch, None), batch["mask"]
    inputs = model.interface.read(maps, None)
    made = output_to_map(model.generator(inputs), model.name)

    def look(values):
        pair = torch.cat((inputs, map_to_output(values, model.name)), dim=1)
        return model.discriminator(pair * mask)

    real, fake = look(maps[model.name]), look(made)
    losses = {
        "adversarial": least_squares_generator(fake),
        "feature_matching": feature_matching(real, fake),
        "reconstruction": reconstruction(made, maps[model.name], mask),
    }
    total = sum(model.weights[name] * loss for name, loss in losses.items())
    own = least_squares_discriminator(real, look(made.detach()))
    return {
        name: dict(zip(dict(network.named_parameters()),
                       torch.autograd.grad(loss, list(network.parameters()), retain_graph=True),
                       strict=True))
        for name, network, loss in (
            ("generator", model.generator, total), ("discriminator", model.discriminator, own)
        )
    }  # fmt: skip


class Gradients(pl.Callback):
    """Notes the gradients that each network's optimiser is about to use."""

    def __init__(self):
        self.seen = {}

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        name = "generator" if optimizer is trainer.optimizers[0] else "discriminator"
        network = getattr(pl_module, name)
        self.seen[name] = {n: p.grad.clone() for n, p in network.named_parameters()}


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_two_looks_give_the_gradients_of_pix2pixhds_three(norm):
    model = build(norm=norm, reconstruction_weight=3.0)
    seen, looks = Gradients(), []
    with torch.enable_grad():
        expected = plain_gradients(model, face_batch(32))
    model.discriminator.register_forward_hook(lambda *_: looks.append(1))
    fit(model, callbacks=[seen])
    assert len(looks) == 2  # the truth and the prediction, once each
    for network, gradients in expected.items():
        for name, gradient in gradients.items():
            torch.testing.assert_close(
                seen.seen[network][name], gradient, atol=1e-5, rtol=1e-4, msg=f"{network}.{name}"
            )


def test_without_its_losses_there_is_no_discriminator():
    model = build(**RECONSTRUCTION)
    assert model.discriminator is None
    made = fit(model)
    assert len(made.optimizers) == 1
    assert "train/discriminator" not in made.callback_metrics


@pytest.mark.parametrize("where", ["truth", "weights"])
def test_nan_stops_training_and_names_losses_and_samples(where):
    model = build(**RECONSTRUCTION)
    batch = face_batch(32)
    if where == "truth":
        batch["specular_albedo"][1, 0, 16, 16] = torch.nan  # inside the mask
    else:
        torch.nn.init.constant_(next(model.generator.parameters()), torch.nan)
    with pytest.raises(FailureError, match="reconstruction nan") as caught:
        trainer().fit(model, torch.utils.data.DataLoader([batch], batch_size=None))
    assert "face-0, face-1" in caught.value.given


def test_nan_outside_the_mask_harms_nothing():
    model = build(SpecularAlbedo, **RECONSTRUCTION)
    batch = face_batch(32)
    outside = batch["mask"] < 0.5
    batch["specular_albedo"] = batch["specular_albedo"].masked_fill(outside, torch.nan)
    trainer().fit(model, torch.utils.data.DataLoader([batch], batch_size=None))
    assert all(torch.isfinite(parameter).all() for parameter in model.generator.parameters())


def test_flaws_of_files_are_on_what_is_read_and_not_on_the_truth():
    plain = build(SpecularAlbedo, **RECONSTRUCTION)
    flawed = build(SpecularAlbedo, input_flaws=["blur", "quantisation"], **RECONSTRUCTION)
    maps = face_batch(32)
    assert plain._as_read(maps) is maps
    read = flawed._as_read(maps)
    assert (read["diffuse_albedo"] - maps["diffuse_albedo"]).abs().max() > 0.001
    assert torch.equal(read["shape"], maps["shape"])
    trainer().fit(flawed, loader())
    assert torch.equal(maps["diffuse_albedo"], face_batch(32)["diffuse_albedo"])


def test_a_flaw_of_captures_is_none_of_files():
    with pytest.raises(InputError, match="noise_fill"):
        build(SpecularAlbedo, input_flaws=["noise_fill"])


def test_the_rim_without_known_light_is_seen_and_not_judged():
    """Under scattering: an input like the rest, and no loss or metric."""
    model = build(DiffuseAlbedo, norm="none", **RECONSTRUCTION)
    batch = face_batch(32)
    batch["shape"] = 0.05 * batch["shape"]  # fine texels: the rim reaches into the face
    maps = model.prepare(batch, torch.Generator().manual_seed(0))
    rim = (maps["mask"] > 0.5) & (maps["known"] < 0.5)
    assert rim.any()
    assert (maps["texture"] * rim).abs().max() > 0.1
    blank = {**maps, "texture": maps["texture"] * ~rim}
    assert not torch.equal(model(maps)[model.name], model(blank)[model.name])
    model.lighting = "studio"  # nothing scatters
    plain = model.prepare(batch, torch.Generator().manual_seed(0))
    assert torch.equal(plain["known"], plain["mask"])


@pytest.mark.parametrize(("crop", "lighting"), [(64, "varied"), (128, "varied"), (64, "studio")])
def test_a_crop_that_is_all_rim_is_refused(crop, lighting):
    model = build(DiffuseAlbedo, lighting=lighting)
    data = SimpleNamespace(crop=crop, millimetres_per_texel=0.05)
    cpu = SimpleNamespace(root_device=torch.device("cpu"))
    model.trainer = SimpleNamespace(datamodule=data, strategy=cpu, precision_plugin=None)
    if (crop, lighting) == (64, "varied"):
        with pytest.raises(InputError, match=r"64, 3\.2 mm"):
            model.setup("fit")
    else:
        model.setup("fit")


def test_losses_and_metrics_leave_the_rim_out(monkeypatch):
    def spoilt(self, batch, generator):
        made = prepare(self, batch, generator)
        rim = made["known"] < 0.5
        return {**made, "diffuse_albedo": made["diffuse_albedo"].masked_fill(rim, torch.nan)}

    prepare = DiffuseAlbedo.prepare
    monkeypatch.setattr(DiffuseAlbedo, "prepare", spoilt)
    fitted = trainer()
    fitted.fit(build(DiffuseAlbedo, norm="none", **RECONSTRUCTION), loader(), loader())
    assert fitted.callback_metrics["val/psnr"].isfinite()


@pytest.mark.parametrize("kind", ALL)
def test_garbage_outside_the_mask_changes_neither_loss_nor_prediction(kind):
    model = build(kind, norm="none", reconstruction_weight=1.0)
    clean = model.prepare(face_batch(32), torch.Generator().manual_seed(0))
    mask = clean["mask"]
    wild = {
        name: torch.where(mask > 0.5, value, 9.0 * torch.randn_like(value))
        if isinstance(value, torch.Tensor) and name != "mask"
        else value
        for name, value in clean.items()
    }
    results = []
    model._format = torch.contiguous_format
    for maps in (clean, wild):
        inputs = torch.zeros(2, model.interface.in_channels, *mask.shape[-2:])
        made, truth = model(maps), {model.name: maps[model.name]}
        losses, own = model._adversarial_losses(inputs, made, truth, mask)
        losses |= {**own, **model.map_losses(made, maps, maps, None, mask)}
        results.append((made[model.name], losses))
    (made, losses), (other, others) = results
    inside = mask.expand_as(made) > 0.5
    torch.testing.assert_close(other[inside], made[inside])
    assert set(losses) == {"adversarial", "feature_matching", "discriminator", "reconstruction"}
    assert losses.keys() == others.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(others[name], loss)


@pytest.mark.parametrize(("limit", "bound"), [(1e-3, 1.001e-3), (0.0, float("inf"))])
def test_clipping_bounds_the_gradient(limit, bound):
    norms = []

    class Norm(pl.Callback):
        def on_fit_start(self, trainer, pl_module):
            for optimizer in trainer.optimizers:
                optimizer.register_step_post_hook(self.note)

        def note(self, optimizer, *_):
            grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
            norms.append(float(torch.nn.utils.get_total_norm([g for g in grads if g is not None])))

    model = build(clip_gradient_norm=limit, reconstruction_weight=100.0)
    fit(model, callbacks=[Norm()])
    assert len(norms) == 2
    assert max(norms) <= bound
    assert max(norms) > 1 or limit


@pytest.mark.parametrize(("epochs", "share"), [(4, 0.5), (5, 0.5), (3, 0.0), (3, 1.0), (1, 0.5)])
def test_learning_rate_is_constant_and_then_falls_linearly(epochs, share):
    rates = []

    class Rates(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            rates.append([group["lr"] for o in trainer.optimizers for group in o.param_groups])

    model = build(learning_rate=1e-3, constant_share=share)
    trainer(max_epochs=epochs, callbacks=[Rates()]).fit(model, loader())
    constant = share * epochs
    for epoch, both in enumerate(rates):
        expected = 1.0 if epoch < constant else (epochs - epoch) / (epochs - constant)
        assert both == pytest.approx(2 * [1e-3 * expected])
    assert len(rates) == epochs


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("accumulate_batches", 0), ("learning_rate", -1e-4), ("learning_rate", float("nan")),
        ("beta1", 2.0), ("beta2", 1.0), ("constant_share", 1.5), ("feature_matching_weight", -1.0),
        ("flaw_probability", 3.0), ("clip_gradient_norm", -1.0), ("collapse_patience", -1),
        ("frame_millimetres", 0.0), ("gradient_weight", -1.0), ("r1_weight", float("inf")),
        ("r1_interval", 0), ("rendering_weight", -1.0),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_by_name_before_anything_is_made(name, wrong):
    with pytest.raises(InputError, match=f"{name} {wrong}"):
        build(**{name: wrong})


def test_all_weights_zero_are_refused_by_name():
    model = build(adversarial_weight=0.0, feature_matching_weight=0.0, r1_weight=1.0)
    with pytest.raises(InputError, match="adversarial_weight, feature_matching_weight, recon"):
        fit(model)


class Shards(pl.LightningDataModule):
    """Batches of the closed-form face, cropped to a size."""

    def __init__(self, crop):
        super().__init__()
        self.crop = crop

    def train_dataloader(self):
        return loader(1, self.crop)

    val_dataloader = train_dataloader


@pytest.mark.parametrize(
    ("crop", "words"),
    [(50, "multiple of 8"), (50, "48 or 56"), (4, "at least 16"), (4, "crop to 16"), (12, "to 16")],
)
def test_crop_that_does_not_fit_the_generator_is_refused(crop, words):
    model = build(generator="local", downsamples=2)
    with pytest.raises(InputError, match=rf"data\.crop {crop}") as caught:
        trainer().fit(model, datamodule=Shards(crop))
    assert words in str(caught.value)


def test_crop_that_the_metrics_cannot_take_is_refused_and_the_smallest_one_trains():
    with pytest.raises(InputError, match="at least 6"):
        trainer().fit(build(), datamodule=Shards(4))
    made = trainer()
    made.fit(build(discriminator_layers=3, discriminator_scales=3), datamodule=Shards(6))
    assert torch.isfinite(made.callback_metrics["val/ssim"])


def draws(folder, path=None, **arguments) -> list[float]:
    """What torch's own generator gives in each epoch of a training."""
    seen = []

    class Draw(pl.Callback):
        def on_train_batch_end(self, *_):
            seen.append(float(torch.rand(())))

    pl.seed_everything(3, verbose=False)
    last = pl.callbacks.ModelCheckpoint(folder, "last", save_on_train_epoch_end=True)
    made = trainer(callbacks=[Draw(), last], enable_checkpointing=True, **arguments)
    made.fit(build(), loader(), loader(), ckpt_path=path, weights_only=True)
    return seen


def test_draws_differ_between_epochs_and_a_resumed_run_does_not_repeat_them(tmp_path):
    first = draws(tmp_path, max_epochs=1)
    resumed = draws(tmp_path, tmp_path / "last.ckpt", max_epochs=3)
    assert len({*first, *resumed}) == 3
    assert draws(tmp_path / "again", max_epochs=1) == first


def test_draws_differ_between_processes_and_steps(monkeypatch):
    first = []
    for rank in range(2):
        monkeypatch.setattr(pl.Trainer, "global_rank", rank)
        model = build()
        model.trainer = trainer()
        for step in range(2):
            torch.manual_seed(0)
            model.on_train_batch_start({}, step)
            first.append(float(torch.rand(())))
    assert len(set(first)) == 4


def validated(*images: int) -> torch.Tensor:
    """PSNR over batches of two images, of which so many have valid texels."""
    batches = []
    for count in images:
        batch = face_batch(32)
        batch["mask"][count:] = 0
        batches.append(batch)
    torch.manual_seed(0)
    made = trainer()
    made.validate(build(), torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)
    return made.callback_metrics["val/psnr"]


def test_images_without_a_valid_texel_do_not_count_in_validation():
    both, one, none = (validated(count) for count in (2, 1, 0))
    assert torch.isnan(none)
    torch.testing.assert_close(validated(0, 2, 1), (2 * both + one) / 3)


def test_best_checkpoint_lives_with_epochs_without_a_number(tmp_path):
    batch = face_batch(32)
    batch["mask"].zero_()
    best = pl.callbacks.ModelCheckpoint(tmp_path, "best", monitor="val/psnr", mode="max")
    made = trainer(max_epochs=2, callbacks=[best], enable_checkpointing=True)
    made.fit(build(), loader(), torch.utils.data.DataLoader([batch], batch_size=None))
    checkpoint = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert checkpoint["descriptor"]["metrics"] == {}


def test_residual_generator_starts_at_its_base():
    model = build(SpecularNormals, residual=True)
    batch = face_batch(32)
    angle = (model(batch)[model.name] * batch["shape_normals"]).sum(dim=1)[
        batch["mask"][:, 0] > 0.5
    ]
    assert angle.mean() > 0.9


@pytest.mark.parametrize("inputs", [[], ["hair"], ["texture", "texture"]])
def test_wrong_inputs_are_refused(inputs):
    with pytest.raises(InputError, match="inputs"):
        SpecularAlbedo(inputs)


def test_delighting_lights_validation_the_same_each_epoch_and_training_anew():
    seen = {"train": [], "val": []}

    class Lit(DiffuseAlbedo):
        def prepare(self, batch, generator):
            made = super().prepare(batch, generator)
            seen["train" if generator is None else "val"].append(made["texture"])
            return made

    model = Lit(["texture", "depth"], generator="global", base_channels=2, downsamples=1, blocks=1,
                **RECONSTRUCTION)  # fmt: skip
    trainer(max_epochs=2).fit(model, loader(2), loader(2))
    first, second, again, after = seen["val"]
    assert torch.equal(first, again)
    assert torch.equal(second, after)
    assert not torch.equal(first, second)
    for number, one in enumerate(seen["train"]):
        for other in seen["train"][number + 1 :]:
            assert not torch.equal(one, other)


def test_delighting_needs_no_stored_texture_but_what_lights_it():
    model = build(DiffuseAlbedo)
    assert "texture" not in model.required_kinds
    assert {*REFLECTANCE, "shape"} <= set(model.required_kinds)
    assert set(model.optional_kinds) == {"occlusion", "exponent", "translucency"}
