import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realface.errors import FailureError, InputError
from realface.maps.encoding import unit
from realface.maps.files import read_image, write_image
from realface.maps.io import MapFile, decode, encode, require_object_space, tight_range
from realface.maps.kinds import KINDS
from realface.maps.record import SIGNED_RANGE, Range, default_record
from realface.maps.spaces import flip_green
from realface.maps.subject import Subject
from realface.maps.writers import ImageWriter, TiffWriter, open_writer, write_map
from tests.maps.conftest import only_file, pixels


def values_of(kind, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    channels, encoding = KINDS[kind].channels, KINDS[kind].encoding
    if encoding == "unit_vector":
        return unit(torch.randn(channels, height, width, generator=generator))
    if encoding == "position":
        return 100 * torch.rand(channels, height, width, generator=generator) - 30
    return torch.rand(channels, height, width, generator=generator)


def record_for(kind, values, bits=16, file=None, **changes):
    record = default_record(kind, file or f"{kind}.tif", *values.shape[-2:], bits)
    if KINDS[kind].encoding == "position" and bits != 32:
        record = replace(record, range=tight_range(values))
    return replace(record, **changes)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4"])
@pytest.mark.parametrize("kind", KINDS)
def test_decode_undoes_encode(kind, dtype):
    dtype = np.dtype(dtype)
    values = values_of(kind, 13, 17)
    variants = [{}]
    if KINDS[kind].encoding == "unit_vector":
        variants = [{"green": "dx"}, {"space": "tangent"}]
        variants += [{"range": SIGNED_RANGE}] if dtype.kind == "f" else []
    elif not KINDS[kind].is_vector:
        variants = [{"encoding": "srgb"}, {"encoding": "linear"}]
    for changes in variants:
        record = record_for(kind, values, **changes)
        stored = encode(values, KINDS[kind], record, dtype)
        assert stored.dtype == dtype
        assert stored.shape == (13, 17, KINDS[kind].channels)
        half_level = (
            0.5 / np.iinfo(dtype).max
            if dtype.kind == "u"
            else {2: 2.0**-11, 4: 1e-6}[dtype.itemsize]
        )
        half_level *= record.range.scale if record.range else 1.0
        # sRGB stretches dark linear values by up to 12.92; a unit vector is rescaled.
        slack = 13.0 if record.encoding != KINDS[kind].encoding else 1.8
        back = decode(stored, KINDS[kind], record)
        assert (back - values).abs().max() <= slack * half_level + 1e-6
        again = encode(back, KINDS[kind], record, dtype)
        if dtype.kind == "u" and record.encoding == KINDS[kind].encoding and not record.space:
            np.testing.assert_array_equal(again, stored)


def test_srgb_steps_are_half_a_level():
    values = torch.linspace(0, 1, 999).view(1, 1, 999)
    record = record_for("mask", values)
    back = decode(encode(values, KINDS["mask"], record, np.dtype("u1")), KINDS["mask"], record)
    assert (back - values).abs().max() <= 0.5 / 255 + 1e-6


def test_dx_flips_green_and_nothing_else():
    stored = pixels(5, 6, 3, "uint16")
    kind = KINDS["specular_normals"]
    gl = record_for("specular_normals", torch.zeros(3, 5, 6))
    flipped = decode(stored, kind, replace(gl, green="dx"))
    torch.testing.assert_close(flipped, flip_green(decode(stored, kind, gl)))


@pytest.mark.parametrize("dtype", ["u2", "f2", "f4"])
def test_offsets_are_no_unit_vectors(dtype):
    values = torch.rand(3, 5, 6) * 2 - 1
    kind, dtype = KINDS["specular_normals"], np.dtype(dtype)
    record = record_for("specular_normals", values, space="offset")
    back = decode(encode(values, kind, record, dtype), kind, record)
    torch.testing.assert_close(back, values, atol=2e-3, rtol=0)
    with pytest.raises(InputError, match=r"offset of 1\.5"):
        encode(torch.full((3, 2, 2), 1.5), kind, record, dtype)


def test_overshoot_takes_the_end_of_the_range_and_never_wraps():
    values = torch.tensor([-0.5, 0.0, 1.0, 1.5]).view(1, 1, 4)
    stored = encode(values, KINDS["mask"], record_for("mask", values), np.dtype("u2"))
    assert stored.ravel().tolist() == [0, 0, 65535, 65535]


def test_positions_keep_one_scale():
    values = values_of("shape", 8, 9) * torch.tensor((1.0, 3.0, 0.1)).view(3, 1, 1)
    span = tight_range(values)
    stored = (values - torch.tensor(span.offset).view(3, 1, 1)) / span.scale
    assert stored.min() >= 0
    assert stored.max() <= 1 + 1e-6
    assert tight_range(torch.ones(3, 2, 2)).scale > 0


def test_neither_encode_nor_decode_touches_its_argument(tmp_path):
    values = values_of("diffuse_albedo", 4, 4)
    before = values.clone()
    encode(values, KINDS["diffuse_albedo"], record_for("diffuse_albedo", values), np.dtype("u2"))
    assert torch.equal(values, before)
    write_image(tmp_path / "mask.exr", pixels(4, 4, 1, "float32"))
    record = default_record("mask", "mask.exr", 4, 4, 32)
    file = MapFile(tmp_path / "mask.exr", KINDS["mask"], record)
    first = file.whole().clone()
    file.whole().zero_()
    assert torch.equal(file.whole(), first)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_window_is_a_crop_of_the_whole(subject_folder, data):
    subject = Subject(subject_folder)
    kind = data.draw(st.sampled_from(sorted(subject.record.maps)))
    file = subject.open(kind)
    height, width = data.draw(st.integers(1, 96)), data.draw(st.integers(1, 144))
    y, x = data.draw(st.integers(0, 96 - height)), data.draw(st.integers(0, 144 - width))
    window = file.read(y, x, height, width)
    assert torch.equal(window, file.whole()[:, y : y + height, x : x + width])
    assert window.dtype == torch.float32


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, -1, 4, 4), (93, 0, 4, 4), (0, 141, 4, 4)])
def test_a_window_outside_is_refused(subject_folder, window):
    with pytest.raises(ValueError, match="leaves the map of 96x144"):
        Subject(subject_folder).open("shape").read(*window)


