"""Weights: what is written is what is read, and nothing foreign runs or passes."""

import errno
import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from realface.errors import FailureError, InputError
from realface.weights import export_weights, load_checkpoint, load_weights, shipped_weights
from tests.faces import face_batch
from tests.trained import INPUTS, save_checkpoint, translator, write_weights


def inputs() -> dict:
    batch = face_batch(16)
    return {**batch, "texture": batch["diffuse_albedo"]}


@pytest.mark.parametrize("kind", INPUTS)
def test_same_prediction_bit_for_bit_through_checkpoint_and_weights(tmp_path, kind):
    one = translator(kind, metrics={"psnr": 20.0}, millimetres_per_texel=0.07, licence="CC0")
    loaded = load_checkpoint(save_checkpoint(one, tmp_path / "last.ckpt"))
    export_weights(loaded, tmp_path / "weights")
    again = load_weights(tmp_path / "weights")[kind]
    for other in (loaded, again):
        assert torch.equal(other(inputs())[kind], one(inputs())[kind])
        assert replace(other.descriptor) == one.descriptor


def test_export_leaves_two_files_and_no_partial(tmp_path):
    write_weights(tmp_path / "weights", ("specular_albedo",))
    names = sorted(path.name for path in (tmp_path / "weights").iterdir())
    assert names == ["specular_albedo.json", "specular_albedo.safetensors"]


def test_inputs_are_blank_outside_the_mask():
    one, maps = translator("diffuse_albedo"), inputs()
    wild = {**maps, "texture": torch.where(maps["mask"] > 0, maps["texture"], 5.0)}
    assert torch.equal(one(wild)["diffuse_albedo"], one(maps)["diffuse_albedo"])


def test_prediction_of_normals_is_unit_length():
    made = translator("specular_normals")(inputs())["specular_normals"]
    torch.testing.assert_close(made.norm(dim=1), torch.ones(2, 16, 16))


def rewritten(folder, **changed):
    path = folder / "specular_albedo.json"
    about = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"colour": 1}, "unknown keys colour"),
        ({"version": 1}, "version=1"),
        ({"translator": "shoe_size"}, "shoe_size"),
        ({"generator": "diffusion"}, "diffusion"),
        ({"inputs": ["texture", "depth"]}, "in_channels=3"),
        ({"inputs": ["hair"]}, "hair"),
        ({"inputs": 3}, "specular_albedo"),
        ({"multiple_of": 1}, "multiple_of=1"),
        ({"arguments": {"in_channels": 3}}, "out_channels"),
        ({"arguments": {"in_channels": 3, "out_channels": 1, "colour": 3}}, "colour"),
        ({"arguments": None}, "specular_albedo"),
        ({"translator": "../../elsewhere"}, "elsewhere"),
        ({"generator": "os.system"}, "os.system"),
        ({"arguments": {"in_channels": 3, "out_channels": 1, "norm": "eval"}}, "eval"),
        ({"metrics": {"psnr": "31 dB"}}, "metrics="),
        ({"metrics": 3}, "metrics="),
        ({"data": {"terms": ["CC0"]}}, "data="),
        ({"data": "mine"}, "data="),
        ({"licence": {"name": "CC0"}}, "licence="),
        ({"epochs": "many"}, "epochs="),
    ],
)
def test_wrong_descriptor_is_refused_with_file_and_reason(tmp_path, changed, words):
    folder = rewritten(write_weights(tmp_path, ("specular_albedo",)), **changed)
    with pytest.raises(InputError, match=r"specular_albedo\.safetensors") as caught:
        load_weights(folder)
    assert words in caught.value.given


@pytest.mark.parametrize("size", [{"base_channels": 10**6}, {"blocks": 10**9}])
def test_descriptor_of_a_network_beyond_memory_is_refused_at_once(tmp_path, size):
    folder = write_weights(tmp_path, ("specular_albedo",))
    arguments = {**translator("specular_albedo").descriptor.arguments, **size}
    before = time.monotonic()
    with pytest.raises(InputError, match="specular_albedo"):
        load_weights(rewritten(folder, arguments=arguments))
    assert time.monotonic() - before < 5


