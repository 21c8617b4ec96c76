"""Procedural subjects on disk."""

import pytest

from realface.errors import InputError
from realface.maps.subject import Subject
from realface.synthetic import folder as room
from realface.synthetic.folder import check_seeds, subject_name, write_subject


def test_a_subject_is_written_with_its_seed(tmp_path):
    write_subject(3, tmp_path / "face", 32, 48)
    subject = Subject(tmp_path / "face")
    assert subject.size() == (32, 48)
    assert (subject.record.seed, subject.record.millimetres_per_unit) == (3, 1.0)
    assert subject.record.flaws == ()


def test_an_interrupted_subject_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(folder, kind, *arguments, **others):
        if kind == "shape":
            raise KeyboardInterrupt
        save(folder, kind, *arguments, **others)

    save = room.save_map
    monkeypatch.setattr(room, "save_map", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_subject(3, tmp_path / "face", 32, 48)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="new or empty folder"):
        write_subject(3, tmp_path, 32, 48)


def test_flaws_are_on_the_maps_and_the_mask_says_what_is_noise(tmp_path):
    write_subject(3, tmp_path / "clean", 64, 96)
    write_subject(3, tmp_path / "flawed", 64, 96, flaws=["noise_fill", "leaning_normals"])
    clean, flawed = (Subject(tmp_path / name) for name in ("clean", "flawed"))
    kind = "specular_normals"
    assert (clean.open(kind).whole() - flawed.open(kind).whole()).abs().mean() > 0.05
    assert flawed.open("mask").whole().sum() < clean.open("mask").whole().sum()
    assert flawed.record.flaws == ("leaning_normals", "noise_fill")  # in the order they are put on
    assert (clean.open("shape").whole() - flawed.open("shape").whole()).abs().max() < 1e-3


def test_an_unknown_flaw_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="scratches"):
        write_subject(3, tmp_path / "face", 64, 96, flaws=["scratches"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (2**31, 1), (2**31 - 2, 3), (10**20, 1)])
def test_seeds_that_noise_cannot_tell_apart_are_refused(tmp_path, first, count):
    with pytest.raises(InputError, match=f"{first}"):
        check_seeds(first, count)
    if count == 1:
        with pytest.raises(InputError, match="2147483647"):
            write_subject(first, tmp_path / "face", 64, 96)
    assert not list(tmp_path.iterdir())


def test_the_last_seed_is_good():
    check_seeds(2**31 - 3, 3)


def test_names_sort_as_seeds_do():
    names = [subject_name(seed) for seed in (0, 7, 12, 999_999)]
    assert names == sorted(names)
    assert len(set(names)) == 4
