import json
import os
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from realface.data.datamodule import ReflectanceDataModule
from realface.data.index import INDEX_NAME
from realface.data.packing.pack import pack
from realface.data.shard_set import open_shards
from realface.errors import InputError
from realface.maps.kinds import KINDS
from tests.data.conftest import fit

KINDS_PACKED = (
    "diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape",
    "shape_normals", "mask",
)  # fmt: skip


def module(shards, **arguments) -> ReflectanceDataModule:
    defaults = {"batch_size": 2, "crop": 16, "samples_per_epoch": 12, "workers": 0}
    data = ReflectanceDataModule(shards, **(defaults | arguments))
    data.setup("fit")
    return data


def maps(data, loader) -> list[dict]:
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


def keys(loader) -> list[str]:
    return [key for batch in loader for key in batch["key"]]


def fingerprint(loader) -> list:
    return [(batch["key"], batch["diffuse_albedo"].double().sum().item()) for batch in loader]


def with_trainer(data, rank=0, world=1, epoch=0, required=("diffuse_albedo",), wholes=False):
    translator = SimpleNamespace(
        required_kinds=required,
        optional_kinds=("occlusion",),
        shown_kinds=("shape",),
        reads_whole_faces=wholes,
    )
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=world, current_epoch=epoch, lightning_module=translator,
        training=True,
    )  # fmt: skip
    data.setup("fit")
    return data


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_without_a_trainer(shards, workers):
    data = module(shards, workers=workers)
    loader = data.train_dataloader()
    batches = maps(data, loader)
    assert len(batches) == len(loader) == 6
    for batch in batches:
        assert set(batch) == {"key", *KINDS_PACKED}
        for kind in KINDS_PACKED:
            assert batch[kind].shape == (2, KINDS[kind].channels, 16, 16)
            assert batch[kind].dtype == torch.float32
        assert len(batch["key"]) == 2
        lengths = batch["specular_normals"].norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_an_epoch_is_every_training_sample_once(shards):
    there = sorted(one.entry.key for one in open_shards([str(shards)]).samples("train"))
    loader = module(shards, batch_size=1, samples_per_epoch=None).train_dataloader()
    first, second = keys(loader), keys(loader)
    assert sorted(first) == there == sorted(second)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_follows_from_the_seed_alone(shards, workers):
    loaders = [module(shards, workers=workers, seed=seed).train_dataloader() for seed in (5, 6)]
    torch.manual_seed(1)
    streams = [fingerprint(loader) for loader in loaders]
    torch.manual_seed(2)
    again = module(shards, seed=5).train_dataloader()  # with no worker at all
    assert fingerprint(again) == streams[0]
    assert streams[1] != streams[0]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_worker_per_sample_and_more(shards):
    """Uneven shards and idle workers keep nobody waiting."""
    data = module(shards, workers=3, batch_size=1, samples_per_epoch=2)
    assert len(keys(data.train_dataloader())) == 2


