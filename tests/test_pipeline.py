"""One subject through its translators: the right maps, and nothing half-made."""

import errno
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from realface.errors import FailureError, InputError
from realface.geometry.padding import pad_islands
from realface.maps.encoding import unit
from realface.maps.files import write_image
from realface.maps.growing_tiff import GrowingTiff
from realface.maps.kinds import KINDS
from realface.maps.record import read_record, write_record
from realface.maps.subject import Subject, save_map
from realface.pipeline import Job, stages, tuning
from realface.pipeline.outside import ORIGIN, RIM
from tests.faces import face_maps, write_face
from tests.trained import INPUTS, save_checkpoint, translator

LEVEL = 1.01 / 65535  # of 16 bits, for albedo; a unit vector's component spans two


def translators(kinds=tuple(INPUTS), *, folder, **about):
    made = {}
    for kind in kinds:
        one = translator(kind, **about)
        one.source = save_checkpoint(one, folder / f"{kind}.ckpt")
        made[kind] = one
    return made


@pytest.fixture
def face(tmp_path):
    return write_face(tmp_path / "face")


def read(folder, kind):
    return Subject(folder).open(kind).whole()


def whole_map(one, subject, **changed):
    """The translator on the whole map at once, blank outside the mask."""
    maps = {kind: subject.open(kind).whole()[None] for kind in (*one.kinds, "mask")}
    if "shape" in maps:
        centre = maps["shape"][0][:, maps["mask"][0, 0] > 0.5].median(dim=1).values
        maps["shape"] = maps["shape"] - centre.view(1, 3, 1, 1)
    maps.update(changed)
    kind = one.descriptor.translator
    return torch.where(maps["mask"] > 0.5, one(maps)[kind], torch.zeros(1))[0]


def test_one_window_is_the_translator_on_the_whole_map(tmp_path, face):
    trained = translators(folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "out")
    albedo = read(tmp_path / "out", "diffuse_albedo")
    expected = whole_map(trained["diffuse_albedo"], Subject(face)).clamp(0, 1)
    torch.testing.assert_close(albedo, expected, atol=LEVEL, rtol=0)
    # The others read the predicted albedo as it was written, not the captured one.
    gloss = whole_map(trained["specular_albedo"], Subject(face), diffuse_albedo=albedo[None])
    torch.testing.assert_close(
        read(tmp_path / "out", "specular_albedo"), gloss.clamp(0, 1), atol=LEVEL, rtol=0
    )
    inside = read(face, "mask").expand(3, -1, -1) > 0.5
    for kind in ("diffuse_normals", "specular_normals"):
        normals = whole_map(trained[kind], Subject(face), diffuse_albedo=albedo[None])
        torch.testing.assert_close(
            read(tmp_path / "out", kind)[inside], normals[inside], atol=4 * LEVEL, rtol=0
        )


def test_captured_map_is_read_where_its_translator_is_not_in_the_job(tmp_path, face):
    trained = translators(["specular_albedo"], folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "out")
    expected = whole_map(trained["specular_albedo"], Subject(face)).clamp(0, 1)
    torch.testing.assert_close(
        read(tmp_path / "out", "specular_albedo"), expected, atol=LEVEL, rtol=0
    )
    assert list(read_record(tmp_path / "out").maps) == ["specular_albedo"]


def test_many_windows_agree_with_one_away_from_their_edges(tmp_path, face):
    trained = translators(folder=tmp_path)
    results = Job(Subject(face), trained, window=48, overlap=24).run(tmp_path / "many")
    Job(Subject(face), trained).run(tmp_path / "one")
    assert results["diffuse_albedo"].windows > 1
    for kind in INPUTS:
        difference = (read(tmp_path / "many", kind) - read(tmp_path / "one", kind)).abs()
        assert difference.mean() < 0.05, kind


def test_outside_the_mask_albedo_is_black_and_normals_face_the_viewer(tmp_path, face):
    Job(Subject(face), translators(folder=tmp_path)).run(tmp_path / "out")
    outside = read(face, "mask")[0] < 0.5
    for kind in INPUTS:
        values = read(tmp_path / "out", kind)[:, outside]
        blank = (0.0, 0.0, 1.0) if KINDS[kind].is_vector else (0.0,) * KINDS[kind].channels
        expected = torch.tensor(blank)[:, None].expand_as(values)
        torch.testing.assert_close(values, expected, atol=2e-5, rtol=0)


