"""Procedural subjects on disk."""

import pytest

from realface.errors import InputError
from realface.maps.subject import Subject
from realface.synthetic import folder as room
from realface.synthetic.folder import write_subject


def test_a_subject_is_written_with_its_seed(tmp_path):
    write_subject(3, tmp_path / "face", 32, 48)
    subject = Subject(tmp_path / "face")
    assert subject.size() == (32, 48)
    assert (subject.record.seed, subject.record.millimetres_per_unit) == (3, 1.0)


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