def test_channels_are_converted_in_the_open(tmp_path, caplog):
    def opened(kind, image, suffix=".png"):
        write_image(tmp_path / f"map{suffix}", image)
        record = default_record(kind, f"map{suffix}", *image.shape[:2], 16)
        return MapFile(tmp_path / f"map{suffix}", KINDS[kind], record).whole()

    grey = pixels(4, 5, 1, "uint16")
    assert opened("diffuse_albedo", grey).shape == (3, 4, 5)
    assert "grey, read as three equal channels" in caplog.text
    colour = pixels(4, 5, 3, "uint16")
    torch.testing.assert_close(
        opened("mask", colour)[0],
        torch.from_numpy(np.rint(colour.mean(axis=2)) / 65535).float(),
    )
    assert "coloured, read as the mean" in caplog.text
    caplog.clear()
    assert opened("mask", np.repeat(grey, 3, axis=2)).shape == (1, 4, 5)
    assert opened("texture", np.dstack((colour, np.full((4, 5), 65535, "u2")))).shape == (3, 4, 5)
    assert caplog.text == ""
    opened("texture", pixels(4, 5, 4, "uint16"))
    assert "alpha channel is left out" in caplog.text
    with pytest.raises(InputError, match="1 channel"):
        opened("specular_normals", grey)


def test_a_file_of_another_size_than_its_record(tmp_path):
    write_image(tmp_path / "mask.png", pixels(4, 5, 1, "uint8"))
    with pytest.raises(InputError, match=r"4x5 \(height x width\)\n.*5x5, as subject.json"):
        MapFile(tmp_path / "mask.png", KINDS["mask"], default_record("mask", "mask.png", 5, 5, 8))


def test_tangent_space_is_refused_with_the_command_that_converts():
    values = torch.zeros(3, 4, 4)
    record = record_for("specular_normals", values, space="tangent")
    with pytest.raises(
        InputError, match=r"realface add SUBJECT specular_normals .*--space tangent"
    ):
        require_object_space(Path("n.tif"), KINDS["specular_normals"], record)
    require_object_space(Path("n.tif"), KINDS["specular_normals"], replace(record, space="object"))