def test_what_lies_outside_the_mask_in_the_input_does_not_matter(tmp_path, face):
    trained = translators(["diffuse_albedo"], folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "out")
    texture = read(face, "texture")
    save_map(face, "texture", torch.where(read(face, "mask") > 0.5, texture, 1.0))
    Job(Subject(face), trained).run(tmp_path / "wild")
    assert torch.equal(
        read(tmp_path / "out", "diffuse_albedo"), read(tmp_path / "wild", "diffuse_albedo")
    )


def test_record_names_what_was_made_and_carries_the_licence(tmp_path, face):
    Job(Subject(face), translators(folder=tmp_path)).run(tmp_path / "out")
    record = read_record(tmp_path / "out")
    assert tuple(record.maps) == tuple(INPUTS)
    assert (record.licence, record.source, record.millimetres_per_unit) == ("CC0-1.0", "tests", 1)
    with tifffile.TiffFile(tmp_path / "out" / "diffuse_albedo.tif") as file:
        assert file.pages[0].is_tiled
        assert file.pages[0].dtype == np.uint16


@pytest.mark.parametrize(
    ("form", "bits", "tolerance"),
    [("tif", 8, 1 / 255), ("png", 8, 1 / 255), ("png", 16, LEVEL), ("exr", 16, 1e-3),
     ("exr", 32, 1e-6)],
)  # fmt: skip
def test_every_format_holds_the_same_map(tmp_path, face, form, bits, tolerance):
    trained = translators(["diffuse_albedo"], folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "out", form=form, bits=bits)
    expected = whole_map(trained["diffuse_albedo"], Subject(face))
    if form != "exr":  # floats keep a network's overshoot
        expected = expected.clamp(0, 1)
    torch.testing.assert_close(
        read(tmp_path / "out", "diffuse_albedo"), expected, atol=tolerance, rtol=1e-3
    )


@pytest.mark.parametrize(("form", "bits"), [("tif", 32), ("png", 12), ("exr", 8)])
def test_format_that_cannot_hold_the_bits_is_refused_before_any_output(tmp_path, face, form, bits):
    job = Job(Subject(face), translators(["specular_albedo"], folder=tmp_path))
    with pytest.raises(InputError, match=f"{form} at {bits} bits"):
        job.run(tmp_path / "out", form=form, bits=bits)
    assert not (tmp_path / "out").exists()


# Bad subjects: refused when the job is made, so before any output.


