import json
import os
import pickle
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from realface.data.datamodule import ReflectanceDataModule
from realface.data.pack import pack
from realface.data.shards import all_samples, endless_samples, read_index, shard_urls, url_of
from realface.data.verify import verify
from realface.errors import InputError
from realface.maps.kinds import KINDS
from tests.data.conftest import fit, samples_of

KINDS_PACKED = (
    "diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape",
    "shape_normals", "mask",
)  # fmt: skip


def module(shards, **arguments):
    defaults = {"batch_size": 2, "crop": 16, "samples_per_epoch": 12, "workers": 0, "shuffle": 8}
    data = ReflectanceDataModule(shards, **(defaults | arguments))
    data.setup("fit")
    return data


def keys(loader):
    return [key for batch in loader for key in batch["key"]]


def fingerprint(loader):
    return [(batch["key"], batch["diffuse_albedo"].sum().item()) for batch in loader]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_without_a_trainer(shards, workers):
    loader = module(shards, workers=workers).train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 6
    for batch in batches:
        assert set(batch) == {"key", *KINDS_PACKED}
        for kind in KINDS_PACKED:
            assert batch[kind].shape == (2, KINDS[kind].channels, 16, 16)
            assert batch[kind].dtype == torch.float32
        assert len(batch["key"]) == 2
        lengths = batch["specular_normals"].norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_epochs_are_as_long_as_asked_and_differ(shards, workers):
    loader = module(shards, workers=workers).train_dataloader()
    epochs = [fingerprint(loader) for _ in range(3)]
    assert [len(epoch) for epoch in epochs] == [6, 6, 6]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert not set(map(str, epochs[0])) & set(map(str, epochs[1]))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_equal_seeds_give_equal_streams_and_others_do_not(shards, workers):
    loaders = [module(shards, workers=workers, seed=seed).train_dataloader() for seed in (5, 5, 6)]
    torch.manual_seed(1)
    first = [fingerprint(loaders[0]) for _ in range(2)]
    torch.manual_seed(2)  # the stream stands on its own seed
    torch.rand(7)
    assert [fingerprint(loaders[1]) for _ in range(2)] == first
    assert [fingerprint(loaders[2]) for _ in range(2)] != first


def test_one_worker_draws_what_the_process_itself_would(shards):
    loaders = [module(shards, workers=workers).train_dataloader() for workers in (0, 1)]
    assert fingerprint(loaders[0]) == fingerprint(loaders[1])


def with_trainer(data, rank=0, world=1, epoch=0, required=("diffuse_albedo",)):
    translator = SimpleNamespace(required_kinds=required, optional_kinds=("occlusion",))
    data.trainer = SimpleNamespace(
        global_rank=rank, world_size=world, current_epoch=epoch, lightning_module=translator,
        training=True,
    )  # fmt: skip
    data.setup("fit")
    return data


def test_a_resumed_run_goes_on_where_the_first_would_have(shards):
    loader = module(shards).train_dataloader()
    epochs = [fingerprint(loader) for _ in range(3)]
    resumed = with_trainer(module(shards), epoch=2, required=KINDS_PACKED).train_dataloader()
    assert fingerprint(resumed) == epochs[2]


def test_all_kinds_that_the_translator_needs_must_be_packed(shards):
    data = with_trainer(module(shards))
    batch = next(iter(data.train_dataloader()))
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


@pytest.mark.parametrize("by_environment", [False, True])
def test_two_ranks_see_different_samples(shards, monkeypatch, by_environment):
    streams, parts = [], []
    for rank in range(2):
        data = module(shards, samples_per_epoch=24, validation_samples=0)
        if by_environment:
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", "2")
        else:
            with_trainer(data, rank, 2)
        train = data.train_dataloader()
        assert len(train) == 6
        streams.append(keys(train))
        parts.append(keys(data.val_dataloader()))
    assert streams[0] != streams[1]
    everything = read_index(shards)["samples"]["val"]
    assert abs(len(parts[0]) - len(parts[1])) <= 1
    assert len(set(parts[0]) | set(parts[1])) == everything == len(parts[0]) + len(parts[1])


def test_two_workers_see_different_samples(shards):
    urls = shard_urls(shards, read_index(shards), "train")
    streams = [
        [s["__key__"] for s in islice(endless_samples(urls, 0, 4, rank=rank), 30)]
        for rank in range(2)
    ]
    assert streams[0] != streams[1]
    one, two = module(shards, workers=2, batch_size=6, tone_probability=0.0).train_dataloader()
    assert one["key"] != two["key"]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 2, 5])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("limit", [0, 1, 7, 10_000])
def test_validation_is_every_sample_once(shards, workers, batch_size, limit):
    """More workers than shards or than samples are no trouble."""
    there = [sample["__key__"] for sample in samples_of(shards, "val")]
    wanted = sorted(there[: limit or None])
    data = module(shards, workers=workers, batch_size=batch_size, validation_samples=limit)
    loader = data.val_dataloader()
    if workers > 2 and limit == 0:
        return  # processes are slow to start; the others say it all
    for _ in range(2 if workers < 2 else 1):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert sorted(key for batch in batches for key in batch["key"]) == wanted


def test_validation_is_the_same_each_time_and_whatever_the_workers(shards):
    sums = []
    for workers in (0, 2):
        loader = module(shards, workers=workers, batch_size=1).val_dataloader()
        for _ in range(2):
            sums.append({b["key"][0]: b["shape"].sum().item() for b in loader})
    assert sums[0] == sums[1] == sums[2] == sums[3]


