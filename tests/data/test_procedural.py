"""The stream of procedural patches: what is drawn, what is made, and how Lightning takes it."""

import pytest
import torch

from realface.data.procedural import (
    TRAINING_SUBJECTS,
    VALIDATION_SUBJECTS,
    Draw,
    draw_batch,
    make_batch,
)
from realface.data.procedural_datamodule import ProceduralDataModule
from realface.errors import InputError
from realface.geometry.measure import median_position, millimetres_per_texel
from realface.synthetic import ProceduralSubject
from realface.synthetic.placement import placements, valid_share
from tests.data.conftest import fit

SIZE = (128, 192)


def module(**changes) -> ProceduralDataModule:
    given = {"batch_size": 2, "crop": 32, "narrowest_map": 192, "widest_map": 192, **changes}
    return ProceduralDataModule(**given)


def test_a_step_is_a_pure_function_of_seed_process_and_number():
    assert module().training_draw(7, 1) == module().training_draw(7, 1)
    draws = [
        module().training_draw(7, 1),
        module().training_draw(8, 1),
        module().training_draw(7, 0),
        module(seed=1).training_draw(7, 1),
    ]
    assert len({draw.subjects for draw in draws}) == len(draws)
    assert len({draw.windows for draw in draws}) == len(draws)


def test_no_subject_is_both_trained_on_and_held_out():
    assert TRAINING_SUBJECTS.stop == VALIDATION_SUBJECTS.start
    assert TRAINING_SUBJECTS.start == 0  # what `synth` makes by default is never held out
    held = module().validation_draw(range(4))
    assert set(held.subjects) <= set(VALIDATION_SUBJECTS)
    seen = {subject for step in range(50) for subject in module().training_draw(step).subjects}
    assert len(seen) == 100
    assert all(subject in TRAINING_SUBJECTS for subject in seen)


def test_held_out_patches_do_not_depend_on_the_batch():
    together, second = module().validation_draw([0, 1]), module().validation_draw([1])
    assert together.subjects[1:] == second.subjects
    assert together.windows[1:] == second.windows


def test_windows_lie_inside_the_map_and_the_mask():
    for step in range(40):
        draw = draw_batch(step, range(9), 1, 100, (300, 900), 0.9)
        height, width = draw.map_size
        y, x, h, w = draw.windows[0]
        assert 0 <= y <= height - h
        assert 0 <= x <= width - w
        assert valid_share(width, draw.windows[0]) >= 0.9


def test_scales_fill_their_range():
    widths = [draw_batch(n, range(9), 1, 16, (300, 1200), 0).map_size[1] for n in range(200)]
    assert min(widths) < 330
    assert max(widths) > 1100
    assert 0.4 < sum(width < 600 for width in widths) / 200 < 0.6


def test_the_share_of_valid_texels_is_that_of_the_mask():
    mask = ProceduralSubject(3).maps(*SIZE)["mask"][0]
    for y, x, h, w in ((0, 0, 20, 20), (100, 160, 28, 32), (50, 60, 32, 32)):
        share = mask[y : y + h, x : x + w].mean().item()
        assert abs(valid_share(192, (y, x, h, w)) - share) < 0.05


def test_a_patch_that_cannot_lie_there_is_refused():
    for patch, share in ((129, 0.0), (128, 1.0)):
        with pytest.raises(InputError, match="must be valid"):
            draw_batch(0, range(9), 1, patch, (192, 192), share)


def test_a_batch_is_the_crops_of_its_subjects_about_their_medians():
    draw = Draw((5, 2), SIZE, ((40, 50, 24, 24), (60, 80, 24, 24)))
    batch = make_batch(draw, "cpu")
    assert batch["key"] == ["synthetic-000005-y00040-x00050", "synthetic-000002-y00060-x00080"]
    for number, (seed, (y, x, h, w)) in enumerate(zip(draw.subjects, draw.windows, strict=True)):
        whole = ProceduralSubject(seed).maps(*SIZE)
        centre = torch.tensor(median_position(whole["shape"], whole["mask"])).view(3, 1, 1)
        crop = {kind: values[:, y : y + h, x : x + w] for kind, values in whole.items()}
        assert (batch["shape"][number] - crop["shape"] + centre).abs().max() < 1.0
        for kind in ("diffuse_albedo", "specular_normals", "mask"):
            assert (batch[kind][number] - crop[kind]).abs().max() < 2e-3, kind


def test_subjects_are_measured_without_being_made():
    found = placements([0, 6])
    for number, seed in enumerate((0, 6)):
        maps = ProceduralSubject(seed).maps(256, 384)
        x, y, z = median_position(maps["shape"], maps["mask"])
        centre = found.centres[number].tolist()
        assert centre == pytest.approx((x, y, z), abs=0.8)
        assert abs(centre[2] - z) < 0.4
        side = millimetres_per_texel(maps["shape"], maps["mask"], 1.0)
        assert found.stretch[number].item() * 300 / 384 == pytest.approx(side, rel=0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("crop", 0),
        ("samples_per_epoch", 0),
        ("validation_samples", 0),
        ("validation_samples", 4000),
        ("narrowest_map", 193),
        ("narrowest_map", 0),
        ("minimum_valid", 1.5),
        ("mirror_probability", -0.1),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=name):
        module(**{name: value})


@pytest.mark.parametrize("narrowest", [0, -1, 193])
def test_the_range_of_scales_is_told(narrowest):
    with pytest.raises(InputError) as caught:
        module(narrowest_map=narrowest)
    assert caught.value.expected == "between 1 and widest_map, 192"
    with pytest.raises(InputError, match=r"data.widest_map 0\n"):
        module(narrowest_map=0, widest_map=0)


@pytest.mark.filterwarnings("ignore")
def test_epochs_go_on_through_the_stream_and_validation_repeats():
    data = module(samples_per_epoch=4, validation_samples=3)
    seen = fit(data, 2)
    expected = [tuple(make_batch(module().training_draw(n), "cpu")["key"]) for n in range(4)]
    assert seen.trained == expected
    assert [len(keys) for keys in seen.validated] == [2, 1, 2, 1]
    assert seen.validated[:2] == seen.validated[2:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stopped_at", ["last.ckpt", "best.ckpt"])
def test_a_run_that_stops_goes_on_with_the_next_epoch(tmp_path, stopped_at):
    def run(epochs, **more):
        data = module(samples_per_epoch=4, validation_samples=1)
        return fit(data, epochs, folder=tmp_path, **more).trained

    steps = [tuple(make_batch(module().training_draw(n), "cpu")["key"]) for n in range(8)]
    assert run(2) == steps[:4]
    assert run(4, ckpt_path=tmp_path / stopped_at) == steps[4:]
