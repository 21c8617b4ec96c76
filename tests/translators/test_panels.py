"""Validation images."""

import numpy as np
import pytest
import torch

from realface.maps.files import read_image
from realface.networks.channels import input_kinds
from realface.translators.panels import PanelWriter, panel
from tests.faces import face_batch
from tests.translators.training import ALL, build, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


@pytest.mark.parametrize("kind", ALL)
def test_a_panel_of_each_epoch_one_row_a_sample(tmp_path, kind):
    model = build(kind)
    trainer(max_epochs=2, callbacks=[PanelWriter(tmp_path)]).fit(model, loader(), loader(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0000.png",
        "epoch-0001.png",
    ]
    tiles = len(input_kinds(model.inputs)) + 3
    image = read_image(tmp_path / "epoch-0000.png")
    assert image.shape == (2 * 32, tiles * 32, 3)
    assert image.dtype == np.uint8


def test_no_more_than_four_rows_and_a_perfect_prediction_differs_by_grey():
    batch = face_batch(16, count=6)
    batch["prediction"] = batch["specular_albedo"]
    image = panel(batch, ("diffuse_albedo",), "specular_albedo")
    assert image.shape == (4 * 16, 4 * 16, 3)
    assert (image[:, 3 * 16 :] == 128).all()
    assert (image[:, 16:32] == image[:, 32:48]).all()


def test_positions_are_shown_between_their_own_ends():
    batch = face_batch(16)
    batch["prediction"] = torch.zeros(2, 3, 16, 16)
    image = panel(batch, ("shape",), "diffuse_albedo")
    assert image[:16, :16].min() == 0
    assert image[:16, :16].max() == 255
