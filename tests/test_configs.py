"""Every YAML in configs/ is parsed by the program that it belongs to."""

import re
from pathlib import Path

import pytest
import yaml

from realface.cli.infer import _parser as infer_parser
from realface.cli.main import main
from realface.maps.kinds import REFLECTANCE

CONFIGS = Path(__file__).parents[1] / "configs"
PAPER = [f"paper/{name}.yaml" for name in (*REFLECTANCE, "joint")]
TRANSLATORS = [*(f"{name}.yaml" for name in (*REFLECTANCE, "joint")), *PAPER]
OVERLAYS = ["smoke.yaml", "small_gpu.yaml", "finetune.yaml"]


def run(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def test_no_config_is_left_out():
    found = {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")}
    assert found == {
        *TRANSLATORS,
        *OVERLAYS,
        "whole_face.yaml",
        "procedural.yaml",
        "infer.yaml",
    }


def test_the_whole_face_stage_has_data_and_numbers_of_its_own(capsys):
    config = CONFIGS / "whole_face.yaml"
    code, out, err = run(capsys, "train", "fit", "--config", config, "--print_config")
    assert code == 0, err
    parsed, expected = yaml.safe_load(out), yaml.safe_load(config.read_text())
    for part in ("model", "data"):
        values = expected[part]["init_args"]
        assert {name: parsed[part]["init_args"][name] for name in values} == values
        assert parsed[part]["class_path"].endswith(expected[part]["class_path"].rsplit(".")[-1])


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


def flags_of(*names) -> list[str]:
    return [f"--config={CONFIGS / name}.yaml" for name in names]


@pytest.mark.parametrize("name", ["diffuse_albedo", "paper/diffuse_albedo"])
@pytest.mark.parametrize("order", [("procedural", "smoke"), ("smoke", "procedural")])
def test_smoke_lies_over_or_under_procedural(capsys, order, name):
    flags = flags_of(name, *order)
    code, out, err = run(capsys, "train", "fit", *flags, "--print_config")
    assert code == 0, err
    parsed = yaml.safe_load(out)
    assert parsed["data"]["class_path"].endswith("ProceduralDataModule")
    smoke = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    for values, expected in (
        (parsed["data"]["init_args"], smoke["data"]),
        (parsed["model"]["init_args"], smoke["model"]["init_args"]),
        (parsed["trainer"], smoke["trainer"]),
    ):
        assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("flags", "given", "expected", "remedy"),
    [
        (flags_of("procedural", "diffuse_albedo"),
         "data.workers, an option of ReflectanceDataModule, where the data is ProceduralDataModule",
         "one of batch_size, crop,", "configs/procedural.yaml after the translator's"),
        ([*flags_of("diffuse_albedo", "procedural"), "--data.workers=2"],
         "data.workers, an option of ReflectanceDataModule, where the data is ProceduralDataModule",
         "one of batch_size, crop,", "leave it out"),
        ([*flags_of("diffuse_albedo"), "--data.shards=x", "--data.widest_map=9"],
         "data.widest_map, an option of ProceduralDataModule, where the data is Reflectance",
         "one of shards, batch_size,", "configs/procedural.yaml after the translator's"),
        ([*flags_of("diffuse_albedo"), "--data.shards=x", "--data.batch_sise=9"],
         "data.batch_sise, where the data is ReflectanceDataModule",
         "one of shards, batch_size,", "--data.help ReflectanceDataModule"),
        ([*flags_of("diffuse_albedo"), "--data.shards=x", "--data.batch_size=two"],
         "data.batch_size two", "int\n", "--data.help ReflectanceDataModule"),
        ([*flags_of("diffuse_albedo"), "--data.shards=x", "--model.init_args.norm=batch"],
         "model.norm batch", "[Literal['instance', 'batch_renorm', 'position', 'none'], null]",
         "--model.help DiffuseAlbedo"),
        ([*flags_of("diffuse_albedo"), "--data.shards=x", "--model.init_args.nrm=none"],
         "model.nrm", "an option of DiffuseAlbedo", "--model.help DiffuseAlbedo"),
        (flags_of("diffuse_albedo"), "no --data.shards", "a folder of shards",
         "--config configs/procedural.yaml"),
        ([*flags_of("diffuse_albedo"), "--data=pytorch_lightning.LightningDataModule"],
         "data pytorch_lightning.LightningDataModule",
         "ReflectanceDataModule or ProceduralDataModule", "name one of them"),
        ([*flags_of("diffuse_albedo"), "--data=realface.data.patch_datamodule.PatchDataModule"],
         "data realface.data.patch_datamodule.PatchDataModule",
         "ReflectanceDataModule or ProceduralDataModule", "name one of them"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_together_is_told_in_the_users_words(
    capsys, flags, given, expected, remedy
):
    code, _, err = run(capsys, "train", "fit", *flags)
    assert code == 2
    assert f"given: {given}" in err
    assert f"expected: {expected}" in err
    assert remedy in err[err.index("what to do:") :]
    for word in ("Namespace", "NestedArg", "NoneType", "Subtypes"):
        assert word not in err


@pytest.mark.parametrize("name", ["ReflectanceDataModule", "ProceduralDataModule"])
def test_help_lists_what_data_there_is_and_its_options(capsys, name):
    code, out, _ = run(capsys, "train", "fit", "--help")
    assert code == 0
    assert name in "".join(out.split())
    code, out, _ = run(capsys, "train", "fit", f"--data.help={name}")
    assert code == 0
    assert "--data.samples_per_epoch" in out
    assert ("--data.widest_map" in out) == (name == "ProceduralDataModule")


@pytest.mark.parametrize("overlay", [None, *OVERLAYS])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translator_config(capsys, name, overlay):
    over = ["--config", CONFIGS / overlay] if overlay else []
    code, out, err = run(capsys, "train", "fit", "--config", CONFIGS / name, *over,
                         "--data.shards", "shards", "--print_config")  # fmt: skip
    assert code == 0, err
    parsed = yaml.safe_load(out)
    expected = yaml.safe_load((CONFIGS / name).read_text())
    said = yaml.safe_load((CONFIGS / overlay).read_text()) if overlay else {}
    model, data, trainer = parsed["model"], parsed["data"]["init_args"], parsed["trainer"]
    assert model["class_path"].rsplit(".")[-1] == expected["model"]["class_path"].rsplit(".")[-1]
    for found, place in ((model["init_args"], lambda one: one.get("model", {}).get("init_args")),
                         (data, lambda one: one.get("data")),
                         (trainer, lambda one: one.get("trainer"))):  # fmt: skip
        words = {**place(expected), **(place(said) or {})}
        assert {key: found[key] for key in words} == words


@pytest.mark.parametrize("name", TRANSLATORS)
def test_config_names_every_argument(capsys, name):
    """So that nobody has to look for a default; but for what this translator does not use."""
    _, out, _ = run(capsys, "train", "fit", "--config", CONFIGS / name,
                    "--data.shards", "shards", "--print_config")  # fmt: skip
    known = yaml.safe_load(out)["model"]["init_args"].keys()
    said = yaml.safe_load((CONFIGS / name).read_text())["model"]["init_args"]
    left = {"licence", "input_flaws"}
    if "texture" not in said["inputs"]:
        left |= {"flaw_probability"}
        if not said["rendering_weight"]:
            left |= {"lighting"}
    if not said["rendering_weight"]:
        left |= {"rendering_lights"}
    if not said["r1_weight"]:
        left |= {"r1_interval"}
    if said["generator"] == "unet":
        left |= {"local_blocks", "upsampling"}
    if said.get("space", "object") == "object":
        left |= {"frame_millimetres"}
    if not {"shape_normals"} & {*said["inputs"]}:
        left |= {"space"}
    assert known - said.keys() == left


@pytest.mark.parametrize("name", TRANSLATORS)
def test_config_names_its_own_command(name):
    assert f"python train.py fit --config configs/{name}" in (CONFIGS / name).read_text()


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipe_has_nothing_of_ours(name):
    config = yaml.safe_load((CONFIGS / name).read_text())
    said = config["model"]["init_args"]
    assert (said["generator"], said["norm"], said["residual"]) == ("local", "instance", False)
    assert config["ema_decay"] == said["gradient_weight"] == said["r1_weight"] == 0
    assert said["reconstruction_weight"] == said["clip_gradient_norm"] == 0
    assert bool(said["rendering_weight"]) == (name == "paper/joint.yaml")


def test_configs_never_count_steps():
    for name in (*TRANSLATORS, *OVERLAYS):
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