def test_draws_are_fair(shards):
    urls = shard_urls(shards, read_index(shards), "train")
    total = read_index(shards)["samples"]["train"]
    counts = Counter(s["__key__"] for s in islice(endless_samples(urls, 0, 16), 40 * total))
    assert len(counts) == total
    assert max(counts.values()) < 3 * min(counts.values())


def test_pipelines_travel_to_spawned_workers(shards):
    data = module(shards)
    for loader in (data.train_dataloader().loader, data.val_dataloader()):
        stages = pickle.loads(pickle.dumps(loader.pipeline[0].dataset))
        assert next(iter(stages))["mask"].shape == (2, 1, 16, 16)


@pytest.mark.slow
def test_spawned_workers(shards):
    data = module(shards, workers=1, samples_per_epoch=4)
    loader = data.train_dataloader()
    loader.loader.pipeline[0].multiprocessing_context = "spawn"
    assert fingerprint(loader) == fingerprint(
        module(shards, samples_per_epoch=4).train_dataloader()
    )


@pytest.fixture
def copy(shards, tmp_path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def damage(path: Path) -> None:
    """Same length, other bytes: in every image."""
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT")
    while at >= 0:
        data[at + 10] ^= 255
        at = data.find(b"IDAT", at + 1)
    path.write_bytes(data)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_an_input_error_with_shard_and_key_whatever_the_workers(copy, workers):
    for path in copy.glob("*.tar"):
        damage(path)
    for loader in (
        module(copy, workers=workers).train_dataloader(),
        module(copy, workers=workers).val_dataloader(),
    ):
        with pytest.raises(InputError, match=r"sample face-\d-y\d+-x\d+ of file:.*\.tar") as caught:
            list(loader)
        assert "realface verify" in caught.value.remedy
        if workers:  # else they are waited for, five seconds long
            getattr(loader, "loader", loader).pipeline[0]._iterator._shutdown_workers()


def test_a_broken_tar_is_an_input_error_that_names_the_shard(copy):
    for path in copy.glob("*.tar"):
        path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(InputError, match=r"file:.*train-\d+.tar, which cannot be read"):
        list(module(copy).train_dataloader())


def test_a_crop_larger_than_the_patches(shards):
    with pytest.raises(InputError, match="crop 25, and sample"):
        list(module(shards, crop=25).train_dataloader())


def test_missing_and_shortened_shards_are_refused_before_the_first_step(copy):
    path = copy / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(InputError, match=r"without a whole train-000000.tar"):
        module(copy).train_dataloader()
    path.unlink()
    with pytest.raises(InputError, match=r"without a whole train-000000.tar"):
        module(copy).train_dataloader()
    index = json.loads((copy / "index.json").read_text())
    index["shards"] = [shard for shard in index["shards"] if shard["split"] == "train"]
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="without val shards"):
        module(copy).val_dataloader()


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"crop": 0}])
def test_impossible_numbers(shards, arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        module(shards, **arguments)


def test_an_epoch_shorter_than_a_batch_is_one_step(shards):
    assert len(list(module(shards, samples_per_epoch=1, batch_size=4).train_dataloader())) == 1


def test_programs_cannot_get_in_by_the_index(copy, tmp_path):
    """WebDataset would run what stands behind `pipe:`."""
    victim = tmp_path / "victim"
    index = json.loads((copy / "index.json").read_text())
    for name in (f"pipe:touch {victim}", f"pipe:touch {victim}; cat x.tar"):
        index["shards"][0]["file"] = name
        (copy / "index.json").write_text(json.dumps(index))
        with pytest.raises(InputError):
            list(module(copy).train_dataloader())
        assert verify(copy)
    assert not victim.exists()


@pytest.mark.parametrize(
    "name", ["with space", "50%20 off", "a#b?c", "{0..3}", "a::b", "pipe:x", "ü"]
)
def test_folders_of_any_name(subjects, tmp_path, name):
    pack(subjects, tmp_path / name, patch=24, minimum_valid=0.3)
    assert verify(tmp_path / name) == []
    assert len(list(module(tmp_path / name).train_dataloader())) == 6
    assert url_of(tmp_path / name).startswith("file:///")


def test_files_are_closed(shards):
    def count():
        return len(os.listdir("/proc/self/fd"))

    urls = shard_urls(shards, read_index(shards), "train")
    before = count()
    for _ in range(5):
        list(all_samples(urls))
        list(islice(endless_samples(urls, 0, 4), 40))
    assert count() <= before + 2


def test_the_mirror_is_for_training_alone(shards):
    data = with_trainer(module(shards, mirror_probability=1.0), required=KINDS_PACKED)
    batch = next(iter(data.train_dataloader()))
    mirrored = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(mirrored["mask"], batch["mask"].flip(-1))
    assert torch.equal(mirrored["shape"][:, 0], -batch["shape"][:, 0].flip(-1))
    data.trainer.training = False
    assert data.on_after_batch_transfer(batch, 0) is batch


def test_millimetres_per_texel(shards):
    assert module(shards).millimetres_per_texel == pytest.approx(150 / 64, rel=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0), ("crop", 0), ("samples_per_epoch", 0), ("validation_samples", -1),
        ("workers", -1), ("shuffle", 0), ("mirror_probability", 1.5), ("tone_probability", -0.1),
        ("tone_probability", float("nan")),
    ],
)  # fmt: skip
def test_numbers_are_refused_by_name_up_front(tmp_path, name, value):
    with pytest.raises(InputError, match=rf"data\.{name} {value}"):
        ReflectanceDataModule(tmp_path, **{name: value})