def refused(face, tmp_path, words, **arguments):
    with pytest.raises(InputError) as caught:
        Job(Subject(face), translators(folder=tmp_path), **arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", ["texture", "shape", "shape_normals"])
def test_missing_map(tmp_path, kind):
    face = write_face(tmp_path / "face", leave_out=(kind,))
    refused(face, tmp_path, [f"without {kind}", "realface add"])


def test_mask_of_another_size(tmp_path, face):
    save_map(face, "mask", torch.ones(1, 32, 48), bits=8)
    refused(face, tmp_path, ["mask is 32x48", "64x96", "--resample"])


def test_empty_mask(tmp_path, face):
    save_map(face, "mask", torch.zeros(1, 64, 96), bits=8)
    refused(face, tmp_path, ["mask", "no texel"])


def test_tangent_space_normals(tmp_path, face):
    record = read_record(face)
    normals = replace(record.maps["shape_normals"], space="tangent")
    write_record(face, record.with_map("shape_normals", normals))
    refused(face, tmp_path, ["tangent space", "realface add", "--space tangent"])


def test_truncated_map(tmp_path, face):
    path = face / "texture.tif"
    path.write_bytes(path.read_bytes()[:-4000])
    refused(face, tmp_path, ["texture.tif"])


def test_nan_in_an_exr(tmp_path):
    face = write_face(tmp_path / "face", leave_out=("texture",))
    pixels = np.full((64, 96, 3), 0.5, np.float32)
    pixels[7, 9, 1] = np.nan
    write_image(face / "texture.exr", pixels)
    refused(face, tmp_path, ["texture.exr", "NaN", "(y=7, x=9)"])


def test_size_off_the_stride(tmp_path):
    face = write_face(tmp_path / "face", 62, 93)
    refused(face, tmp_path, ["62x93", "multiples of 4", "64x96", "--pad"])


def test_padded_and_cropped_back(tmp_path):
    face = write_face(tmp_path / "face", 62, 93)
    trained = translators(folder=tmp_path)
    Job(Subject(face), trained, pad=True).run(tmp_path / "out")
    for kind in INPUTS:
        assert read(tmp_path / "out", kind).shape[-2:] == (62, 93)
    # Away from the padded edges the result is that of the map as it is, cut to the stride.
    cut = write_face(tmp_path / "cut", 62, 93)
    for kind in Subject(cut).record.maps:
        save_map(cut, kind, read(face, kind)[:, :60, :92], bits=Subject(cut).record.maps[kind].bits)
    assert Subject(cut).size() == (60, 92)
    Job(Subject(cut), trained).run(tmp_path / "cut-out")
    reach = trained["diffuse_albedo"].descriptor.receptive_margin
    inner = np.s_[:, : 60 - reach, : 92 - reach]
    torch.testing.assert_close(
        read(tmp_path / "out", "diffuse_albedo")[inner],
        read(tmp_path / "cut-out", "diffuse_albedo")[inner],
        atol=0.02,  # the median position of the shape differs a little
        rtol=0,
    )


def test_map_smaller_than_the_network_takes(tmp_path):
    face = write_face(tmp_path / "face", 4, 8)
    refused(face, tmp_path, ["4x8", "at least 8 px"])
    refused(face, tmp_path, ["4x8", "at least 8 px"], pad=True)


def test_windows_smaller_than_the_network_takes(tmp_path, face):
    refused(face, tmp_path, ["at least 8 px", "--window"], window=4, overlap=0)


@pytest.mark.parametrize(
    "arguments", [{"window": 0}, {"window": -4}, {"overlap": -1}, {"batch": 0},
                  {"window": 32, "overlap": 32}]
)  # fmt: skip
def test_numbers_out_of_range(tmp_path, face, arguments):
    refused(face, tmp_path, [str(next(iter(arguments.values())))], **arguments)


def test_texels_of_another_size_than_trained_at_are_told(tmp_path, face, caplog):
    scale = 150 / 96  # mm per texel of the closed-form face, more on its slopes
    with caplog.at_level(logging.WARNING, "realface"):
        Job(Subject(face), translators(folder=tmp_path, millimetres_per_texel=scale))
        assert "per texel" not in caplog.text
        Job(Subject(face), translators(folder=tmp_path, millimetres_per_texel=scale / 10))
    assert "diffuse_albedo was trained at 0.156 mm per texel" in caplog.text


def test_the_job_prints_itself(tmp_path, face):
    text = str(Job(Subject(face), translators(folder=tmp_path), window=48, overlap=16))
    for word in ("diffuse_albedo from mask, texture, shape", "2 rows x 3 columns", ".ckpt"):
        assert word in text


# Output folders that are not ours.


def test_the_subjects_own_folder_is_refused(tmp_path, face):
    before = {path.name: path.read_bytes() for path in face.iterdir()}
    job = Job(Subject(face), translators(folder=tmp_path))
    with pytest.raises(InputError, match="own folder"):
        job.run(face / ".." / "face")
    assert {path.name: path.read_bytes() for path in face.iterdir()} == before


def test_another_captured_subject_is_not_written_over(tmp_path, face):
    other = write_face(tmp_path / "other")
    with pytest.raises(InputError, match="infer did not make"):
        Job(Subject(face), translators(folder=tmp_path)).run(other)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "diffuse_albedo.png").write_bytes(b"a scan")
    with pytest.raises(InputError, match=r"diffuse_albedo\.png"):
        Job(Subject(face), translators(folder=tmp_path)).run(bare)
    assert (bare / "diffuse_albedo.png").read_bytes() == b"a scan"


def test_results_of_two_subjects_are_not_mixed(tmp_path, face):
    trained = translators(folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "out")
    other = Subject(write_face(tmp_path / "other"))
    with pytest.raises(InputError, match="holds maps of"):
        Job(other, trained).run(tmp_path / "out")


