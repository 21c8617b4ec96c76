"""The stream of procedural patches: what is drawn, what is made, and how Lightning takes it."""

import pytest
import torch

from realface.data.pack_procedural import pack_procedural
from realface.data.procedural import (
    TRAINING_SUBJECTS,
    VALIDATION_SUBJECTS,
    Draw,
    draw_batch,
    make_batch,
)
from realface.data.procedural_datamodule import ProceduralDataModule
from realface.data.transforms import ReadPatch, ToTensors, collate
from realface.data.verify import verify
from realface.errors import InputError
from realface.geometry.measure import median_position, millimetres_per_texel
from realface.synthetic import ProceduralSubject
from realface.synthetic.placement import placements, valid_share
from tests.data.conftest import abouts_of, fit, samples_of

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


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    done = pack_procedural(
        out, 9, height=128, width=192, patch=32, subjects=4, samples_per_shard=3, first=10
    )
    assert (done.train, done.val) == (7, 2)
    return out


def test_shards_are_whole_and_split_by_subject(packed):
    assert verify(packed) == []
    train, val = ({about["subject"] for about in abouts_of(packed, split)}
                  for split in ("train", "val"))  # fmt: skip
    assert train == {"synthetic-000010", "synthetic-000011", "synthetic-000012"}
    assert val == {"synthetic-000013"}


def test_shards_hold_what_the_stream_makes(packed):
    sample = samples_of(packed, "train")[0]
    read = collate([ToTensors()(ReadPatch(None)(sample))])
    about = abouts_of(packed, "train")[0]
    seed = int(about["subject"].split("-")[1])
    made = make_batch(Draw((seed,), SIZE, ((about["y"], about["x"], 32, 32),)), "cpu")
    assert read["key"] == made["key"]
    for kind in read.keys() - {"key"}:
        assert (read[kind] - made[kind]).abs().max() < 2e-3, kind


def test_processes_make_the_same_bytes(packed, tmp_path):
    pack_procedural(
        tmp_path / "out", 9, height=128, width=192, patch=32, subjects=4, samples_per_shard=3,
        first=10, workers=2,
    )  # fmt: skip
    files = sorted(path.name for path in packed.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in files:
        assert (packed / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name


def test_a_folder_in_the_way_and_too_few_places_leave_nothing(packed, tmp_path):
    with pytest.raises(InputError, match="new or empty"):
        pack_procedural(packed, 2, height=128, width=192, patch=32)
    with pytest.raises(InputError, match="more places"):
        pack_procedural(tmp_path / "out", 12, height=8, width=12, patch=8,
                        subjects=2, minimum_valid=0.0, workers=1)  # fmt: skip
    with pytest.raises(InputError, match="at least 2"):
        pack_procedural(tmp_path / "out", 1, height=128, width=192)
    with pytest.raises(InputError, match="one and a half times the height"):
        pack_procedural(tmp_path / "out", 4, height=100, width=200)
    with pytest.raises(InputError, match="held out"):
        pack_procedural(tmp_path / "out", 4, height=128, width=192, first=2**31 - 1027)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_finished_outlives_an_interrupt(packed, tmp_path, workers):
    def make(stop_at=None, **changes):
        steps = []

        def progress(done, total):
            steps.append((done, total))
            if done == stop_at:
                raise KeyboardInterrupt

        given = {"patches": 9, "subjects": 4, "workers": workers, **changes}
        try:
            pack_procedural(tmp_path / "out", height=128, width=192, patch=32, first=10,
                            samples_per_shard=3, progress=progress, **given)  # fmt: skip
        except KeyboardInterrupt:
            assert stop_at
        return [done for done, _ in steps]

    assert make(stop_at=5) == [1, 2, 3, 4, 5]
    assert not (tmp_path / "out").exists()
    assert make(stop_at=8) == [4, 5, 6, 7, 8]  # the first shard was whole
    assert make() == [8, 9]
    files = sorted(path.name for path in packed.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in files:
        assert (packed / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_arguments_start_anew(tmp_path):
    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    size = {"height": 128, "width": 192, "patch": 32, "samples_per_shard": 2}
    with pytest.raises(KeyboardInterrupt):
        pack_procedural(tmp_path / "out", 6, first=10, progress=stop, **size)
    pack_procedural(tmp_path / "out", 6, first=20, **size)
    assert verify(tmp_path / "out") == []
    subjects = {about["subject"] for about in abouts_of(tmp_path / "out", "train")}
    assert subjects == {f"synthetic-{seed:06d}" for seed in range(20, 25)}
