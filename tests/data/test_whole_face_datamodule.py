"""Whole faces as batches: from shards, and procedural."""

import pytest
import torch

from realface.data.whole_face_datamodule import WholeFaceDataModule, collate_faces
from realface.errors import InputError
from tests.data.shard_folders import four_faces, write_folder


def test_faces_of_shards_come_once_in_an_epoch(tmp_path):
    write_folder(tmp_path / "shards", four_faces())
    data = WholeFaceDataModule(str(tmp_path / "shards"), batch_size=1)
    data.setup("fit")
    epochs = [[batch["key"][0] for batch in data.train_dataloader()] for _ in range(2)]
    assert sorted(epochs[0]) == sorted(set(epochs[0]))
    assert sorted(epochs[0]) == sorted(epochs[1])
    (batch, *_) = list(data.val_dataloader())
    assert batch["diffuse_albedo"].shape[-2:] == (32, 32)
    assert batch["mask"][..., 12:, :].eq(0).all()
    assert batch["mask"].sum() > 0


def test_lent_patches_have_no_faces_and_it_is_said(tmp_path):
    patches = {name: held for name, held in four_faces().items() if not name.startswith("whole")}
    write_folder(tmp_path / "shards", patches)
    with pytest.raises(InputError, match="without whole faces") as caught:
        WholeFaceDataModule(str(tmp_path / "shards")).setup("fit")
    assert "procedural" in caught.value.remedy


def test_procedural_faces_are_made_once_and_training_has_others_than_validation():
    data = WholeFaceDataModule(width=48, subjects=2, busts=0, batch_size=2, validation_samples=1)
    data.setup("fit")
    first, second = (next(iter(data.train_dataloader())) for _ in range(2))
    assert sorted(first["key"]) == sorted(second["key"])
    (held,) = list(data.val_dataloader())
    assert not set(held["key"]) & set(first["key"])
    assert data.validation_count() == 1
    assert data.millimetres_per_texel == pytest.approx(
        2 * WholeFaceDataModule(width=96).millimetres_per_texel
    )


def test_every_other_batch_is_of_busts_each_in_its_turn():
    data = WholeFaceDataModule(width=48, subjects=2, busts=2, batch_size=1, samples_per_epoch=8)
    data.setup("fit")
    keys = [batch["key"][0] for batch in data.train_dataloader()]
    assert all(key.startswith("bust") == bool(place % 2) for place, key in enumerate(keys))
    assert len(set(keys)) == 4
    assert data.about["subjects"] == 4


def test_faces_of_other_sizes_get_room_that_is_not_of_the_mask():
    small, large = (
        {"mask": torch.ones(1, *size).half(), "shape": torch.ones(3, *size)}
        for size in ((20, 30), (40, 24))
    )
    batch = collate_faces([("a", small), ("b", large)])
    assert batch["key"] == ["a", "b"]
    assert batch["mask"].shape == (2, 1, 64, 32)
    assert batch["mask"].dtype == torch.float32
    assert batch["mask"].sum(dim=(1, 2, 3)).tolist() == [600, 960]


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"width": 8}, {"validation_samples": -1}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        WholeFaceDataModule(**wrong)
