"""Means over subjects, tables and JSON."""

import json
import math

import pytest

from realface.evaluation.scores import PREDICTED, Key
from realface.evaluation.subject import Evaluation
from realface.evaluation.summary import by_tone, leads, means
from realface.evaluation.tables import as_json, headline_table, markdown

KEY = Key("diffuse_albedo", "open", PREDICTED, "gain_psnr_srgb")
COPY = KEY._replace(method="texture as it is")


def subject(name, scores, tone="tan"):
    return Evaluation(name, scores, {"whole": 0.9}, tone, 20.0, 0.5, (f"about {name}", "for all"))


SUBJECTS = [
    subject("a", {KEY: 30.0, COPY: 20.0}),
    subject("b", {KEY: 34.0, COPY: 24.0}, "light"),
    subject("c", {KEY: 38.0}),
]


def test_means_with_intervals():
    found = means(SUBJECTS, seed=0)
    assert found[KEY].mean == 34
    assert found[KEY].low < 34 < found[KEY].high
    assert (found[KEY].subjects, found[COPY].subjects) == (3, 2)
    assert means(SUBJECTS, seed=0) == found
    assert means(SUBJECTS[:1], seed=0)[KEY].low is None


def test_leads_are_taken_subject_by_subject():
    (lead,) = leads(SUBJECTS, seed=0).values()
    assert (lead.mean, lead.low, lead.high, lead.subjects) == (10, 10, 10, 2)


def test_tones_from_light_to_dark():
    assert [(tone, len(group)) for tone, group in by_tone(SUBJECTS).items()] == [
        ("light", 1),
        ("tan", 2),
    ]


def test_json_is_strict_and_holds_every_number():
    endless = [*SUBJECTS, subject("d", {KEY: math.inf})]
    made = json.loads(json.dumps(as_json(endless, 0), allow_nan=False))
    place = ("diffuse_albedo", "open", "predicted", "gain_psnr_srgb")
    for name, expected in (("b", 34.0), ("d", None)):
        tree = made["subjects"][name]["scores"]
        for word in place:
            tree = tree[word]
        assert tree == expected
    assert made["skin_tones"]["light"]["subjects"] == ["b"]


def test_tables_say_what_they_hold():
    text = markdown(SUBJECTS, 0)
    assert "| **predicted** | 34.00 [" in text
    assert "- for all" in text
    assert "- b: about b" in text
    assert "| b | light (20 deg) | 34.00 |" in text
    assert "+10.00 [+10.00, +10.00]" in headline_table(SUBJECTS, 0)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_one_subject_has_no_intervals():
    assert "[3" not in markdown(SUBJECTS[:1], 0).replace("[dB]", "")
    assert "means" not in as_json(SUBJECTS[:1], 0)
    assert headline_table(SUBJECTS[:1], 0).count("30.00") == 1
    assert pytest.approx(10.0) == leads(SUBJECTS[:1], 0)[COPY].mean