def test_output_that_is_a_file_is_refused(tmp_path, face):
    (tmp_path / "out").write_text("a letter")
    with pytest.raises(InputError, match="which is a file"):
        Job(Subject(face), translators(folder=tmp_path)).run(tmp_path / "out")


# Work that breaks off, and goes on.


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_nan_from_the_network_leaves_no_map(tmp_path, face):
    trained = translators(folder=tmp_path)
    next(iter(trained["specular_albedo"].state().values())).fill_(torch.nan)
    with pytest.raises(FailureError, match="specular_albedo holds NaN"):
        Job(Subject(face), trained).run(tmp_path / "out")
    begun = ".specular_albedo.tif.partial"
    assert names(tmp_path / "out") == {"diffuse_albedo.tif", begun, "infer.json", "subject.json"}


def test_full_disk_leaves_no_half_written_file(tmp_path, face, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(GrowingTiff, "add", full)
    with pytest.raises(FailureError, match="No space left") as caught:
        Job(Subject(face), translators(folder=tmp_path)).run(tmp_path / "out")
    assert "free some space" in caught.value.remedy
    # What a later run goes on from, under a hidden name; no map.
    assert names(tmp_path / "out") == {".diffuse_albedo.tif.partial", "infer.json"}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.8 GB)"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_told_with_the_way_out(tmp_path, face, error):
    def hungry(maps):
        raise error

    trained = translators(["diffuse_albedo"], folder=tmp_path)
    trained["diffuse_albedo"].generator.forward = hungry
    with pytest.raises(FailureError, match="smaller --window"):
        Job(Subject(face), trained).run(tmp_path / "out")


def test_other_errors_of_a_network_are_not_taken_for_memory(tmp_path, face):
    def broken(maps):
        raise RuntimeError("shapes do not match")

    trained = translators(["diffuse_albedo"], folder=tmp_path)
    trained["diffuse_albedo"].generator.forward = broken
    with pytest.raises(RuntimeError, match="shapes do not match"):
        Job(Subject(face), trained).run(tmp_path / "out")


def test_finished_maps_are_kept_with_another_batch(tmp_path, face):
    trained = translators(folder=tmp_path)
    Job(Subject(face), trained, window=48, overlap=16, batch=2).run(tmp_path / "out")
    assert Job(Subject(face), trained, window=48, overlap=16).run(tmp_path / "out") == {}


def test_maps_made_from_a_map_that_is_made_anew_are_removed(tmp_path, face, caplog):
    out, trained = tmp_path / "out", translators(folder=tmp_path)
    Job(Subject(face), trained).run(out)
    fresh = translators(["diffuse_albedo"], folder=tmp_path, seed=1)
    with caplog.at_level(logging.WARNING, "realface"):
        Job(Subject(face), fresh).run(out)
    assert names(out) == {"diffuse_albedo.tif", "infer.json", "subject.json"}
    assert list(read_record(out).maps) == ["diffuse_albedo"]
    assert "specular_normals.tif removed" in caplog.text


def test_maps_that_were_not_made_from_it_stay(tmp_path, face):
    out = tmp_path / "out"
    # Alone they read the subject's own albedo, not the predicted one.
    others = ["specular_albedo", "specular_normals"]
    Job(Subject(face), translators(others, folder=tmp_path)).run(out)
    for seed in (0, 1):
        Job(Subject(face), translators(["diffuse_albedo"], folder=tmp_path, seed=seed)).run(out)
    assert set(read_record(out).maps) == {"diffuse_albedo", *others}


def test_run_that_broke_off_still_removes_what_it_made_stale(tmp_path, face):
    out = tmp_path / "out"
    Job(Subject(face), translators(folder=tmp_path)).run(out)
    fresh = translators(["diffuse_albedo"], folder=tmp_path, seed=1)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Job(Subject(face), fresh).run(out, progress=stop)
    Job(Subject(face), fresh).run(out)
    assert list(read_record(out).maps) == ["diffuse_albedo"]


def test_predicted_maps_are_marked_as_derived(tmp_path, face):
    Job(Subject(face), translators(folder=tmp_path)).run(tmp_path / "out")
    assert all(record.derived for record in read_record(tmp_path / "out").maps.values())