@pytest.mark.parametrize(
    ("name", "bits", "good"),
    [("a.tif", 8, True), ("a.TIFF", 16, True), ("a.png", 16, True), ("a.exr", 32, True),
     ("a.exr", 16, True), ("a.exr", 8, False), ("a.png", 32, False), ("a.jpg", 8, False),
     ("a.tif", 32, False)],
)  # fmt: skip
def test_what_can_be_written(tmp_path, name, bits, good):
    values = values_of("diffuse_albedo", 6, 7)
    record = record_for("diffuse_albedo", values, bits=bits, file=name)
    if not good:
        with pytest.raises(InputError, match=f"{bits} bits"):
            open_writer(tmp_path / name, "diffuse_albedo", record)
        assert only_file(tmp_path) == []
        return
    write_map(tmp_path / name, "diffuse_albedo", record, values)
    assert only_file(tmp_path) == [name]
    assert read_image(tmp_path / name).dtype.itemsize * 8 == bits
    back = MapFile(tmp_path / name, KINDS["diffuse_albedo"], record).whole()
    assert (back - values).abs().max() <= {8: 0.002, 16: 5e-4, 32: 1e-6}[bits]


def test_exr_holds_vectors_as_they_are(tmp_path):
    values = values_of("specular_normals", 6, 7)
    record = record_for("specular_normals", values, bits=32, file="specular_normals.exr")
    write_map(tmp_path / "specular_normals.exr", "specular_normals", record, values)
    stored = read_image(tmp_path / "specular_normals.exr")
    assert stored.min() < -0.5
    np.testing.assert_allclose(stored, values.permute(1, 2, 0).numpy(), atol=1e-6)


def windows(height, width, rows, columns):
    """A grid of windows that covers a map once."""
    return [
        (y, x, min(rows, height - y), min(columns, width - x))
        for y in range(0, height, rows)
        for x in range(0, width, columns)
    ]


@pytest.mark.parametrize("writer", ["tif", "png", "exr"])
def test_image_and_tiff_writers_refuse_what_does_not_fit(tmp_path, writer):
    path = tmp_path / f"mask.{writer}"
    record = default_record("mask", path.name, 20, 30, 16)
    with pytest.raises(ValueError, match="leaves the map"), open_writer(path, "mask", record) as w:
        w.write(10, 0, torch.zeros(1, 11, 30))
    with (
        pytest.raises(ValueError, match="not \\(1, h, w\\)"),
        open_writer(path, "mask", record) as w,
    ):
        w.write(0, 0, torch.zeros(3, 20, 30))
    with pytest.raises(FailureError, match="never written"), open_writer(path, "mask", record) as w:
        w.write(0, 0, torch.zeros(1, 20, 29))
    with pytest.raises(KeyboardInterrupt), open_writer(path, "mask", record) as w:  # noqa: PT012
        w.write(0, 0, torch.zeros(1, 20, 30))
        raise KeyboardInterrupt
    assert only_file(tmp_path) == []


@pytest.mark.parametrize("writer", ["png", "exr"])
def test_image_writer_takes_windows_in_any_order(tmp_path, writer):
    values = values_of("diffuse_albedo", 50, 70)
    record = record_for("diffuse_albedo", values, file=f"a.{writer}")
    with open_writer(tmp_path / f"a.{writer}", "diffuse_albedo", record) as sink:
        assert isinstance(sink, ImageWriter)
        for y, x, h, w in reversed(windows(50, 70, 16, 33)):
            sink.write(y, x, values[:, y : y + h, x : x + w])
    back = MapFile(tmp_path / f"a.{writer}", KINDS["diffuse_albedo"], record).whole()
    assert (back - values).abs().max() < 3e-4


def test_range_of_records_reaches_the_file(tmp_path):
    values = values_of("shape", 9, 9)
    record = record_for("shape", values)
    assert isinstance(record.range, Range)
    write_map(tmp_path / "shape.tif", "shape", record, values)
    back = MapFile(tmp_path / "shape.tif", KINDS["shape"], record).whole()
    assert (back - values).abs().max() <= 0.51 * record.range.scale / 65535 + 1e-5


def test_logging_is_all_that_a_read_says(subject_folder, capsys):
    logging.getLogger("realface").setLevel(logging.INFO)
    Subject(subject_folder).open("mask").whole()
    assert capsys.readouterr().out == ""


def test_open_writer_gives_tiff_its_writer(tmp_path):
    record = default_record("mask", "mask.tif", 8, 8, 8)
    with open_writer(tmp_path / "mask.tif", "mask", record) as sink:
        assert isinstance(sink, TiffWriter)
        sink.write(0, 0, torch.ones(1, 8, 8))
