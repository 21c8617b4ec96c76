import errno
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data import pack as packing
from realface.data.pack import GUARD, pack
from realface.data.patches import (
    Place,
    SubjectPatches,
    grid_places,
    key_of,
    random_places,
    valid_places,
)
from realface.data.samples import read_patch
from realface.data.shards import read_index
from realface.data.verify import verify
from realface.errors import FailureError, InputError
from realface.maps.record import FILE_NAME
from realface.maps.subject import Subject
from realface.synthetic.folder import write_subject as write_procedural
from tests.data.conftest import abouts_of, samples_of, write_subject
from tests.faces import face_maps

SMALL = {"patch": 24, "stride": 12, "minimum_valid": 0.3, "samples_per_shard": 5}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def nothing_left(out: Path) -> bool:
    return not [path for path in out.parent.iterdir() if out.name in path.name]


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_the_grid_reaches_every_texel_and_stays_inside(height, width, patch, stride):
    places = grid_places((height, width), patch, stride)
    if min(height, width) < patch:
        assert places == []
        return
    covered = torch.zeros(height, width)
    for place in places:
        assert 0 <= place.y <= height - patch
        assert 0 <= place.x <= width - patch
        covered[place.y : place.y + patch, place.x : place.x + patch] = 1
    assert len(set(places)) == len(places)
    if stride <= patch:
        assert covered.all()


@given(st.integers(8, 60), st.integers(8, 60), st.integers(1, 30), st.integers(0, 99))
def test_random_places_are_inside_different_and_repeatable(height, width, count, seed):
    places = random_places((height, width), 8, count, seed)
    assert places == random_places((height, width), 8, count, seed)
    assert len(set(places)) == len(places) <= count
    assert all(0 <= p.y <= height - 8 and 0 <= p.x <= width - 8 for p in places)


def test_places_respect_the_mask():
    mask = torch.zeros(1, 40, 40)
    mask[..., :20] = 1
    places = grid_places((40, 40), 10, 1)
    kept = valid_places(places, mask, 10, 0.7)
    assert kept == [place for place in places if place.x <= 13]
    assert valid_places(places, None, 10, 1.0) == places
    assert valid_places([Place(0, 30)], mask, 10, 0.0) == [Place(0, 30)]


def test_packed_maps_are_the_subjects_to_a_level(subjects, shards):
    assert verify(shards) == []
    index = read_index(shards)
    assert sum(index["samples"].values()) == len(samples_of(shards, "train")) + len(
        samples_of(shards, "val")
    )
    for sample in samples_of(shards, "train") + samples_of(shards, "val"):
        patch = read_patch(sample)
        subject = Subject(subjects / patch.subject)
        y, x = patch.y, patch.x
        assert patch.key == f"{patch.subject}-y{y:05d}-x{x:05d}"
        assert patch.map_size == (48, 64)
        for kind, values in patch.maps.items():
            truth = subject.open(kind).read(y, x, 24, 24)
            level = 2.1 / 65535
            if kind == "shape":
                truth = truth - torch.tensor(patch.centre).view(3, 1, 1)
                level = 300 / 65535
            assert (values - truth).abs().max() <= level, kind


def test_shape_is_relative_to_the_subjects_median_in_millimetres(subjects, tmp_path):
    pack(subjects, tmp_path / "out", **SMALL, millimetres_per_unit=2.0)
    about = abouts_of(tmp_path / "out", "train")[0]
    subject = Subject(subjects / about["subject"])
    inside = subject.open("mask").whole()[0] > 0.5
    depth = subject.open("shape").whole()[2][inside].median().item()
    assert about["median_depth"] == pytest.approx(2 * depth, abs=0.1)
    assert about["centre"][2] == about["median_depth"]


def test_flaws_of_files_in_the_truth_are_told(tmp_path, caplog):
    for name, flaws in (("clean", []), ("blurred", ["blur"])):
        write_procedural(3, tmp_path / name, 64, 96, flaws=flaws)
        SubjectPatches(tmp_path / name)
    told = [record.message for record in caplog.records if "would learn" in record.message]
    assert len(told) == 1
    assert "blurred" in told[0]


def test_no_subject_is_on_both_sides(shards):
    sides = [{about["subject"] for about in abouts_of(shards, split)} for split in ("train", "val")]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {f"face-{number}" for number in range(4)}


