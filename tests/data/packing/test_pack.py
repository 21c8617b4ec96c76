"""Packing as a whole: what goes in, what comes out, and what stops it."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
import torch

from realface.data.index import Terms
from realface.data.packing import pack as packing
from realface.data.packing.pack import pack
from realface.data.packing.splits import GUARD
from realface.data.samples import read_patch
from realface.data.verify import verify
from realface.errors import FailureError, InputError
from realface.maps.record import FILE_NAME
from realface.maps.subject import Subject
from tests.data.conftest import abouts_of, index_of, samples_of, write_patches, write_subject
from tests.faces import face_maps

SMALL = {"patch": 24, "stride": 12, "minimum_valid": 0.3, "samples_per_shard": 5}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def nothing_left(out: Path) -> bool:
    return not [path for path in out.parent.iterdir() if out.name in path.name]


def test_shape_is_relative_to_the_subjects_median_in_millimetres(subjects, tmp_path):
    pack(subjects, tmp_path / "out", **SMALL, millimetres_per_unit=2.0)
    about = abouts_of(tmp_path / "out", "train")[0]
    subject = Subject(subjects / about["subject"])
    inside = subject.open("mask").whole()[0] > 0.5
    depth = subject.open("shape").whole()[2][inside].median().item()
    assert about["median_depth"] == about["centre"][2] == pytest.approx(2 * depth, abs=0.1)
    assert about["source"] is None


def test_no_subject_is_on_both_sides(shards):
    sides = [{about["subject"] for about in abouts_of(shards, split)} for split in ("train", "val")]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {f"face-{number}" for number in range(4)}


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
    assert index_of(tmp_path / "out").samples["whole-train"] == number
    assert verify(tmp_path / "out") == []


def test_a_map_too_small_for_the_guard_is_refused(subject_folder, tmp_path):
    with pytest.raises(InputError, match="leave no training patch"):
        pack(subject_folder, tmp_path / "out", **SMALL)
    assert nothing_left(tmp_path / "out")


def test_mask_share_and_random_places(subjects, tmp_path):
    settings = SMALL | {"minimum_valid": 0.9}
    pack(subjects, tmp_path / "out", **settings, patches_per_subject=3)
    for split in ("train", "val"):
        for sample in samples_of(tmp_path / "out", split):
            assert read_patch(sample, "here", ("mask",)).maps["mask"].mean() >= 0.9
    counts = index_of(tmp_path / "out").samples
    assert counts == {"train": 9, "val": 3, "whole-train": 3, "whole-val": 1}


def test_a_patch_as_large_as_the_map_is_drawn_once(subjects, tmp_path):
    """Places are few here: none may come twice, since keys are unique."""
    pack(subjects, tmp_path / "out", patch=48, minimum_valid=0.0, patches_per_subject=200)
    assert verify(tmp_path / "out") == []
    assert index_of(tmp_path / "out").samples["val"] <= 17


def test_progress_counts_to_the_end(subjects, tmp_path):
    seen = []

    def watch(done, total, what):
        if what == "samples":
            seen.append((done, total))

    packed = pack(subjects, tmp_path / "out", **SMALL, progress=watch)
    assert seen == [(n + 1, len(seen)) for n in range(len(seen))]
    assert sum(packed.samples.values()) == len(seen)


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


def test_a_subject_that_is_there_twice_is_refused(tmp_path):
    faces(tmp_path / "in", "abc")
    (tmp_path / "in" / "z").symlink_to("a")
    with pytest.raises(InputError, match=r"subject a in .*in.a and .*in.z"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_may_have_newlines_and_other_bytes_than_utf_8(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL, "realface")  # xdist cannot carry such names in a log
    faces(tmp_path / "in", ["a\nb", "c", "plain"])
    if sys.platform == "linux":
        os.rename(tmp_path / "in" / "c", os.fsencode(tmp_path / "in") + b"/c\xff")
    pack(tmp_path / "in", tmp_path / "out", **SMALL)
    assert verify(tmp_path / "out") == []


def test_names_may_have_dots_capitals_and_any_length(tmp_path):
    names = ["Subject.v2.Left", "Ü ber", "x" * 180]
    faces(tmp_path / "in", names)
    pack(tmp_path / "in", tmp_path / "out", **SMALL)
    assert verify(tmp_path / "out") == []
    abouts = abouts_of(tmp_path / "out", "train") + abouts_of(tmp_path / "out", "val")
    assert {about["subject"] for about in abouts} == set(names)


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
    with pytest.raises(InputError, match="in tangent space") as caught:
        pack(tmp_path / "in", tmp_path / "out", **SMALL, progress=lambda *at: started.append(at))
    assert "realface add" in caught.value.remedy
    assert not started


def test_a_subject_without_reflectance_is_refused(tmp_path):
    write_subject(
        tmp_path / "in", {"mask": torch.ones(1, 24, 24), "texture": torch.ones(3, 24, 24)}
    )
    with pytest.raises(InputError, match="without a reflectance map"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)


def test_members_are_named_as_the_design_says(shards):
    files = {path.name for path in shards.iterdir()}
    splits = ("train", "val", "whole-train", "whole-val")
    assert files >= {"index.json", "samples.jsonl", *(f"{split}-000000.tar" for split in splits)}
    for split in splits:
        members = set(samples_of(shards, split)[0])
        assert members == {"json", *(f"{kind}.png" for kind in face_maps())}


def test_shards_verify_and_the_index_counts_them(shards):
    assert verify(shards) == []
    index = index_of(shards)
    for split, count in index.samples.items():
        assert count == len(samples_of(shards, split)) > 0
    assert set(index.kinds) == set(face_maps())


@pytest.mark.parametrize("codec", ["blosc", "jxl", "npy"])
def test_codecs_hold_the_same_values(subjects, shards, tmp_path, codec):
    pack(subjects, tmp_path / "out", **SMALL, codec=codec)
    assert verify(tmp_path / "out") == []
    for one, other in zip(
        samples_of(shards, "val"), samples_of(tmp_path / "out", "val"), strict=True
    ):
        first, second = read_patch(one, "here"), read_patch(other, "here")
        assert first.key == second.key
        for kind, values in first.maps.items():
            assert torch.equal(values, second.maps[kind])


def test_whole_faces_can_be_left_out(subjects, tmp_path):
    pack(subjects, tmp_path / "out", **SMALL, whole_faces=False)
    assert set(index_of(tmp_path / "out").samples) == {"train", "val"}


def test_a_dry_run_tells_what_a_run_does_and_writes_nothing(subjects, tmp_path):
    dry = pack(subjects, tmp_path / "out", **SMALL, dry_run=True)
    assert not list(tmp_path.iterdir())
    wet = pack(subjects, tmp_path / "out", **SMALL)
    assert dry.samples == wet.samples
    assert dry.report[:-1] == wet.report
    told, size = float(dry.report[-1].split()[1]) * 1e9, sum(map(len, tree(wet.folder).values()))
    assert 0.7 * size < told < 1.3 * size


def test_workers_are_as_many_as_memory_suffices_for(subjects, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="realface")
    monkeypatch.setattr(packing, "cores", lambda: 4)
    started = []
    real = packing.write_shards

    def write(*args, workers, **more):
        started.append(workers)
        return real(*args, workers=1, **more)

    monkeypatch.setattr(packing, "write_shards", write)
    for number, (free, asked) in enumerate([(1 << 40, None), (600 << 20, None), (1, None),
                                            (None, None), (1, 3)]):  # fmt: skip
        monkeypatch.setattr(packing, "_free_memory", lambda free=free: free)
        pack(subjects, tmp_path / str(number), **SMALL, workers=asked)
    assert started == [4, 2, 1, 4, 3]
    assert caplog.text.count("workers for 4 cores") == 2


def test_free_memory_is_some_where_the_system_tells():
    found = packing._free_memory()
    assert (found is not None) == sys.platform.startswith("linux")
    assert found is None or 2**20 < found < 2**50


def test_the_callers_threads_are_left_as_they_were(subjects, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pack(subjects, tmp_path / "out", **SMALL, dry_run=True)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_two_workers_write_what_one_does(subjects, shards, tmp_path):
    pack(subjects, tmp_path / "out", **SMALL, workers=2)
    assert tree(tmp_path / "out") == tree(shards)


PACK = """
import sys
from pathlib import Path
from realface.data.packing import pack as packing
from realface.data.packing.pack import pack
if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]), patch=24, stride=12, minimum_valid=0.3,
         samples_per_shard=5, workers=int(sys.argv[3]))
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_pack_goes_on_to_the_same_bytes(subjects, shards, tmp_path, workers):
    out, program = tmp_path / "out", tmp_path / "program.py"
    program.write_text(PACK)
    run = subprocess.Popen([sys.executable, program, subjects, out, workers])
    unfinished = tmp_path / ".out.partial"
    end = time.monotonic() + 60
    while len(list(unfinished.glob("*/*.tar.json"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.002)
    run.kill()
    run.wait()
    assert not out.exists()
    done = []
    pack(subjects, out, **SMALL, progress=lambda *at: done.append(at))
    assert tree(out) == tree(shards)
    assert min(at[0] for at in done if at[2] == "samples") > 10  # two shards are kept
    assert not unfinished.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_an_interrupted_pack_leaves_no_half_and_goes_on(subjects, shards, tmp_path, error):
    def stop(done, total, what):
        if done == 17:
            raise error

    expected = FailureError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        pack(subjects, tmp_path / "out", **SMALL, progress=stop)
    assert not (tmp_path / "out").exists()
    counts = []
    pack(subjects, tmp_path / "out", **SMALL, progress=lambda done, *_: counts.append(done))
    assert tree(tmp_path / "out") == tree(shards)
    samples = counts[counts.index(4) + 1 :]  # after the subjects that are measured
    assert min(samples) > 5


def test_another_source_starts_anew(subjects, tmp_path):
    """A shard of maps that have changed since is no part of the same work."""
    shutil.copytree(subjects, tmp_path / "in")

    def stop(done, total, what):
        if what == "samples" and done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(tmp_path / "in", tmp_path / "out", **SMALL, progress=stop)
    write_subject(tmp_path / "in" / "face-0", face_maps(48, 64, phase=9.0))
    pack(tmp_path / "in", tmp_path / "out", **SMALL)
    pack(tmp_path / "in", tmp_path / "fresh", **SMALL)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_damaged_map_is_named(subjects, tmp_path):
    shutil.copytree(subjects, tmp_path / "in")
    path = tmp_path / "in" / "face-2" / "specular_albedo.tif"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"face-2.*specular_albedo.tif"):
        pack(tmp_path / "in", tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()


def test_maps_with_names_of_their_own_are_cut_like_subjects(subjects, shards, tmp_path):
    names = {"diffuse_albedo": "diffAlb", "shape": "xyz", "specular_normals": "SpecNormals"}
    for number in range(4):
        for kind, name in names.items():
            path = tmp_path / "in" / name / f"face-{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(subjects / f"face-{number}" / f"{kind}.tif", path)
    pack(tmp_path / "in", tmp_path / "out", patch=24, stride=12, samples_per_shard=5)
    assert verify(tmp_path / "out") == []
    abouts = abouts_of(tmp_path / "out", "train")
    assert abouts[0]["subject"] in {f"face-{n}" for n in range(4)}
    assert abouts[0]["map_size"] == [48, 64]
    assert set(index_of(tmp_path / "out").kinds) == set(names)
    assert index_of(tmp_path / "out").samples["whole-train"] == 3


def test_folders_that_are_no_subjects_are_told(tmp_path):
    faces(tmp_path / "in", "abc")
    (tmp_path / "in" / "notes").mkdir()
    packed = pack(tmp_path / "in", tmp_path / "out", **SMALL)
    assert any("notes" in line for line in packed.report)


def test_terms_come_from_the_subjects_and_from_flags(subjects, tmp_path, caplog):
    pack(subjects, tmp_path / "out", **SMALL)
    assert index_of(tmp_path / "out").terms == (Terms("tests", None, None),)
    soon = (date.today() + timedelta(days=3)).isoformat()
    pack(subjects, tmp_path / "mine", **SMALL, terms=Terms(None, "CC0-1.0", soon))
    assert index_of(tmp_path / "mine").terms == (Terms("tests", "CC0-1.0", soon),)
    assert "in 3 days" in caplog.text


def test_patches_of_unknown_terms_are_told_what_realfacedb_asks(tmp_path, caplog):
    kinds = {"diffuse_albedo": "diffuse_albedo/{key}.png", "shape": "shape/{key}.png"}
    write_patches(tmp_path / "in", kinds)
    pack(tmp_path / "in", tmp_path / "out")
    assert "--downloaded" in caplog.text
    caplog.clear()
    pack(tmp_path / "in", tmp_path / "mine", terms=Terms("own", None, None))
    assert "--downloaded" not in caplog.text
