"""Places on maps, patches cut there, and whole faces."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.packing import patches as cutting
from realface.data.packing.captures import key_of, subject_capture
from realface.data.packing.patches import (
    Cut,
    Cutting,
    Place,
    WholeFace,
    forget_maps,
    grid_places,
    measure,
    random_places,
    valid_places,
)
from realface.data.packing.whole_faces import reduce_maps
from realface.data.samples import read_patch
from realface.maps.subject import Subject
from realface.synthetic.folder import write_subject as write_procedural
from tests.data.conftest import samples_of, write_subject
from tests.faces import face_maps


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


def test_patches_in_shards_are_the_subjects_to_a_level(subjects, shards):
    for sample in samples_of(shards, "train") + samples_of(shards, "val"):
        patch = read_patch(sample, "here")
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


def test_whole_faces_in_shards_are_the_reduced_subjects(subjects, shards):
    found = samples_of(shards, "whole-train") + samples_of(shards, "whole-val")
    faces = [read_patch(sample, "here") for sample in found]
    assert sorted(face.subject for face in faces) == [f"face-{n}" for n in range(4)]
    for face in faces:
        subject = Subject(subjects / face.subject)
        truth = {kind: subject.open(kind).whole() for kind in face.maps}
        truth["shape"] = truth["shape"] - torch.tensor(face.centre).view(3, 1, 1)
        small = reduce_maps(truth)
        assert face.map_size == (6, 8)
        assert (face.y, face.x) == (0, 0)
        for kind, values in face.maps.items():
            level = 300 / 65535 if kind == "shape" else 2.1 / 65535
            assert (values - small[kind]).abs().max() <= level, kind


def test_a_whole_faces_texels_are_eight_times_as_large(shards):
    patch, face = (
        read_patch(samples_of(shards, split)[0], "here") for split in ("val", "whole-val")
    )
    assert face.subject == patch.subject
    assert face.millimetres_per_texel == pytest.approx(8 * patch.millimetres_per_texel)


def test_one_subjects_maps_are_in_memory_at_a_time(subjects, monkeypatch):
    """Those of the last are gone before the next are read."""
    captures = [subject_capture(subjects / f"face-{n}") for n in range(3)]
    cuts = [Cut(capture, None, Place(0, x), 24) for capture in captures for x in (0, 8)]
    held = []
    opened = cutting.MapFile.__init__

    def watched(self, *args):
        held.append(len(cutting._held))
        opened(self, *args)

    monkeypatch.setattr(cutting.MapFile, "__init__", watched)
    for cut in cuts:
        cut.sample()
        assert len(cutting._held) == 1
    assert len(held) == sum(len(capture.maps) for capture in captures)
    assert set(held) == {0}
    forget_maps()
    assert not cutting._held


def test_subjects_without_shape_or_mask(tmp_path):
    maps = face_maps(24, 32)
    write_subject(tmp_path / "a", {"diffuse_albedo": maps["diffuse_albedo"]})
    capture = subject_capture(tmp_path / "a")
    measured = measure(capture, Cutting(16, 8, None, 1.0, 0))
    assert measured.placement is None
    assert len(measured.places) == 6
    for sample in (Cut(capture, None, Place(0, 0), 16), WholeFace(capture, None)):
        patch = sample.sample()
        assert patch.centre == (0.0, 0.0, 0.0)
        assert patch.millimetres_per_texel is None
    forget_maps()


def test_flaws_of_files_in_the_truth_are_told(tmp_path, caplog):
    for name, flaws in (("clean", []), ("blurred", ["blur"])):
        write_procedural(3, tmp_path / name, 64, 96, flaws=flaws)
        subject_capture(tmp_path / name)
    told = [record.message for record in caplog.records if "would learn" in record.message]
    assert len(told) == 1
    assert "blurred" in told[0]


def test_keys_have_no_dots():
    assert key_of("Subject.v2") == "Subject_v2"
    assert key_of("Ü ber-1") == "Ü_ber-1"