def test_subjects_are_mixed_over_shards(shards):
    subjects = [about["subject"] for about in abouts_of(shards, "train")]
    changes = sum(one != other for one, other in itertools.pairwise(subjects))
    assert changes > len(subjects) // 3


def test_the_same_seed_gives_the_same_bytes(subjects, shards, tmp_path):
    pack(subjects, tmp_path / "again", **SMALL)
    assert tree(tmp_path / "again") == tree(shards)
    pack(subjects, tmp_path / "other", **SMALL, seed=1)
    assert tree(tmp_path / "other") != tree(shards)


@pytest.mark.parametrize("number", [1, 2])
def test_one_or_two_subjects_keep_a_guard(tmp_path, caplog, number):
    for n in range(number):
        maps = face_maps(24, 2000, phase=n)
        write_subject(
            tmp_path / "in" / f"face-{n}", {k: maps[k] for k in ("diffuse_albedo", "mask")}
        )
    pack(tmp_path / "in", tmp_path / "out", patch=20, stride=4, minimum_valid=0.0)
    train, val = (
        [(about["subject"], about["x"]) for about in abouts_of(tmp_path / "out", split)]
        for split in ("train", "val")
    )
    assert {name for name, _ in val} == {f"face-{n}" for n in range(number)}
    for name, x in val:
        for other, there in train:
            assert other != name or there + 20 + GUARD <= x or x + 20 + GUARD <= there
    assert f"a guard of {GUARD} texels" in caplog.text


def test_a_map_too_small_for_the_guard_is_refused(subject_folder, tmp_path):
    with pytest.raises(InputError, match="leave no training patch"):
        pack(subject_folder, tmp_path / "out", **SMALL)
    assert nothing_left(tmp_path / "out")


def test_mask_share_and_random_places(subjects, tmp_path):
    settings = SMALL | {"minimum_valid": 0.9}
    pack(subjects, tmp_path / "out", **settings, patches_per_subject=3)
    for split in ("train", "val"):
        for sample in samples_of(tmp_path / "out", split):
            assert read_patch(sample, ("mask",)).maps["mask"].mean() >= 0.9
    counts = read_index(tmp_path / "out")["samples"]
    assert counts == {"train": 9, "val": 3}


def test_a_patch_as_large_as_the_map_is_drawn_once(subjects, tmp_path):
    """Places are few here: none may come twice, since keys are unique."""
    pack(subjects, tmp_path / "out", patch=48, minimum_valid=0.0, patches_per_subject=200)
    assert verify(tmp_path / "out") == []
    assert read_index(tmp_path / "out")["samples"]["val"] <= 17


