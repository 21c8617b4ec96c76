"""Scores of one subject."""

import math

import pytest
import torch

from realface.errors import InputError
from realface.evaluation.pairs import find_pairs
from realface.evaluation.scores import PREDICTED, RELIT
from realface.evaluation.subject import evaluate_subject, steps
from realface.maps.kinds import REFLECTANCE
from realface.maps.subject import save_map
from tests.evaluation.cases import dimmed, noisy, of, scored, write_pair
from tests.faces import write_face

ALBEDOS = REFLECTANCE[:2]


def test_truth_against_itself_has_no_error(tmp_path):
    (pair,) = find_pairs(*write_pair(tmp_path))
    told = []
    found = evaluate_subject(pair, 0, told.append)
    assert told == sorted(told)
    assert told[-1] == steps(pair)
    for kind in ("diffuse_albedo", "specular_albedo"):
        for metric in ("psnr_srgb", "psnr_linear", "gain_psnr_srgb", "gain_psnr_linear"):
            assert of(found, kind, metric) == math.inf
        assert of(found, kind, "ssim_srgb") == pytest.approx(1, abs=1e-5)
    for kind in ("diffuse_normals", "specular_normals"):
        assert of(found, kind, "mean_angle") == pytest.approx(0, abs=0.01)
        assert of(found, kind, "within_5") == 1
        assert of(found, kind, "detail_x") == pytest.approx(1)
        assert of(found, kind, "detail_y") == pytest.approx(1)
    assert of(found, RELIT, "psnr_srgb") > 100  # normals are rounded once more
    spectra = [v for k, v in found.scores.items() if k.region == "middle" and k.method == PREDICTED]
    assert len(spectra) > 4
    assert spectra == pytest.approx([0] * len(spectra), abs=0.01)


def test_a_gain_changes_absolute_scores_alone(tmp_path):
    found = scored(*write_pair(tmp_path, dimmed, kinds=ALBEDOS))
    for kind in ("diffuse_albedo", "specular_albedo"):
        assert of(found, kind, "psnr_srgb") < 25
        assert of(found, kind, "gain_psnr_srgb") > 70  # 16 bits are rounded
        assert of(found, kind, "gain_ssim_linear") > 0.999
    octaves = [
        value
        for key, value in found.scores.items()
        if (key.map, key.region, key.method) == ("diffuse_albedo", "middle", PREDICTED)
    ]
    assert len(octaves) > 1
    assert octaves == pytest.approx([0] * len(octaves), abs=0.05)


def test_every_score_has_baselines_beside(tmp_path):
    found = scored(*write_pair(tmp_path, noisy))
    methods = {
        kind: {key.method for key in found.scores if key.map == kind}
        for kind in (*REFLECTANCE, RELIT)
    }
    assert len(methods["diffuse_albedo"]) == 5
    assert len(methods["specular_albedo"]) == 2
    assert len(methods["diffuse_normals"]) == len(methods["specular_normals"]) == 4
    assert len(methods[RELIT]) == 2
    assert of(found, "diffuse_albedo", "gain_psnr_srgb") > of(
        found, "diffuse_albedo", "gain_psnr_srgb", method="texture as it is"
    )
    assert of(found, "specular_normals", "spectrum_4_2mm", "middle") > 0.5  # noise is detail too
    assert {"whole", "face"} <= {key.region for key in found.scores}
    assert "no occlusion" in " ".join(found.notes)
    assert found.tone is not None


def test_negated_detail_has_a_negative_correlation(tmp_path):
    def turned(kind, values):
        if not kind.endswith("normals"):
            return values
        base = torch.nn.functional.normalize(smooth(values), dim=0)
        along = (values * base).sum(0, keepdim=True)
        return 2 * along * base - values  # mirrored at the smooth normal

    def smooth(values):
        return torch.nn.functional.avg_pool2d(values[None], 9, 1, 4, count_include_pad=False)[0]

    found = scored(*write_pair(tmp_path, turned, kinds=REFLECTANCE[3:]))
    assert of(found, "specular_normals", "detail_x") < -0.5
    assert of(found, "specular_normals", "detail_y") < -0.5


def test_open_texels_are_a_region_and_rule_the_gain(tmp_path):
    made, truth = write_pair(tmp_path, noisy, kinds=ALBEDOS)
    occlusion = torch.ones(1, 64, 96)
    occlusion[:, :32] = 0.1
    save_map(truth, "occlusion", occlusion)
    found = scored(made, truth)
    assert found.shares["open"] == pytest.approx(found.shares["whole"] / 2, rel=0.01)
    assert of(found, "diffuse_albedo", "psnr_srgb", "open") > 0


def test_only_the_mask_counts(tmp_path):
    made, truth = write_pair(tmp_path, noisy)
    values = torch.zeros(1, 64, 96)
    values[:, 20:40, 30:60] = 1
    save_map(tmp_path / "only", "mask", values)
    mask = tmp_path / "only" / "mask.tif"
    found = scored(made, truth, mask=mask)
    assert found.shares["whole"] == pytest.approx(600 / 6144)
    spoilt, _ = write_pair(
        tmp_path / "spoilt",
        lambda kind, v: torch.where(values > 0, noisy(kind, v), torch.ones_like(v)),
    )
    again = scored(spoilt, truth, mask=mask)
    for kind, metric in (("diffuse_albedo", "gain_ssim_srgb"), ("specular_normals", "detail_x"),
                         ("specular_normals", "mean_angle"), (RELIT, "psnr_srgb")):  # fmt: skip
        assert of(again, kind, metric) == pytest.approx(of(found, kind, metric), abs=1e-4)


def test_coarse_texels_have_no_detail_and_it_is_said(tmp_path):
    found = scored(*write_pair(tmp_path, kinds=REFLECTANCE[3:], millimetres=1.0))
    assert not any(key.metric == "detail_x" for key in found.scores)
    assert "no detail" in " ".join(found.notes)


def test_without_inputs_scores_stay_and_the_rest_is_said(tmp_path):
    made = write_face(tmp_path / "made", leave_out=("specular_normals",))
    truth = write_face(tmp_path / "truth", leave_out=("texture", "shape", "shape_normals", "mask"))
    found = scored(made, truth)
    assert {key.method for key in found.scores} == {PREDICTED, "flat, the true mean"}
    said = " ".join(found.notes)
    for words in ("specular_normals: not in the prediction", "no texture", "no shape_normals",
                  "no mask", "no shape:", "not relit"):  # fmt: skip
        assert words in said
    with_inputs = scored(made, truth, inputs=write_face(tmp_path / "inputs"))
    assert "texture over fitted harmonics" in {key.method for key in with_inputs.scores}


def test_an_empty_mask_is_refused(tmp_path):
    made, truth = write_pair(tmp_path, kinds=ALBEDOS)
    save_map(truth, "mask", torch.zeros(1, 64, 96))
    with pytest.raises(InputError, match="mask"):
        scored(made, truth)
