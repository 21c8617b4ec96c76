"""Model cards: what there is to know of weights, in Markdown that holds whatever is in it."""

from dataclasses import replace

import pytest
import yaml

from realface.export.card import model_card
from realface.networks.channels import INPUTS
from tests.trained import translator

TERMS = [
    {"source": "RealFaceDB", "licence": "research | no copies", "expires": "2027-03-01"},
    {"source": "synthetic", "licence": "none needed", "expires": None},
    {"source": None, "licence": None, "expires": None},
]


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table, whose rows must be of one length."""
    found = [block.splitlines() for block in card.split("\n\n") if block.startswith("| ")]
    return [[line.strip("| ").split(" | ") for line in table] for table in found]


def header(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_facts():
    one = translator("diffuse_normals", metrics={"angle": 3.25}, millimetres_per_texel=0.0671,
                     epochs=12)  # fmt: skip
    card = model_card(one.descriptor)
    parameters = sum(tensor.numel() for tensor in one.state().values())
    facts = ("# diffuse_normals", "grey_albedo, shape_normals", "multiples of 4 px",
             "at least 8 px", f"{one.descriptor.receptive_margin} px", "0.0671 millimetres",
             "not stated", "| angle | 3.25 | degrees", f"{parameters / 1e6:.1f} M",
             "epochs: 12", "python infer.py", "--weights DIR")  # fmt: skip
    for fact in facts:
        assert fact in card


def test_channels_in_their_order():
    read, made = tables(model_card(translator("diffuse_albedo").descriptor))
    assert [row[:3] for row in read[2:]] == [
        ["0 to 2", "texture", "texture"], ["3", "depth", "shape"]
    ]  # fmt: skip
    assert "sRGB as encoded" in read[2][4]
    assert "100 mm" in read[3][4]
    assert made[2][:2] == ["0 to 2", "diffuse_albedo"]
    assert "sRGB as encoded, in [0, 1]: (x + 1) / 2" in made[2][3]


def test_encodings_of_the_other_outputs():
    assert "linear, in [0, 1]" in model_card(translator("specular_albedo").descriptor)
    card = model_card(translator("specular_normals").descriptor)
    assert "unit vectors, +Y up, object space" in card
    assert "tangent" not in card.lower()


def test_tangent_space_is_explained():
    about = translator("specular_normals", millimetres_per_texel=0.1).descriptor
    card = model_card(replace(about, space="tangent", frame_millimetres=2.5))
    assert card.count("+Y up, tangent space") == 2
    assert "sigma 2.5 mm" in card


@pytest.mark.parametrize("word", INPUTS)
def test_every_input_has_its_row(word):
    about = translator("specular_albedo").descriptor
    arguments = {**about.arguments, "in_channels": INPUTS[word].channels}
    (_, _, row), _ = tables(model_card(replace(about, inputs=(word,), arguments=arguments)))
    assert row[1:4] == [word, INPUTS[word].kind, INPUTS[word].meaning]
    assert "{" not in row[4]


def test_data_with_its_terms():
    data = {"subjects": 40, "samples": 8000, "terms": TERMS}
    card = model_card(translator("specular_albedo", data=data).descriptor)
    for line in ("- subjects: 40", "- samples: 8000", "- source: synthetic; licence: none needed",
                 "- source: not stated; licence: not stated",
                 "- source: RealFaceDB; licence: research \\| no copies; "
                 "to be destroyed by 2027-03-01"):  # fmt: skip
        assert f"\n{line}\n" in card
    assert card.count("\n> **To be destroyed by 2027-03-01:**") == 1


def test_what_is_not_known_is_said():
    card = model_card(translator("specular_albedo").descriptor)
    assert "Not recorded." in card
    assert "Not measured." in card
    assert "unknown millimetres per texel" in card
    assert card.startswith("# ")
    assert "Notes" not in card


def test_units_of_metrics_also_of_one_map_of_several():
    metrics = {"psnr": 31.234, "ssim": 0.912, "specular_normals/angle": 4.0, "other": 1.0}
    rows = tables(model_card(translator("specular_albedo", metrics=metrics).descriptor))[2][2:]
    assert [row[0] for row in rows] == list(metrics)
    assert [row[1] for row in rows] == ["31.23", "0.912", "4", "1"]
    assert [row[2].split(",")[0] for row in rows[:3]] == ["dB", "1 at best", "degrees"]


def test_notes_come_last():
    card = model_card(translator("specular_albedo").descriptor, "Bad at *beards*.\n")
    assert card.endswith("\n\n## Notes\n\nBad at *beards*.\n")


def test_header_for_hubs_where_the_licence_is_known():
    about = translator("specular_albedo").descriptor
    known = header(model_card(replace(about, licence="CC-BY-NC-4.0")))
    assert known["license"] == "cc-by-nc-4.0"
    assert known["library_name"] == "realface"
    own = header(model_card(replace(about, licence='my "own":\n # terms')))
    assert (own["license"], own["license_name"]) == ("other", 'my "own": # terms')


def test_no_text_leaves_its_place():
    hostile = "a\n\n# b | c\n---\n<script>"
    data = {
        "subjects": hostile,
        "terms": [dict.fromkeys(("source", "licence", "expires"), hostile)],
    }
    one = translator("specular_albedo", licence=hostile, data=data, metrics={hostile: 1.0})
    card = model_card(one.descriptor)
    assert "\n# b" not in card
    assert header(card)["license"] == "other"
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body
    assert all(line.count("|") - line.count("\\|") in (0, 4, 5, 6) for line in body.splitlines())
