"""Validation images."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from realface.maps.files import read_image
from realface.report.sample_rows import Sample
from realface.report.training_panels import PanelWriter, panel
from realface.translators import Joint, SpecularNormals
from tests.faces import face_batch
from tests.report.loggers import KeptWandb
from tests.translators.training import ALL, SMALL, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")

TILE, GAP, LABEL = 320, 12, 30


def size_of(rows, columns):
    return rows * (TILE + LABEL + GAP) + 2 * GAP, columns * (TILE + GAP) + GAP, 3


@pytest.mark.parametrize("kind", ALL)
def test_a_page_each_epoch_two_rows_a_sample(tmp_path, kind):
    model = build(kind)
    trainer(max_epochs=2, callbacks=[PanelWriter(tmp_path)]).fit(model, loader(), loader())
    names = [f"epoch-{epoch:04d}-{model.name}.png" for epoch in (0, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    image = read_image(tmp_path / names[0])
    assert image.shape == size_of(4, max(4, len(model.interface.kinds) + 3))
    assert image.dtype == np.uint8


def test_a_page_for_each_map_of_the_joint_one_in_wandb_too(tmp_path):
    model, logger = Joint(["texture", "shape_normals"], **SMALL), KeptWandb()
    trainer(callbacks=[PanelWriter(tmp_path)], logger=logger).fit(model, loader(3), loader())
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"epoch-0000-{kind}.png" for kind in model.outputs)
    assert read_image(tmp_path / names[0]).shape == size_of(4, 5)
    logged = {name: line for line in logger.logged for name in line if name.startswith("val/panel")}
    assert set(logged) == {f"val/panel/{kind}" for kind in model.outputs}
    scored = next(line for line in logger.logged if "val/psnr" in line)
    steps = {line["trainer/global_step"] for line in (scored, *logged.values())}
    assert steps == {2}  # beside the metrics, though both optimisers made three steps


def test_two_samples_of_batches_of_one(tmp_path):
    faces = [{**face_batch(16, 1), "key": [f"face-{number}"]} for number in range(6)]
    single = DataLoader(faces, batch_size=None)
    callbacks = [PanelWriter(tmp_path)]
    trainer(callbacks=callbacks).fit(build(SpecularNormals), loader(), single)
    image = read_image(tmp_path / "epoch-0000-specular_normals.png")
    assert image.shape == size_of(4, 5)


def test_checks_before_training_draw_nothing_and_validation_alone_names_no_epoch(tmp_path):
    model, run = build(), trainer(callbacks=[PanelWriter(tmp_path)], num_sanity_val_steps=1)
    run.fit(model, loader())
    assert not list(tmp_path.iterdir())
    run.validate(model, loader(), verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["validate-specular_albedo.png"]
    sane = [PanelWriter(tmp_path / "sane")]
    run = trainer(callbacks=sane, num_sanity_val_steps=1, check_val_every_n_epoch=2)
    run.fit(model, loader(), loader())
    assert not (tmp_path / "sane").exists()


def test_training_is_the_same_with_panels(tmp_path):
    weights = []
    for callbacks in ([], [PanelWriter(tmp_path)]):
        torch.manual_seed(0)
        model = build(SpecularNormals)
        trainer(max_epochs=2, callbacks=callbacks).fit(model, loader(2), loader())
        weights.append((*model.parameters(), torch.get_rng_state()))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_no_page_is_wider_than_viewers_show():
    maps = {kind: values[:1] for kind, values in face_batch(512).items() if kind != "key"}
    one = Sample(
        "face", {**maps, "known": maps["mask"]}, {"diffuse_albedo": maps["diffuse_albedo"]}
    )
    inputs = ("shape", "shape_normals", "specular_albedo", "diffuse_normals", "specular_normals")
    assert panel([one], inputs, "diffuse_albedo").shape[1] == 4000
