"""Every YAML in configs/ is parsed by the program that it belongs to."""

import re
from pathlib import Path

import pytest
import yaml

from realface.cli.infer import _parser as infer_parser
from realface.cli.main import main
from realface.maps.kinds import REFLECTANCE

CONFIGS = Path(__file__).parents[1] / "configs"
TRANSLATORS = [f"{kind}.yaml" for kind in REFLECTANCE]


def run(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def test_no_config_is_left_out():
    assert {path.name for path in CONFIGS.glob("*.yaml")} == {
        *TRANSLATORS,
        "smoke.yaml",
        "procedural.yaml",
        "infer.yaml",
    }


@pytest.mark.parametrize("name", TRANSLATORS)
def test_procedural_data_takes_the_place_of_shards(capsys, name):
    over = CONFIGS / "procedural.yaml"
    code, out, err = run(capsys, "train", "fit", "--config", CONFIGS / name, "--config", over,
                         "--print_config")  # fmt: skip
    assert code == 0, err
    data = yaml.safe_load(out)["data"]
    assert data["class_path"].endswith("ProceduralDataModule")
    expected = yaml.safe_load((CONFIGS / name).read_text())["data"]
    kept = expected.keys() & data["init_args"].keys()
    assert {"batch_size", "crop", "samples_per_epoch"} <= kept
    assert {key: data["init_args"][key] for key in kept} == {key: expected[key] for key in kept}


@pytest.mark.parametrize("smoke", [False, True])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translator_config(capsys, name, smoke):
    over = ["--config", CONFIGS / "smoke.yaml"] if smoke else []
    code, out, err = run(capsys, "train", "fit", "--config", CONFIGS / name, *over,
                         "--data.shards", "shards", "--print_config")  # fmt: skip
    assert code == 0, err
    parsed = yaml.safe_load(out)
    expected = yaml.safe_load((CONFIGS / name).read_text())
    model = parsed["model"]
    assert model["class_path"].rsplit(".")[-1] == expected["model"]["class_path"].rsplit(".")[-1]
    words = {**expected["model"]["init_args"]}
    if smoke:
        words |= yaml.safe_load((CONFIGS / "smoke.yaml").read_text())["model"]["init_args"]
    assert {key: model["init_args"][key] for key in words} == words
    # The config names every argument, so that nobody has to look for a default; only de-lighting
    # reads a lit texture.
    left = {"licence", "lighting", "flaw_probability", "input_flaws"}
    assert model["init_args"].keys() - words.keys() <= left


@pytest.mark.parametrize("name", TRANSLATORS)
def test_config_names_its_own_command(name):
    assert f"python train.py fit --config configs/{name}" in (CONFIGS / name).read_text()


def test_configs_never_count_steps():
    for name in (*TRANSLATORS, "smoke.yaml"):
        assert not re.search(r"^\s*max_steps:", (CONFIGS / name).read_text(), re.MULTILINE)


def test_infer_config_holds_the_defaults():
    parser = infer_parser()
    flags = ["--input", "a", "--output", "b"]
    given = parser.parse_args(["--config", str(CONFIGS / "infer.yaml"), *flags])
    default = parser.parse_args(flags)
    given.config = default.config
    assert given == default


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("model: {init_args: {learning_rat: 0.1}}", "learning_rat"),
        ("model: {init_args: {learning_rate: fast}}", "learning_rate"),
        ("model: {init_args: {norm: batch}}", "norm"),
        ("data: {batch_sise: 2}", "batch_sise"),
        ("data: {batch_size: two}", "batch_size"),
        ("trainer: {max_epoch: 3}", "max_epoch"),
        ("colour: red", "colour"),
        ("wandb: sometimes", "wandb"),
        ("data: [", "config"),
    ],
)
def test_unknown_key_or_ill_typed_value_in_a_training_config(tmp_path, capsys, line, word):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(line + "\n")
    code, _, err = run(capsys, "train", "fit", "--config", CONFIGS / "specular_albedo.yaml",
                       "--config", wrong, "--data.shards", "shards", "--print_config")  # fmt: skip
    assert code == 2
    assert word in err
    for part in ("given:", "expected:", "what to do:"):
        assert part in err


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("windw: 512", "windw"),
        ("window: large", "window"),
        ("format: gif", "format"),
        ("bits: 12", "bits"),
        ("pad: perhaps", "pad"),
        ("window: [", "config"),
        ("- window", "config"),
    ],
)
def test_unknown_key_or_ill_typed_value_in_an_infer_config(tmp_path, capsys, line, word):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(line + "\n")
    code, _, err = run(capsys, "infer", "--config", wrong, "--input", "a", "--output", "b")
    assert code == 2
    assert word in err
    for part in ("given:", "expected:", "what to do:"):
        assert part in err


def test_missing_config(tmp_path, capsys):
    for command in (["infer", "--input", "a", "--output", "b"], ["train", "fit"]):
        code, _, err = run(capsys, *command, "--config", tmp_path / "none.yaml")
        assert code == 2
        assert "none.yaml" in err