def test_ranks_share_an_epoch_evenly_whatever_the_shards(shards):
    there = len(open_shards([str(shards)]).samples("train"))
    streams = []
    for rank in range(3):
        data = module(shards, batch_size=1, samples_per_epoch=None)
        streams.append(keys(with_trainer(data, rank, 3).train_dataloader()))
    assert {len(stream) for stream in streams} == {there // 3}
    assert max(Counter(key for stream in streams for key in stream).values()) == 1


def test_ranks_of_a_launcher_are_known_without_a_trainer(shards, monkeypatch):
    streams = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        streams.append(keys(module(shards).train_dataloader()))
    assert not set(streams[0]) & set(streams[1])


def test_what_is_varied_follows_from_the_place_in_the_stream(shards):
    """Whoever loads a sample, at whatever batch size, makes the same of it."""

    def varied(**arguments):
        data = module(shards, tone_probability=0.5, rotation=20.0, **arguments)
        return torch.cat([batch["diffuse_albedo"] for batch in maps(data, data.train_dataloader())])

    torch.testing.assert_close(varied(batch_size=2), varied(batch_size=4, workers=1))


def test_all_kinds_that_the_translator_needs_must_be_packed(shards):
    data = with_trainer(module(shards))
    batch = maps(data, data.train_dataloader())[0]
    assert set(batch) == {"key", "diffuse_albedo", "mask"}
    with pytest.raises(InputError, match="exponent too"):
        with_trainer(module(shards), required=("diffuse_albedo", "exponent"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stopped_at", ["last.ckpt", "best.ckpt"])
def test_a_run_that_stops_goes_on_with_the_next_epoch(shards, tmp_path, stopped_at, workers):
    def run(epochs, **more):
        return fit(module(shards, samples_per_epoch=4, workers=workers), epochs, **more).trained

    whole = run(4)
    assert len(set(whole)) == 8
    assert run(2, folder=tmp_path) == whole[:4]
    assert run(4, ckpt_path=tmp_path / stopped_at) == whole[4:]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("limit", [0, 1, 7, 10_000])
def test_validation_is_every_sample_once(shards, workers, batch_size, limit):
    """More workers than shards or than samples are no trouble."""
    there = [one.entry.key for one in open_shards([str(shards)]).samples("val")]
    data = module(shards, workers=workers, batch_size=batch_size, validation_samples=limit)
    loader = data.val_dataloader()
    for _ in range(2 if workers == 0 else 1):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert keys(batches) == there[: limit or None]
    assert data.validation_count() == len(there[: limit or None])


def test_validation_is_dealt_out_over_ranks(shards):
    there = {one.entry.key for one in open_shards([str(shards)]).samples("val")}
    parts = [
        keys(with_trainer(module(shards, validation_samples=0), rank, 2).val_dataloader())
        for rank in range(2)
    ]
    assert abs(len(parts[0]) - len(parts[1])) <= 1
    assert set(parts[0]) | set(parts[1]) == there
    assert len(parts[0]) + len(parts[1]) == len(there)


@pytest.mark.slow
def test_spawned_workers(shards):
    """As on Windows and macOS."""
    loader = module(shards, workers=1, samples_per_epoch=4).train_dataloader()
    loader._batches._loader.multiprocessing_context = "spawn"
    here = module(shards, samples_per_epoch=4).train_dataloader()
    assert fingerprint(loader) == fingerprint(here)


@pytest.mark.parametrize("name", ["with space", "50%20 off", "a#b?c", "{0..3}", "ü"])
def test_folders_of_any_name(subjects, tmp_path, name):
    pack(subjects, tmp_path / name, patch=24, minimum_valid=0.3)
    assert len(list(module(tmp_path / name).train_dataloader())) == 6


def test_files_are_closed(shards):
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(5):
        list(module(shards).train_dataloader())
    assert count() <= before + 2


def test_several_folders_are_one_set(subjects, shards, tmp_path):
    again = Path(shutil.copytree(shards, tmp_path / "again"))
    both = open_shards([str(shards), str(again)])
    assert len(both.samples("train")) == 2 * len(open_shards([str(shards)]).samples("train"))
    data = module([str(shards), str(again)], samples_per_epoch=None, batch_size=1)
    assert set(Counter(keys(data.train_dataloader())).values()) == {2}
    pattern = f"{shards}/train-{{000000..000001}}.tar"
    two = open_shards([pattern])
    assert {one.entry.shard for one in two.samples("train")} == {
        "train-000000.tar", "train-000001.tar"
    }  # fmt: skip
    with pytest.raises(InputError, match="without val samples"):
        two.samples("val")
    with pytest.raises(InputError, match="does not name"):
        open_shards([f"{shards}/train-009999.tar"])


def test_folders_and_shards_that_overlap_count_once(shards):
    there = len(open_shards([str(shards)]).samples("train"))
    for named in ([shards, f"{shards}/"], [shards, f"{shards}/train-000000.tar"]):
        assert len(open_shards([str(one) for one in named]).samples("train")) == there


def test_a_folder_without_masks_leaves_the_others_theirs(subjects, shards, tmp_path):
    for subject in subjects.iterdir():
        copy = Path(shutil.copytree(subject, tmp_path / "in" / f"bare-{subject.name}"))
        record = json.loads((copy / "subject.json").read_text())
        (copy / record["maps"].pop("mask")["file"]).unlink()
        (copy / "subject.json").write_text(json.dumps(record))
    pack(tmp_path / "in", tmp_path / "bare", patch=24, stride=12, samples_per_shard=5)
    data = module([str(shards), str(tmp_path / "bare")], samples_per_epoch=None, crop=24)
    masks = {
        key: batch["mask"][i].mean().item()
        for batch in maps(data, data.train_dataloader())
        for i, key in enumerate(batch["key"])
    }
    assert {value for key, value in masks.items() if key.startswith("bare")} == {1.0}
    assert min(value for key, value in masks.items() if not key.startswith("bare")) < 1


def test_a_subject_on_both_sides_of_two_folders_is_told(subjects, shards, tmp_path, caplog):
    pack(subjects, tmp_path / "again", patch=24, minimum_valid=0.3, seed=1)
    open_shards([str(shards)])
    assert "another's training" not in caplog.text
    open_shards([str(shards), str(tmp_path / "again")])
    assert "another's training: face-" in caplog.text


def test_the_mirror_is_for_training_alone(shards):
    data = with_trainer(module(shards, mirror_probability=1.0), required=KINDS_PACKED)
    plain = with_trainer(module(shards, mirror_probability=0.0), required=KINDS_PACKED)
    mirrored = maps(data, data.train_dataloader())[0]
    batch = maps(plain, plain.train_dataloader())[0]
    assert mirrored["key"] == batch["key"]
    assert torch.equal(mirrored["mask"], batch["mask"].flip(-1))
    assert torch.equal(mirrored["shape"][:, 0], -batch["shape"][:, 0].flip(-1))
    validated = maps(data, data.val_dataloader())[0]
    assert torch.equal(validated["shape"], maps(plain, plain.val_dataloader())[0]["shape"])


def test_a_crop_larger_than_the_patches(shards):
    with pytest.raises(InputError, match="crop 25, and sample"):
        list(module(shards, crop=25).train_dataloader())


def test_an_epoch_shorter_than_a_batch_is_one_step(shards):
    assert len(list(module(shards, samples_per_epoch=1, batch_size=4).train_dataloader())) == 1


def test_millimetres_per_texel(shards):
    assert module(shards).millimetres_per_texel == pytest.approx(150 / 64, rel=0.5)


def test_data_that_must_be_destroyed_is_told(shards, tmp_path, caplog):
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    index = json.loads((copy / INDEX_NAME).read_text())
    index["terms"] = [{"source": "RealFaceDB", "licence": "lent", "expires": "2020-02-02"}]
    (copy / INDEX_NAME).write_text(json.dumps(index))
    module(copy)
    assert "RealFaceDB must be destroyed by 2020-02-02" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0), ("crop", 0), ("samples_per_epoch", 0), ("validation_samples", -1),
        ("workers", -1), ("mirror_probability", 1.5), ("tone_probability", -0.1),
        ("tone_probability", float("nan")), ("rotation", -1.0), ("zoom", 0.5),
    ],
)  # fmt: skip
def test_numbers_are_refused_by_name_up_front(tmp_path, name, value):
    with pytest.raises(InputError, match=rf"data\.{name} {value}"):
        ReflectanceDataModule(tmp_path, **{name: value})
