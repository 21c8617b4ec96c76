"""`realface evaluate`, as a user runs it."""

import json
import shutil

from realface.maps.files import read_image
from tests.cli.command import refused, run
from tests.evaluation.cases import noisy, write_pair
from tests.faces import write_face


def test_one_subject(tmp_path, capsys):
    made, truth = write_pair(tmp_path, noisy)
    code, out, err = run(capsys, "evaluate", made, truth)
    assert code == 0, err
    folder = made / "evaluation"
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "metrics.md", "errors.png"}
    assert "| diffuse_albedo | predicted | whole |" in out
    assert out.splitlines()[-1] == str(folder)
    assert read_image(folder / "errors.png").std() > 20
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["subjects"]["truth"]["scores"]["relit"]["whole"]["predicted"]["psnr_srgb"] > 10


def test_several_subjects_and_a_named_file(tmp_path, capsys):
    made, truth = write_pair(tmp_path, noisy, kinds=("specular_albedo",))
    for name in ("a", "b"):
        shutil.copytree(made, tmp_path / "all" / name)
        shutil.copytree(truth, tmp_path / "true" / name)
    output = tmp_path / "out" / "numbers.json"
    code, _, err = run(
        capsys, "evaluate", tmp_path / "all", tmp_path / "true", "--output", output, "--seed", 3
    )
    assert code == 0, err
    assert {path.name for path in output.parent.iterdir()} == {
        "numbers.json",
        "numbers.md",
        "errors.png",
    }
    assert json.loads(output.read_text())["seed"] == 3
    assert "## Skin tones" in output.with_suffix(".md").read_text()


def test_what_cannot_be_compared_is_refused_before_anything_is_written(tmp_path, capsys):
    made = write_face(tmp_path / "made", 32, 48)
    truth = write_face(tmp_path / "truth")
    assert "32x48" in refused(capsys, "evaluate", made, truth, "--output", tmp_path / "out")
    assert "no folder" in refused(capsys, "evaluate", tmp_path / "none", truth)
    assert "no file" in refused(capsys, "evaluate", truth, truth, "--mask", tmp_path / "none.png")
    taken = truth / "mask.tif"
    assert "in its place" in refused(capsys, "evaluate", truth, truth, "--output", taken)
    assert "--seed -1" in refused(capsys, "evaluate", truth, truth, "--seed", -1)
    assert not (tmp_path / "out").exists()
    assert not (truth / "evaluation").exists()