def test_disagreement_counts_texels_of_the_mask_alone(tmp_path, face):
    trained = translators(["specular_albedo"], folder=tmp_path)
    numbers = iter(range(100))

    def jumping(channels):  # the next window differs by a half everywhere
        return torch.full_like(channels[:, :1], float(next(numbers) % 2))

    trained["specular_albedo"].generator.forward = jumping
    job = Job(Subject(face), trained, window=64, overlap=32)
    one = job.run(tmp_path / "out")["specular_albedo"].disagreement["specular_albedo"]
    assert (one.mean, one.max) == (0.5, 0.5)


def test_same_job_goes_on_after_it_was_stopped(tmp_path, face):
    trained = translators(folder=tmp_path)

    def stop(kind, done, total):
        if kind == "diffuse_normals":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Job(Subject(face), trained).run(tmp_path / "out", progress=stop)
    finished = {"diffuse_albedo.tif", "specular_albedo.tif"}
    begun = ".diffuse_normals.tif.partial"
    assert names(tmp_path / "out") == {*finished, begun, "infer.json", "subject.json"}
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in finished}
    results = Job(Subject(face), trained).run(tmp_path / "out")
    assert set(results) == {"diffuse_normals", "specular_normals"}
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in finished} == before
    assert begun not in names(tmp_path / "out")
    Job(Subject(face), trained).run(tmp_path / "straight")
    for kind in INPUTS:
        assert torch.equal(read(tmp_path / "out", kind), read(tmp_path / "straight", kind))


def test_changed_checkpoint_makes_its_map_and_those_after_it_anew(tmp_path, face):
    trained = translators(folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "out")
    assert Job(Subject(face), trained).run(tmp_path / "out") == {}
    trained |= translators(["diffuse_normals"], folder=tmp_path, seed=1)
    results = Job(Subject(face), trained).run(tmp_path / "out")
    assert set(results) == {"diffuse_normals", "specular_normals"}


@pytest.mark.parametrize("change", ["map", "deleted", "format", "windows", "note"])
def test_other_changes_make_the_map_anew(tmp_path, face, change):
    trained = translators(["diffuse_albedo"], folder=tmp_path)
    out, arguments, form = tmp_path / "out", {}, "tif"
    Job(Subject(face), trained).run(out)
    if change == "map":
        save_map(face, "texture", face_maps()["diffuse_albedo"] * 0.7)
    elif change == "deleted":
        (out / "diffuse_albedo.tif").unlink()
    elif change == "format":
        form = "png"
    elif change == "windows":
        arguments = {"window": 48, "overlap": 16}
    elif change == "note":
        about = json.loads((out / "infer.json").read_text())
        (out / "infer.json").write_text(json.dumps({**about, "maps": [1]}))
    assert set(Job(Subject(face), trained, **arguments).run(out, form=form)) == {"diffuse_albedo"}


def test_progress_names_the_map(tmp_path, face):
    seen = []
    Job(Subject(face), translators(folder=tmp_path), window=48, overlap=16).run(
        tmp_path / "out", progress=lambda *state: seen.append(state)
    )
    assert seen[0] == ("diffuse_albedo", 1, 6)
    assert seen[-1] == ("specular_normals", 6, 6)
    assert [kind for kind, done, total in seen if done == total] == list(INPUTS)


def test_networks_own_normals_are_unit_length_in_the_file(tmp_path, face):
    Job(Subject(face), translators(folder=tmp_path), window=48, overlap=24).run(tmp_path / "out")
    stored = tifffile.imread(tmp_path / "out" / "specular_normals.tif").astype(np.float64)
    vectors = torch.from_numpy(stored / 65535 * 2 - 1).permute(2, 0, 1)
    torch.testing.assert_close(vectors, unit(vectors), atol=1e-4, rtol=0)


# Windows that give the whole image's result.


def test_windows_that_are_cut_give_the_map_of_one_window(tmp_path, face):
    trained = translators(folder=tmp_path)
    job = Job(Subject(face), trained, window=52)
    assert all(stage.exact and stage.plan.windows > 1 for stage in job.stages)
    job.run(tmp_path / "many")
    Job(Subject(face), trained).run(tmp_path / "one")
    for kind in INPUTS:
        torch.testing.assert_close(
            read(tmp_path / "many", kind), read(tmp_path / "one", kind), atol=4 * LEVEL, rtol=0
        )