def test_half_precision_weights_are_widened(tmp_path):
    path = write_weights(tmp_path, ("specular_albedo",)) / "specular_albedo.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    state = load_weights(tmp_path)["specular_albedo"].state()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_other_tensors_than_the_descriptor_says_are_refused(tmp_path):
    write_weights(tmp_path, ("specular_albedo", "diffuse_albedo"))
    os.replace(tmp_path / "diffuse_albedo.safetensors", tmp_path / "specular_albedo.safetensors")
    with pytest.raises(InputError, match="specular_albedo"):
        load_weights(tmp_path)


def test_pair_under_another_translators_name_is_refused(tmp_path):
    write_weights(tmp_path, ("diffuse_normals",))
    for suffix in (".json", ".safetensors"):
        os.replace(tmp_path / f"diffuse_normals{suffix}", tmp_path / f"specular_normals{suffix}")
    with pytest.raises(InputError, match="descriptor is of diffuse_normals"):
        load_weights(tmp_path)


@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.99])
def test_truncated_weights_are_refused(tmp_path, kept):
    path = write_weights(tmp_path, ("specular_albedo",)) / "specular_albedo.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(InputError, match="export the weights again"):
        load_weights(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"translator": "diffuse_albedo"}'])
def test_unreadable_descriptor_is_refused(tmp_path, text):
    write_weights(tmp_path, ("specular_albedo",))
    (tmp_path / "specular_albedo.json").write_text(text)
    with pytest.raises(InputError, match="specular_albedo"):
        load_weights(tmp_path)


def test_missing_descriptor_and_missing_folder_are_refused(tmp_path):
    write_weights(tmp_path, ("specular_albedo",))
    (tmp_path / "specular_albedo.json").unlink()
    with pytest.raises(InputError, match="descriptor"):
        load_weights(tmp_path)
    with pytest.raises(InputError, match="weights export"):
        load_weights(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_truncated_checkpoint_is_refused(tmp_path, kept):
    path = save_checkpoint(translator("specular_albedo"), tmp_path / "last.ckpt")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match=r"last\.ckpt"):
        load_checkpoint(path)


def test_missing_checkpoint_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.ckpt", tmp_path):
        with pytest.raises(InputError, match="check the path"):
            load_checkpoint(path)


def test_checkpoint_without_descriptor_or_with_other_tensors_is_refused(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="no entry 'descriptor'"):
        load_checkpoint(path)
    save_checkpoint(translator("specular_albedo"), path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"].popitem()
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match=r"last\.ckpt"):
        load_checkpoint(path)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_checkpoint_with_code_in_it_does_not_run(tmp_path):
    sprung = tmp_path / "sprung"
    path = save_checkpoint(translator("specular_albedo"), tmp_path / "last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    torch.save({**checkpoint, "callbacks": Trap(sprung)}, path)
    with pytest.raises(InputError, match="not plain data") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value)
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert sprung.exists()


def test_pickle_under_the_name_of_safetensors_does_not_run(tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "weights" / "specular_albedo.safetensors"
    write_weights(path.parent, ("specular_albedo",))
    path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(InputError, match="specular_albedo"):
        load_weights(path.parent)
    assert not sprung.exists()
    pickle.loads(path.read_bytes())  # the trap is a real one
    assert sprung.exists()


def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    folder = write_weights(tmp_path, ("specular_albedo",))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path, data):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FailureError, match="No space left"):
        export_weights(translator("specular_albedo", seed=1, licence="other"), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_margin_that_is_too_small_is_refused(tmp_path):
    path = export_weights(translator("specular_albedo"), tmp_path)
    about = path.with_suffix(".json")
    told = json.loads(about.read_text())
    for name, value in (("receptive_margin", 3), ("multiple_of", 2)):
        about.write_text(json.dumps({**told, name: value}))
        with pytest.raises(InputError, match=name):
            load_weights(tmp_path)


def test_weights_that_the_package_brings_along(tmp_path, monkeypatch):
    monkeypatch.setattr("realface.weights.package_files", lambda package: tmp_path / package)
    assert shipped_weights() is None
    folder = tmp_path / "realface" / "pretrained"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("none yet")
    assert shipped_weights() is None
    write_weights(folder, ("specular_albedo",))
    assert shipped_weights() == folder
    assert list(load_weights(shipped_weights())) == ["specular_albedo"]
