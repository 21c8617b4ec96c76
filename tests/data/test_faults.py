"""What goes wrong with data while a translator trains on it, and what becomes of the run."""

import json
import shutil
from pathlib import Path

import pytest

from realface.data.datamodule import ReflectanceDataModule
from realface.data.index import INDEX_NAME, Entry, parse_index, parse_table, table_hash, table_text
from realface.errors import FailureError, InputError


@pytest.fixture
def copy(shards, tmp_path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def module(shards, **arguments) -> ReflectanceDataModule:
    defaults = {"crop": 16, "workers": 0, "tone_probability": 0.0}
    data = ReflectanceDataModule(shards, **(defaults | arguments))
    data.setup("fit")
    return data


def table_of(folder: Path) -> list[Entry]:
    index = parse_index((folder / INDEX_NAME).read_text(), "here")
    return parse_table((folder / "samples.jsonl").read_text(), "here", index)


def flip_bit(folder: Path, entry: Entry, kind: str) -> None:
    """One bit of one member, in the middle of its bytes."""
    member = next(m for m in entry.members if m.name.startswith(kind))
    data = bytearray((folder / entry.shard).read_bytes())
    data[member.offset + member.size // 2] ^= 4
    (folder / entry.shard).write_bytes(data)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_flipped_bit_is_an_input_error_with_shard_and_key_whatever_the_workers(copy, workers):
    entry = table_of(copy)[3]
    flip_bit(copy, entry, "shape_normals")
    with pytest.raises(InputError) as caught:
        list(module(copy, workers=workers).train_dataloader())
    assert entry.key in caught.value.given
    assert entry.shard in caught.value.given
    assert "shape_normals.png" in caught.value.given
    assert "realface verify" in caught.value.remedy


def test_damage_to_a_map_that_is_not_wanted_disturbs_nobody(copy):
    flip_bit(copy, table_of(copy)[3], "specular_normals")
    data = module(copy)
    data._kinds = ("diffuse_albedo", "mask")
    assert list(data.train_dataloader())


def test_skipping_counts_reports_and_keeps_the_number_of_steps(copy, caplog):
    entries = table_of(copy)
    for entry in (entries[3], entries[7]):
        flip_bit(copy, entry, "diffuse_albedo")
    data = module(copy, on_error="skip")
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader)
    seen = {key for batch in batches for key in batch["key"]}
    assert not seen & {entries[3].key, entries[7].key}
    for entry in (entries[3], entries[7]):
        assert f"skipped: sample {entry.key}" in caplog.text
    skipped = caplog.text.count("skipped: sample")  # one may be replaced by the other
    assert f"epoch 0: {skipped} samples were skipped and replaced" in caplog.text
    assert all("skipped" not in batch for batch in batches)


def test_skipping_everything_comes_to_an_end(copy):
    for path in copy.glob("*.tar"):
        path.write_bytes(bytes(path.stat().st_size))
    data = module(copy, on_error="skip")
    with pytest.raises(FailureError, match="samples in a row that cannot be read"):
        list(data.train_dataloader())
    with pytest.raises(FailureError, match="in a row"):
        list(data.val_dataloader())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_disappears_in_mid_epoch(copy, workers):
    batches = iter(module(copy, workers=workers, samples_per_epoch=200).train_dataloader())
    next(batches)
    for path in copy.glob("train-*.tar"):
        path.unlink()
    with pytest.raises(InputError, match=r"train-\d+\.tar"):
        list(batches)


@pytest.mark.slow
def test_a_loader_process_that_is_killed(copy):
    """As the system does when memory runs out."""
    loader = module(copy, workers=1, samples_per_epoch=200).train_dataloader()
    batches = iter(loader)
    next(batches)
    for worker in loader._batches._loader._iterator._workers:
        worker.kill()
    with pytest.raises(FailureError, match="loader process that died"):
        list(batches)


def test_a_shard_that_shrinks_in_mid_epoch(copy):
    batches = iter(module(copy, samples_per_epoch=200).train_dataloader())
    next(batches)
    for path in copy.glob("train-*.tar"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"train-\d+\.tar"):
        list(batches)


def test_missing_and_shortened_shards_are_refused_before_the_first_step(copy):
    path = copy / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(InputError, match=r"train-000000.tar, which is cut short"):
        module(copy)
    path.unlink()
    with pytest.raises(InputError, match=r"train-000000.tar, which is not there"):
        module(copy)


def rewrite_table(folder: Path, entries: list[Entry]) -> None:
    text = table_text(entries)
    (folder / "samples.jsonl").write_text(text)
    index = json.loads((folder / INDEX_NAME).read_text())
    index["table_sha256"] = table_hash(text)
    (folder / INDEX_NAME).write_text(json.dumps(index))


def test_a_sample_without_a_kind_is_named(copy):
    entries = table_of(copy)
    members = tuple(m for m in entries[2].members if not m.name.startswith("specular_albedo"))
    lacking = Entry(entries[2].shard, entries[2].key, entries[2].subject, members)
    rewrite_table(copy, [*entries[:2], lacking, *entries[3:]])
    with pytest.raises(InputError, match=rf"{entries[2].key} .*specular_albedo.png is missing"):
        list(module(copy).train_dataloader())


def test_keys_that_occur_twice_are_refused_before_the_first_step(copy):
    entries = table_of(copy)
    rewrite_table(copy, [entries[0], *entries[:1], *entries[2:]])
    with pytest.raises(InputError, match=f"key {entries[0].key} occurs twice"):
        module(copy)


def test_a_table_that_was_changed_is_refused(copy):
    table = copy / "samples.jsonl"
    table.write_text(table.read_text().replace("face-1", "face-7"))
    with pytest.raises(InputError, match="SHA-256"):
        module(copy)


@pytest.mark.parametrize(
    "name", ["pipe:touch {victim}", "../train-000000.tar", "/etc/passwd", "http://x/y.tar", ""]
)
def test_an_index_cannot_lead_anywhere_else(copy, tmp_path, name):
    victim = tmp_path / "victim"
    index = json.loads((copy / INDEX_NAME).read_text())
    index["shards"][0]["file"] = name.format(victim=victim)
    (copy / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(InputError, match="plain name"):
        module(copy)
    assert not victim.exists()


@pytest.mark.parametrize("location", ["pipe:cat x.tar", "pipe:touch x", "ssh://host/shards"])
def test_locations_that_run_programs_are_refused(location):
    with pytest.raises(InputError):
        module(location)