def test_fused_translators_give_the_maps_of_single_ones_but_for_the_rounding_of_files(tmp_path):
    face = write_face(tmp_path / "face", 128, 192)
    trained = translators(folder=tmp_path)
    job = Job(Subject(face), trained, fused=True, window=120)
    (stage,) = job.stages
    assert stage.chain.kinds == ("texture", "shape", "shape_normals")
    assert stage.chain.margin == sum(
        trained[kind].descriptor.receptive_margin for kind in ("diffuse_albedo", "diffuse_normals")
    )
    assert stage.plan.windows > 1
    results = job.run(tmp_path / "fused")
    assert list(results) == [", ".join(INPUTS)]
    Job(Subject(face), trained, fused=True).run(tmp_path / "one")
    Job(Subject(face), trained).run(tmp_path / "single")
    for kind in INPUTS:
        fused = read(tmp_path / "fused", kind)
        torch.testing.assert_close(fused, read(tmp_path / "one", kind), atol=4 * LEVEL, rtol=0)
        single = read(tmp_path / "single", kind)
        torch.testing.assert_close(fused, single, atol=2e-3, rtol=0)


def test_a_kill_in_the_middle_of_a_map_goes_on_with_its_tiles(tmp_path):
    face = write_face(tmp_path / "face", 512, 768)
    trained = translators(["diffuse_albedo"], folder=tmp_path)

    def stop(kind, done, total):
        if done == total - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Job(Subject(face), trained, window=256).run(tmp_path / "out", progress=stop)
    result = Job(Subject(face), trained, window=200).run(tmp_path / "out")["diffuse_albedo"]
    assert result.kept > 0  # other windows, of which an earlier run's tiles hold some
    Job(Subject(face), trained, window=256).run(tmp_path / "straight")
    torch.testing.assert_close(
        read(tmp_path / "out", "diffuse_albedo"), read(tmp_path / "straight", "diffuse_albedo"),
        atol=LEVEL, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("outside", ["constant", "input", "padded"])
@pytest.mark.parametrize("window", [1536, 92])
def test_what_is_asked_for_lies_outside_the_mask_and_never_inside(tmp_path, face, outside, window):
    trained = translators(folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "constant")
    Job(Subject(face), trained, outside=outside, window=window).run(tmp_path / "out")
    valid = read(face, "mask")[0] > 0.5
    for kind in INPUTS:
        values, plain = (read(tmp_path / name, kind) for name in ("out", "constant"))
        torch.testing.assert_close(values[:, valid], plain[:, valid], atol=4 * LEVEL, rtol=0)
        origin = ORIGIN.get(kind)
        if outside == "input" and origin is not None:
            expected = read(face, origin)[:, ~valid]
            torch.testing.assert_close(values[:, ~valid], expected, atol=4 * LEVEL, rtol=0)
        elif outside == "padded":
            rim = pad_islands(valid[None].float(), valid[None].float(), RIM)[0] > 0.5
            assert not torch.equal(values[:, rim & ~valid], plain[:, rim & ~valid])
            torch.testing.assert_close(
                values, pad_islands(values, valid[None].float(), RIM), atol=2e-3, rtol=0
            )
            torch.testing.assert_close(values[:, ~rim], plain[:, ~rim], atol=4 * LEVEL, rtol=0)
        else:
            assert torch.equal(values[:, ~valid], plain[:, ~valid])


def test_windows_without_a_texel_of_the_mask_are_not_computed(tmp_path):
    face = write_face(tmp_path / "face", 128, 192)
    valid = torch.zeros(1, 128, 192)
    valid[:, :12, :12], valid[:, -12:, -12:] = 1, 1
    save_map(face, "mask", valid, bits=8)
    trained = translators(["specular_albedo"], folder=tmp_path)
    result = Job(Subject(face), trained, window=60).run(tmp_path / "out")["specular_albedo"]
    assert result.blank > result.windows > 0
    assert "were not computed" in str(result)


def off_centre(folder, height=160, width=256):
    """A face whose mask leaves much of the map out on all sides."""
    face = write_face(folder, height, width)
    valid = torch.zeros(1, height, width)
    valid[:, 50:91, 62:133] = 1
    valid[:, 60:70, 80:90] = 0
    save_map(face, "mask", valid, bits=8)
    return face


@pytest.mark.parametrize("outside", ["constant", "input", "padded"])
@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_windows_about_the_mask_make_the_map_of_windows_everywhere(tmp_path, outside, device):
    face, trained = off_centre(tmp_path / "face"), translators(["diffuse_albedo"], folder=tmp_path)
    window = 92 if outside == "padded" else 52
    job = Job(Subject(face), trained, window=window, outside=outside)
    everywhere = Job(Subject(face), trained, window=window, outside=outside, within=None)
    assert job.stages[0].plan.redundancy < 0.7 * everywhere.stages[0].plan.redundancy
    assert job.stages[0].exact
    job.run(tmp_path / "out", device=device)
    everywhere.run(tmp_path / "all")
    one, all_ = (read(tmp_path / name, "diffuse_albedo") for name in ("out", "all"))
    # Convolutions of windows of other sizes may round differently.
    torch.testing.assert_close(one, all_, atol=LEVEL, rtol=0)
    valid = read(face, "mask")[0] > 0.5
    if outside != "padded":
        assert torch.equal(one[:, ~valid], all_[:, ~valid])


def test_windows_about_the_mask_with_padding_and_a_kill(tmp_path):
    face = off_centre(tmp_path / "face", 157, 254)
    trained = translators(["diffuse_albedo"], folder=tmp_path)
    layout = {"window": 52, "pad": True}
    Job(Subject(face), trained, **layout, within=None).run(tmp_path / "all")
    job = Job(Subject(face), trained, **layout)
    calls = []

    def killed(title, done, total):
        calls.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(tmp_path / "out", progress=killed)
    Job(Subject(face), trained, **layout).run(tmp_path / "out")
    one, all_ = (read(tmp_path / name, "diffuse_albedo") for name in ("out", "all"))
    torch.testing.assert_close(one, all_, atol=LEVEL, rtol=0)


def test_norms_statistics_are_those_of_windows_everywhere(tmp_path):
    face = off_centre(tmp_path / "face")
    trained = translators(["specular_albedo"], folder=tmp_path, norm="instance")
    plan = Job(Subject(face), trained, window=92).stages[0].plan
    assert plan.covered == ((0, 160), (0, 256))


def test_tuning_measures_and_chooses_among_exact_windows(tmp_path, face):
    job = Job(Subject(face), translators(folder=tmp_path))
    before = [stage.plan for stage in job.stages]
    job.tune("cpu")
    assert all(stage.exact and stage.seconds > 0 for stage in job.stages)
    assert [stage.plan for stage in job.stages] == before  # one window is all there is
    assert "in the network" in str(job)
    given = Job(Subject(face), translators(folder=tmp_path), window=52)
    plans = [stage.plan for stage in given.stages]
    given.tune("cpu")
    assert [stage.plan for stage in given.stages] == plans


def test_without_a_window_one_is_found_for_a_network_that_reaches_far(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_WINDOW", 32)
    monkeypatch.setattr(tuning, "SIDES", (24, 28))
    monkeypatch.setattr(tuning, "_LARGER", (52, 60, 72))
    face = write_face(tmp_path / "face", 128, 192)
    trained = translators(["specular_albedo"], folder=tmp_path)
    job = Job(Subject(face), trained)
    assert job.stages[0].plan == Job(Subject(face), trained, window=52).stages[0].plan
    job.tune("cpu")
    assert job.stages[0].plan.window[0] * job.stages[0].plan.window[1] <= 52**2
    with pytest.raises(InputError, match="windows of 32x32"):
        Job(Subject(face), trained, window=32)
    monkeypatch.setattr(tuning, "_LARGER", (40,))
    with pytest.raises(InputError, match="windows of 32x32"):
        Job(Subject(face), trained)


def test_tuning_passes_over_windows_that_do_not_fit_into_memory(tmp_path):
    face = write_face(tmp_path / "face", 128, 192)
    trained = translators(["specular_albedo"], folder=tmp_path)
    network = trained["specular_albedo"].generator

    def hungry(x):
        raise RuntimeError("CUDA out of memory. Tried to allocate 9 GB")

    network.forward = hungry
    job = Job(Subject(face), trained)
    job.tune("cpu")
    assert job.stages[0].seconds is None
    assert "time  " not in str(job)


def test_a_window_that_does_not_fit_into_memory_is_halved(tmp_path, caplog):
    face = write_face(tmp_path / "face", 128, 192)
    trained = translators(["specular_albedo"], folder=tmp_path)
    network = trained["specular_albedo"].generator
    forward, sizes = network.forward, []

    def hungry(x):
        sizes.append(x.shape[-1])
        if x.shape[-1] > 120:
            raise RuntimeError("not enough memory: you tried to allocate 9 GB")
        return forward(x)

    network.forward = hungry
    Job(Subject(face), trained).run(tmp_path / "out")
    assert "going on with windows of" in caplog.text
    assert sizes[0] == 192
    network.forward = forward
    Job(Subject(face), trained).run(tmp_path / "one")
    torch.testing.assert_close(
        read(tmp_path / "out", "specular_albedo"), read(tmp_path / "one", "specular_albedo"),
        atol=LEVEL, rtol=0,
    )  # fmt: skip


def test_half_precision_is_near_full_precision(tmp_path, face):
    trained = translators(["diffuse_albedo"], folder=tmp_path)
    Job(Subject(face), trained).run(tmp_path / "full")
    Job(Subject(face), trained).run(tmp_path / "half", precision="bfloat16")
    full, half = (read(tmp_path / name, "diffuse_albedo") for name in ("full", "half"))
    assert 0 < (full - half).abs().mean() < 0.01


def test_two_devices_make_the_map_of_one(tmp_path, face, caplog):
    trained = translators(["specular_albedo"], folder=tmp_path)
    Job(Subject(face), trained, window=52).run(tmp_path / "two", device="cpu,cpu")
    Job(Subject(face), trained, window=52).run(tmp_path / "one")
    one, two = (read(tmp_path / name, "specular_albedo") for name in ("one", "two"))
    assert torch.equal(one, two)
    Job(Subject(face), trained, window=52, overlap=16).run(tmp_path / "faded", device="cpu,cpu")
    assert "runs on cpu alone" in caplog.text


# Networks with instance norm.


@pytest.mark.parametrize("mode", ["thumbnail", "exact", "pooled", "patch", "live"])
def test_statistics_of_the_map_make_windows_agree(tmp_path, mode):
    face = write_face(tmp_path / "face", 128, 192)
    trained = translators(["specular_albedo"], folder=tmp_path, norm="instance")
    job = Job(Subject(face), trained, window=92, overlap=56, statistics=mode)
    result = job.run(tmp_path / "faded")["specular_albedo"].disagreement["specular_albedo"]
    assert result.values > 0
    assert (result.max < 1e-5) == (mode != "live")
    job = Job(Subject(face), trained, window=92, statistics=mode)
    assert job.stages[0].agree == (mode != "live")
    job.run(tmp_path / "out")
    if mode == "exact":
        Job(Subject(face), trained, window=192, statistics="live").run(tmp_path / "one")
        torch.testing.assert_close(
            read(tmp_path / "out", "specular_albedo"), read(tmp_path / "one", "specular_albedo"),
            atol=2 * LEVEL, rtol=0,
        )  # fmt: skip


def test_a_tolerance_buys_a_smaller_margin(tmp_path, caplog):
    face = write_face(tmp_path / "face", 128, 192)
    trained = translators(["specular_albedo"], folder=tmp_path)
    with caplog.at_level(logging.INFO, "realface"):
        Job(Subject(face), trained, window=92, tolerance="8-bit").run(tmp_path / "out")
    assert "borders reach 20 px in" in caplog.text
    Job(Subject(face), trained).run(tmp_path / "one")
    error = read(tmp_path / "out", "specular_albedo") - read(tmp_path / "one", "specular_albedo")
    assert error.abs().max() < 2 / 255  # measured on two strips, not on all of the map


def test_fused_translators_with_norms_need_live_statistics(tmp_path, face):
    trained = translators(folder=tmp_path, norm="instance")
    refused_job = {"fused": True, "window": 84}
    with pytest.raises(InputError, match="--statistics thumbnail with --fused"):
        Job(Subject(face), trained, **refused_job)
    Job(Subject(face), trained, statistics="live", overlap=16, **refused_job)
    with pytest.raises(InputError, match="--tolerance 8-bit with --fused"):
        Job(Subject(face), translators(folder=tmp_path), tolerance="8-bit", **refused_job)
