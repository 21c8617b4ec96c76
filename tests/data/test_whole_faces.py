"""Patches that come with the whole face that they are of."""

import numpy as np
import pytest
import torch

from realface.data.moves import Moves, move
from realface.data.procedural_datamodule import ProceduralDataModule
from realface.data.transforms import SkinTone, collate, to_maps
from realface.errors import InputError
from tests.data.shard_folders import four_faces, write_folder
from tests.data.test_datamodule import maps, module, with_trainer


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "shards", four_faces())
    return tmp_path / "shards"


@pytest.mark.parametrize("workers", [0, 2])
def test_each_patch_has_its_own_face(folder, workers):
    data = with_trainer(module(folder, workers=workers, mirror_probability=0.0,
                               tone_probability=0.0), wholes=True)  # fmt: skip
    faces = {}
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for batch in maps(data, loader):
            assert batch["whole"]["diffuse_albedo"].shape == (len(batch["key"]), 3, 12, 12)
            for key, face in zip(batch["key"], batch["whole"]["diffuse_albedo"], strict=True):
                name = key.rpartition("-y")[0]
                assert torch.equal(faces.setdefault(name, face), face)
    assert len(faces) == 4
    assert not torch.equal(faces["face-0"], faces["face-1"])


def test_lent_patches_have_none_and_it_is_said(tmp_path):
    patches = {name: held for name, held in four_faces().items() if not name.startswith("whole")}
    write_folder(tmp_path / "shards", patches)
    data = with_trainer(module(tmp_path / "shards"), wholes=True)
    with pytest.raises(InputError, match="without its whole face") as caught:
        data.train_dataloader()
    assert "leave whole_texture out" in caught.value.remedy


def test_turns_of_the_patch_alone_are_refused(folder):
    with pytest.raises(InputError, match="rotation 5"):
        with_trainer(module(folder, rotation=5.0), wholes=True)


def sample(albedo: float, size: int = 8) -> dict:
    colour = np.full((size, size, 3), round(255 * albedo), np.uint8)
    mask = np.full((size, size, 1), 255, np.uint8)
    whole = {"diffuse_albedo": colour[:4, :6], "mask": mask[:4, :6]}
    return {"key": "a", "diffuse_albedo": colour, "mask": mask, "whole": whole}


def test_the_tone_of_both_changes_alike():
    import random

    for seed in range(5):
        varied = SkinTone(1.0)(sample(0.5), random.Random(seed))
        assert varied["diffuse_albedo"][0, 0] == pytest.approx(
            varied["whole"]["diffuse_albedo"][0, 0], abs=1e-5
        )
        assert abs(varied["diffuse_albedo"][0, 0] - 0.5).max() > 0.01


def test_both_are_mirrored_together():
    one = sample(0.5)
    one["diffuse_albedo"][:, 0] = one["whole"]["diffuse_albedo"][:, 0] = 0
    batch = to_maps(collate([{**one, "mirrored": True}, {**one, "mirrored": False}]))
    moved = move(batch)
    for albedo in (moved["diffuse_albedo"], moved["whole"]["diffuse_albedo"]):
        assert albedo[0, :, :, -1].max() == 0
        assert albedo[1, :, :, 0].max() == 0
        assert albedo[0, :, :, 0].min() > 0


def test_faces_of_two_sizes_do_not_go_into_one_batch():
    other = sample(0.5)
    other["whole"] = {kind: values[:2] for kind, values in other["whole"].items()}
    with pytest.raises(InputError, match="2x6 and 4x6"):
        collate([sample(0.5), other])


def test_mirrors_need_no_check():
    Moves(mirror_probability=0.5).check_for_wholes()


def test_procedural_patches_lie_where_their_whole_face_says():
    data = with_trainer(
        ProceduralDataModule(batch_size=2, crop=64, narrowest_map=192, widest_map=192,
                             samples_per_epoch=2, mirror_probability=1.0),
        wholes=True,
    )  # fmt: skip
    draw = data.training_draw(0)
    batch = data.on_after_batch_transfer(
        data.transfer_batch_to_device(draw, torch.device("cpu"), 0), 0
    )
    whole = batch["whole"]
    assert whole["diffuse_albedo"].shape == (2, 3, 16, 24)
    for number, (y, x, rows, columns) in enumerate(draw.windows):
        x = draw.map_size[1] - x - columns  # both are mirrored
        rows, columns = slice(y // 8, (y + rows) // 8), slice(x // 8, (x + columns) // 8)
        there = whole["shape"][number, :, rows, columns].mean(dim=(1, 2))
        here = batch["shape"][number].mean(dim=(1, 2))
        # A texel of these small faces is 6 to 9 mm; on the wrong side it would be 50 off.
        torch.testing.assert_close(there, here, atol=12.0, rtol=0)
