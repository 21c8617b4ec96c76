"""Procedural subjects as shards: what is made, and that it does not depend on how."""

import tarfile

import pytest
import torch

from realface.data.index import INDEX_NAME, TABLE_NAME, parse_index, parse_table
from realface.data.packing.pack_procedural import pack_procedural
from realface.data.procedural import Draw, make_batch
from realface.data.samples import Patch, read_patch
from realface.errors import InputError
from realface.synthetic import ProceduralSubject

SIZE = (128, 192)


def make(out, patches=5, **changes):
    given = {"patch": 32, "subjects": 3, "samples_per_shard": 2, "first": 10, **changes}
    return pack_procedural(out, patches, height=SIZE[0], width=SIZE[1], **given)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    index = make(out, whole_faces=True)
    assert index.samples == {"train": 4, "val": 1, "whole-train": 2, "whole-val": 1}
    return out


def patches_of(folder, split) -> list[Patch]:
    index = parse_index((folder / INDEX_NAME).read_text(), str(folder))
    shards = {shard.file for shard in index.shards if shard.split == split}
    found = []
    for entry in parse_table((folder / TABLE_NAME).read_text(), str(folder), index):
        if entry.shard in shards:
            with tarfile.open(folder / entry.shard) as tar:
                members = {
                    member.name: tar.extractfile(f"{entry.key}.{member.name}").read()
                    for member in entry.members
                }
            found.append(read_patch(members, entry.key))
    return found


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_subjects_are_on_one_side_only(packed):
    for kind in ("", "whole-"):
        train, val = (
            {patch.subject for patch in patches_of(packed, f"{kind}{split}")}
            for split in ("train", "val")
        )
        assert train == {"synthetic-000010", "synthetic-000011"}
        assert val == {"synthetic-000012"}


def test_shards_hold_what_the_stream_makes(packed):
    patch = patches_of(packed, "train")[0]
    seed = int(patch.subject.split("-")[1])
    made = make_batch(Draw((seed,), SIZE, ((patch.y, patch.x, 32, 32),)), "cpu")
    assert [patch.key] == made["key"]
    assert patch.bits == {kind: 8 if kind == "mask" else 16 for kind in patch.maps}
    for kind, values in patch.maps.items():
        assert (values - made[kind][0]).abs().max() < 2e-3, kind


def test_whole_faces_are_the_subjects_at_an_eighth(packed):
    patch, whole = patches_of(packed, "train")[0], patches_of(packed, "whole-train")[0]
    assert (whole.key, whole.y, whole.x, whole.map_size) == ("synthetic-000010", 0, 0, (16, 24))
    assert whole.millimetres_per_texel == pytest.approx(8 * patch.millimetres_per_texel)
    assert whole.centre == patch.centre
    made = ProceduralSubject(10).maps(16, 24)
    centre = torch.tensor(whole.centre).view(3, 1, 1)
    assert (whole.maps["shape"] + centre - made["shape"]).abs().max() < 5e-3
    assert (whole.maps["diffuse_albedo"] - made["diffuse_albedo"]).abs().max() < 1e-4


def test_the_index_tells_where_it_comes_from(packed):
    index = parse_index((packed / INDEX_NAME).read_text(), str(packed))
    assert [(one.source, one.licence) for one in index.terms] == [("realface synth", "CC0-1.0")]
    patches = patches_of(packed, "train") + patches_of(packed, "val")
    scales = sorted(patch.millimetres_per_texel for patch in patches)
    assert index.millimetres_per_texel == pytest.approx(scales[2])


@pytest.mark.slow
def test_processes_make_the_same_bytes(packed, tmp_path):
    make(tmp_path / "out", whole_faces=True, workers=2)
    assert contents(tmp_path / "out") == contents(packed)


def test_codecs_hold_the_same(tmp_path):
    for codec in ("npy", "jxl"):
        make(tmp_path / codec, 2, subjects=2, codec=codec)
    npy, jxl = (patches_of(tmp_path / codec, "train")[0].maps for codec in ("npy", "jxl"))
    assert all(torch.equal(npy[kind], jxl[kind]) for kind in npy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patches": 1}, "at least 2"),
        ({"subjects": 1}, "at least 2"),
        ({"first": 2**31 - 1026}, "held out"),
        ({"patch": 0}, "patch 0"),
        ({"minimum_valid": 2}, "between 0 and 1"),
        ({"val_fraction": 0}, "between 0 and 1"),
        ({"samples_per_shard": 0}, "samples per shard 0"),
        ({"codec": "gif"}, "png, jxl, blosc, npy"),
        ({"workers": 0}, "workers 0"),
        ({"patches": 200, "patch": 128, "minimum_valid": 0.0, "subjects": 2}, "more places"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        make(tmp_path / "out", **changes)
    assert not list(tmp_path.iterdir())


def test_other_shapes_of_map_and_folders_in_the_way_are_refused(packed, tmp_path):
    with pytest.raises(InputError, match="one and a half times the height"):
        pack_procedural(tmp_path / "out", 4, height=100, width=200)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="new or empty"):
        make(packed)


def test_what_is_finished_outlives_an_interrupt(packed, tmp_path):
    def stop(done, total):
        assert total == 8
        if done == 3:
            raise KeyboardInterrupt

    told = []
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", whole_faces=True, progress=stop)
    assert not (tmp_path / "out").exists()
    make(tmp_path / "out", whole_faces=True, progress=lambda done, total: told.append(done))
    assert told == list(range(3, 9))  # the first shard was whole
    assert contents(tmp_path / "out") == contents(packed)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_arguments_start_anew(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", 2, samples_per_shard=1, progress=stop)
    make(tmp_path / "out", 2, samples_per_shard=1, first=20)
    subjects = {patch.subject for patch in patches_of(tmp_path / "out", "train")}
    assert subjects == {f"synthetic-{seed:06d}" for seed in range(20, 21)}
