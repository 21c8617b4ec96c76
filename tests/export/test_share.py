"""Sharing: all files or none, and none that does something else."""

import errno
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from realface.errors import FailureError, InputError
from realface.export.graph import DESCRIPTOR
from realface.export.share import ONNX, TORCH_EXPORT, Shared, share
from realface.weights import Descriptor, load_weights
from tests.export.generators import specular_albedo
from tests.faces import face_batch

PLAIN = ["specular_albedo.json", "specular_albedo.md", "specular_albedo.safetensors"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_weights_descriptor_and_card(tmp_path):
    made = share(specular_albedo(), tmp_path / "weights", note="Bad at beards.")
    assert made == [Shared(tmp_path / "weights" / "specular_albedo.safetensors")]
    assert names(tmp_path / "weights") == PLAIN
    assert "Bad at beards." in (tmp_path / "weights" / "specular_albedo.md").read_text()


def test_graphs_beside_them(tmp_path):
    made = share(specular_albedo(), tmp_path, formats=(ONNX, TORCH_EXPORT))
    assert [one.path.suffix for one in made] == [".safetensors", ".onnx", ".pt2"]
    assert [one.difference is not None for one in made] == [False, True, True]
    assert names(tmp_path) == sorted([*PLAIN, "specular_albedo.onnx", "specular_albedo.pt2"])
    assert set(load_weights(tmp_path)) == {"specular_albedo"}


def test_onnx_between_the_interface_s_two_ends_makes_the_translator_s_maps(tmp_path):
    one, maps = specular_albedo(millimetres_per_texel=0.1), face_batch(24)
    share(one, tmp_path, formats=(ONNX,))
    session = onnxruntime.InferenceSession(
        str(tmp_path / "specular_albedo.onnx"), providers=["CPUExecutionProvider"]
    )
    about = Descriptor.from_json(session.get_modelmeta().custom_metadata_map[DESCRIPTOR])
    assert about == one.descriptor
    channels = about.interface.read(maps, None)
    (raw,) = session.run(["result"], {"channels": channels.numpy()})
    made = about.interface.split(torch.from_numpy(raw))["specular_albedo"]
    torch.testing.assert_close(made, one(maps)["specular_albedo"], atol=1e-5, rtol=0)


def test_graph_that_differs_leaves_what_was_there(tmp_path):
    share(specular_albedo(), tmp_path)
    before = contents(tmp_path)
    other = replace(TORCH_EXPORT, read=lambda path: lambda channels: channels[:, :1])
    with pytest.raises(FailureError, match=r"specular_albedo\.pt2 differs"):
        share(specular_albedo(licence="other"), tmp_path, formats=(other,))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("one", [ONNX, TORCH_EXPORT])
def test_graph_that_its_runtime_refuses_leaves_nothing(tmp_path, one):
    damaged = replace(one, write=lambda program, about, path: path.write_bytes(b"no graph"))
    with pytest.raises(FailureError, match=f"specular_albedo{one.suffix} was written and cannot"):
        share(specular_albedo(), tmp_path, formats=(damaged,))
    assert names(tmp_path) == []


@pytest.mark.parametrize("one", [ONNX, TORCH_EXPORT])
def test_full_disk_leaves_what_was_there(tmp_path, one):
    share(specular_albedo(), tmp_path)
    before = contents(tmp_path)

    def full(program, about, path):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FailureError, match=f"specular_albedo{one.suffix} failed.*No space left"):
        share(specular_albedo(licence="x"), tmp_path, formats=(replace(one, write=full),))
    assert contents(tmp_path) == before


def test_earlier_graph_beside_new_weights_is_told(tmp_path, caplog):
    (tmp_path / "specular_albedo.onnx").write_text("of last year")
    with caplog.at_level("WARNING", logger="realface"):
        share(specular_albedo(), tmp_path)
    assert "specular_albedo.onnx is of an earlier export" in caplog.text
    assert "--onnx" in caplog.text


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "weights").write_text("")
    with pytest.raises(InputError, match="another folder"):
        share(specular_albedo(), tmp_path / "weights")