def test_many_shards_need_few_open_files(subjects, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_OPEN_SHARDS", 3)
    most = 0

    def watch(done, total):
        nonlocal most
        links = [Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        names = [os.readlink(link) for link in links if link.is_symlink()]
        most = max(most, sum(name.endswith(".tar") for name in names))

    pack(subjects, tmp_path / "out", **(SMALL | {"samples_per_shard": 2}), progress=watch)
    assert 0 < most <= 3
    assert verify(tmp_path / "out") == []
    assert len(read_index(tmp_path / "out")["shards"]) > 10


def test_one_subject_in_memory_at_a_time(subjects, tmp_path, monkeypatch):
    alive = []
    opened = packing.SubjectPatches.cut

    def watched(self, *args):
        alive.append(self.subject.name)
        yield from opened(self, *args)
        alive.remove(self.subject.name)

    monkeypatch.setattr(packing.SubjectPatches, "cut", watched)
    most = []
    pack(subjects, tmp_path / "out", **SMALL, progress=lambda *_: most.append(len(alive)))
    assert set(most) == {1}


def test_progress_counts_to_the_end(subjects, tmp_path):
    seen = []
    packed = pack(subjects, tmp_path / "out", **SMALL, progress=lambda *at: seen.append(at))
    assert seen[-1] == (len(seen), len(seen))
    assert packed.train + packed.val == len(seen)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_an_interrupted_pack_leaves_nothing(subjects, tmp_path, error):
    def stop(done, total):
        if done == 7:
            raise error

    expected = FailureError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        pack(subjects, tmp_path / "out", **SMALL, progress=stop)
    assert nothing_left(tmp_path / "out")
    pack(subjects, tmp_path / "out", **SMALL)
    assert verify(tmp_path / "out") == []


def test_a_damaged_map_leaves_nothing(subjects, tmp_path):
    shutil.copytree(subjects, tmp_path / "in")
    path = tmp_path / "in" / "face-2" / "specular_albedo.tif"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"face-2.*specular_albedo.tif"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)
    assert nothing_left(tmp_path / "out")


def test_out_in_the_way(subjects, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(InputError, match="which exists"):
            pack(subjects, tmp_path / name, **SMALL)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    pack(subjects, tmp_path / "link", **SMALL)
    assert verify(tmp_path / "empty") == []


@pytest.mark.parametrize(
    ("flag", "value"),
    [("patch", 0), ("stride", 0), ("patches_per_subject", 0), ("minimum_valid", 1.5),
     ("val_fraction", 0.0), ("val_fraction", 1.0), ("val_fraction", float("nan")),
     ("samples_per_shard", 0), ("millimetres_per_unit", 0.0), ("patch", 49)],
)  # fmt: skip
def test_numbers_out_of_bounds_are_refused(subjects, tmp_path, flag, value):
    with pytest.raises(InputError):
        pack(subjects, tmp_path / "out", **(SMALL | {flag: value}))
    assert nothing_left(tmp_path / "out")


def test_what_is_no_source(tmp_path):
    for source in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError):
            pack(source, tmp_path / "out")
    assert nothing_left(tmp_path / "out")


def faces(folder: Path, names, leave_out=()) -> Path:
    for n, name in enumerate(names):
        write_subject(folder / name, face_maps(24, 32, phase=n))
    for name, kind in leave_out:
        record = json.loads((folder / name / FILE_NAME).read_text())
        del record["maps"][kind]
        (folder / name / FILE_NAME).write_text(json.dumps(record))
        (folder / name / f"{kind}.tif").unlink()
    return folder


def test_subjects_with_different_maps_are_refused(tmp_path):
    faces(tmp_path / "in", "abc", [("b", "mask")])
    with pytest.raises(InputError, match="b lacks mask"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)


def test_names_that_make_one_key_are_refused(tmp_path):
    faces(tmp_path / "in", ["a.b", "a_b", "c"])
    with pytest.raises(InputError, match=r"subjects a\.b and a_b"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)


def test_names_may_have_dots_capitals_and_any_length(tmp_path):
    names = ["Subject.v2.Left", "Ü ber", "x" * 180]
    faces(tmp_path / "in", names)
    pack(tmp_path / "in", tmp_path / "out", **SMALL)
    assert verify(tmp_path / "out") == []
    abouts = abouts_of(tmp_path / "out", "train") + abouts_of(tmp_path / "out", "val")
    assert {about["subject"] for about in abouts} == set(names)
    assert key_of("Subject.v2") == "Subject_v2"


def test_subjects_without_json_are_subjects_and_unfinished_ones_are_not(tmp_path):
    faces(tmp_path / "in", ["a", "b", "c", ".d.partial"])
    (tmp_path / "in" / "b" / FILE_NAME).unlink()
    pack(tmp_path / "in", tmp_path / "out", **SMALL, millimetres_per_unit=1.0)
    abouts = abouts_of(tmp_path / "out", "train") + abouts_of(tmp_path / "out", "val")
    assert {about["subject"] for about in abouts} == {"a", "b", "c"}


def test_normals_in_tangent_space_are_refused_before_any_work(tmp_path):
    faces(tmp_path / "in", "abc")
    path = tmp_path / "in" / "c" / FILE_NAME
    path.write_text(path.read_text().replace('"space": "object"', '"space": "tangent"', 1))
    started = []
    with pytest.raises(InputError, match="in tangent space"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL, progress=lambda *at: started.append(at))
    assert not started


def test_a_subject_without_reflectance_is_refused(tmp_path):
    write_subject(
        tmp_path / "in", {"mask": torch.ones(1, 24, 24), "texture": torch.ones(3, 24, 24)}
    )
    with pytest.raises(InputError, match="without a reflectance map"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)


def test_members_are_named_as_the_design_says(shards):
    files = sorted(path.name for path in shards.iterdir())
    assert files[0] == "index.json"
    assert "train-000000.tar" in files
    assert "val-000000.tar" in files
    sample = samples_of(shards, "train")[0]
    assert {name for name in sample if not name.startswith("__")} == {
        "json", *(f"{kind}.png" for kind in face_maps())
    }  # fmt: skip
