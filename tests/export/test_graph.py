"""Graphs: of every form of generator, at every size, what the generator does."""

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

import realface
from realface.errors import FailureError, InputError
from realface.export.graph import DESCRIPTOR, read_program, traced, write_program
from realface.export.onnx_graph import check_packages, check_size, read_onnx, write_onnx
from realface.export.parity import TOLERANCE
from tests.export.generators import generator

FORMS = [
    ("global", {"norm": "instance", "upsampling": "transposed", "residual_channels": None}),
    ("global", {"norm": "none", "upsampling": "resize", "residual_channels": [3, None, 0]}),
    ("local", {"norm": "instance", "upsampling": "resize", "residual_channels": [0, 1, 2]}),
    ("local", {"norm": "none", "upsampling": "transposed", "residual_channels": None}),
    ("unet", {"norm": "position", "residual_channels": [3, None, 0]}),
    ("unet", {"norm": "batch_renorm", "residual_channels": None}),
]
ABOUT = json.dumps({"translator": "diffuse_albedo"})


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """One generator's ONNX and torch.export files."""
    folder = tmp_path_factory.mktemp("graphs")
    program = traced(generator())
    write_onnx(program, ABOUT, folder / "one.onnx")
    write_program(program, ABOUT, folder / "one.pt2")
    return folder / "one.onnx", folder / "one.pt2"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_graphs_do_what_the_generator_does_at_any_size(tmp_path, name, form):
    one = generator(name, 4, 3, **form)
    program = traced(one)
    write_onnx(program, ABOUT, tmp_path / "one.onnx")
    write_program(program, ABOUT, tmp_path / "one.pt2")
    networks = read_onnx(tmp_path / "one.onnx"), read_program(tmp_path / "one.pt2")
    least, step = one.minimum_size, one.multiple_of
    for batch, height, width in ((1, least, least + 2 * step), (5, least + 7 * step, least)):
        channels = 2 * torch.rand(batch, 4, height, width) - 1
        expected = one(channels)
        assert expected.std() > 0.1
        for network in networks:
            torch.testing.assert_close(network(channels), expected, atol=TOLERANCE, rtol=0)


def test_names_and_axes_of_the_onnx_graph(files):
    session = onnxruntime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("channels", ["batch", 3, "height", "width"])
    assert (made.name, made.shape) == ("result", ["batch", 1, "height", "width"])


def test_onnx_is_valid_and_needs_no_operators_of_its_own(files):
    model = onnx.load(files[0])
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]


def test_descriptor_is_within(files):
    session = onnxruntime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {DESCRIPTOR: ABOUT}
    extra = {DESCRIPTOR: ""}
    with files[1].open("rb") as file:
        torch.export.load(file, extra_files=extra)
    assert extra == {DESCRIPTOR: ABOUT}


def test_nothing_of_this_machine_is_within(files):
    here = str(Path(realface.__file__).parents[1]).encode()
    for path in files:
        assert here not in path.read_bytes()  # torch does not compress .pt2


@pytest.mark.parametrize("size", [(18, 16), (16, 4)])
def test_program_refuses_sizes_that_the_generator_refuses(files, size):
    with pytest.raises(AssertionError, match="Guard failed"):
        read_program(files[1])(torch.zeros(1, 3, *size))


def test_generator_of_one_size_is_refused_with_the_reason():
    one = generator()
    forward = one.forward

    def fixed(x):
        return forward(x) if x.shape[-1] == 16 else forward(x) + 1

    one.forward = fixed
    with pytest.raises(FailureError, match="every batch, height and width") as caught:
        traced(one)
    assert "columns" in caught.value.given


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("realface.export.onnx_graph.find_spec", lambda name: None)
    with pytest.raises(InputError, match="onnx, onnxscript, onnxruntime") as caught:
        check_packages()
    assert caught.value.remedy == 'pip install "realface[export]"'


def test_generator_above_the_limit_of_onnx_is_refused(monkeypatch):
    one = generator()
    check_size(one)
    monkeypatch.setattr("realface.export.onnx_graph.LARGEST", 1000)
    with pytest.raises(InputError, match="--torch-export"):
        check_size(one)
