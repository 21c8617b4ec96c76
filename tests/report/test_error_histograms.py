"""Histograms of errors: every valid texel once, every epoch once."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from realface.maps.files import read_image
from realface.metrics.angular import angular_error_map
from realface.report.error_histograms import (
    ANGLES,
    LEVELS,
    ErrorHistograms,
    add_line,
    bins_of,
    errors,
    percentiles,
)
from realface.translators import DiffuseAlbedo, Joint, SpecularNormals
from tests.faces import face_batch
from tests.report.loggers import KeptWandb
from tests.translators.training import SMALL, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


def table(path):
    lines = path.read_text().splitlines()
    return lines[0].split(","), [[int(cell) for cell in line.split(",")] for line in lines[1:]]


def test_a_picture_and_a_line_each_epoch(tmp_path):
    model, logger = build(SpecularNormals), KeptWandb()
    run = trainer(max_epochs=2, callbacks=[ErrorHistograms(tmp_path)], logger=logger)
    run.fit(model, loader(), loader(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0000-specular_normals-errors.png",
        "epoch-0001-specular_normals-errors.png",
        "specular_normals-errors.csv",
    ]
    assert read_image(tmp_path / "epoch-0001-specular_normals-errors.png").std() > 10
    header, lines = table(tmp_path / "specular_normals-errors.csv")
    assert header[:4] == ["epoch", "0", "0.5", "1"]
    assert len(header) == 91
    valid = 3 * int(face_batch()["mask"].sum())
    assert [line[0] for line in lines] == [0, 1]
    assert [sum(line[1:]) for line in lines] == [valid, valid]
    kept = [line["val/specular_normals/errors"] for line in logger.logged
            if "val/specular_normals/errors" in line]  # fmt: skip
    assert [one.histogram for one in kept] == [line[1:] for line in lines]


def test_the_percentiles_that_are_logged_are_those_of_the_texels(tmp_path):
    model = build(SpecularNormals)
    run = trainer(callbacks=[ErrorHistograms(tmp_path)])
    run.fit(model, loader(), loader())
    batch = face_batch()
    with torch.no_grad():
        made = model(batch)["specular_normals"]
    angles = angular_error_map(made, batch["specular_normals"])[batch["mask"] > 0.5]
    for percent in (50, 90, 95):
        expected = min(float(torch.quantile(angles, percent / 100)), 44.5)
        logged = float(run.callback_metrics[f"val/specular_normals/error_p{percent}"])
        assert logged == pytest.approx(expected, abs=0.5)


def test_every_map_of_the_joint_one_where_light_is_known(tmp_path):
    model = Joint(["texture", "shape_normals"], **SMALL)
    batch = face_batch()
    batch["mask"] = torch.ones_like(batch["mask"])
    whole = DataLoader([batch], batch_size=None)
    trainer(callbacks=[ErrorHistograms(tmp_path)]).fit(model, loader(), whole)
    sums = {kind: sum(table(tmp_path / f"{kind}-errors.csv")[1][0][1:]) for kind in model.outputs}
    texels = sums["specular_albedo"]
    assert 0 < texels < batch["mask"].numel()  # the rim does not count
    assert sums["diffuse_albedo"] == 3 * texels
    assert sums["diffuse_normals"] == sums["specular_normals"] == texels


def test_no_valid_texel_is_no_number(tmp_path):
    batch = face_batch()
    batch["mask"] = 0 * batch["mask"]
    run = trainer(callbacks=[ErrorHistograms(tmp_path)], logger=KeptWandb())
    run.fit(build(), loader(), DataLoader([batch], batch_size=None))
    assert torch.isnan(run.callback_metrics["val/specular_albedo/error_p50"])
    assert not any(table(tmp_path / "specular_albedo-errors.csv")[1][0][1:])


def test_processes_are_summed(tmp_path, monkeypatch):
    run = trainer(callbacks=[ErrorHistograms(tmp_path)])
    reduced = []

    def reduce(tensor, reduce_op="mean", **_):
        if tensor.ndim:
            reduced.append(reduce_op)
        return 2 * tensor if tensor.dtype == torch.int64 else tensor

    monkeypatch.setattr(run.strategy, "reduce", reduce)
    run.fit(build(SpecularNormals), loader(), loader())
    assert "sum" in reduced
    counted = table(tmp_path / "specular_normals-errors.csv")[1][0][1:]
    assert sum(counted) == 2 * int(face_batch()["mask"].sum())


def test_checks_before_training_and_validation_alone_add_no_epoch(tmp_path):
    model, folder = build(SpecularNormals), tmp_path / "panels"
    quiet = trainer(
        callbacks=[ErrorHistograms(folder)], num_sanity_val_steps=1, check_val_every_n_epoch=2
    )
    quiet.fit(model, loader(), loader())
    assert not folder.exists()
    quiet.validate(model, loader(), verbose=False)
    assert [path.name for path in folder.iterdir()] == ["validate-specular_normals-errors.png"]


def test_training_is_the_same_with_histograms(tmp_path):
    weights = []
    for callbacks in ([], [ErrorHistograms(tmp_path)]):
        torch.manual_seed(0)
        model = build(DiffuseAlbedo)
        trainer(max_epochs=2, callbacks=callbacks).fit(model, loader(2), loader())
        weights.append((*model.parameters(), torch.get_rng_state()))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_an_epoch_that_is_run_again_takes_the_place_of_the_first(tmp_path):
    path, edges = tmp_path / "errors.csv", np.arange(4.0)
    for epoch, count in ((0, 1), (1, 2), (2, 3), (1, 4)):
        add_line(path, epoch, np.full(3, count), edges)
    assert path.read_text() == "epoch,0,1,2\n0,1,1,1\n1,4,4,4\n"
    assert list(tmp_path.iterdir()) == [path]


def test_bins_count_the_valid_errors_and_the_last_one_has_no_end():
    values = torch.tensor([[0.0, 0.49, 0.5, 44.4], [44.5, 180.0, torch.nan, 3.0]]).view(1, 1, 2, 4)
    valid = torch.ones_like(values)
    valid[..., 1, 3] = 0
    counts = ANGLES.counts(values, valid)
    assert counts.dtype == torch.int64
    assert {index: int(counts[index]) for index in counts.nonzero()[:, 0].tolist()} == {
        0: 2, 1: 1, 88: 1, 89: 3,
    }  # fmt: skip


def test_an_albedo_is_counted_as_it_would_be_written():
    truth = torch.full((1, 3, 2, 2), 250 / 255)
    off = errors(truth + 1, truth, "diffuse_albedo")
    assert off.shape == truth.shape
    torch.testing.assert_close(off, torch.full_like(off, 5.0), atol=1e-3, rtol=0)
    assert bins_of("diffuse_albedo") is LEVELS
    assert LEVELS.counts(off, truth[:, :1])[9:11].sum() == 12


def test_percentiles_lie_between_the_edges():
    edges = np.arange(5.0)
    assert percentiles(np.array([10, 10, 0, 0]), edges, (25, 50, 75)) == [0.5, 1.0, 1.5]
    assert percentiles(np.array([5, 0, 0, 5]), edges, (90,)) == [3.0]  # three, or more
    assert np.isnan(percentiles(np.zeros(4, int), edges, (50,))).all()
