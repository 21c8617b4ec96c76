import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import imagecodecs
import pytest

from realface.data.verify import verify
from realface.errors import InputError


@pytest.fixture
def copy(shards, tmp_path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def rewrite(folder: Path, name: str, contents: dict[str, bytes]) -> None:
    """A shard with other members, its index made to fit."""
    with tarfile.open(folder / name, "w") as tar:
        for member, data in contents.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    index = json.loads((folder / "index.json").read_text())
    for shard in index["shards"]:
        if shard["file"] == name:
            data = (folder / name).read_bytes()
            shard |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "index.json").write_text(json.dumps(index))


def only(faults: list[str], *words: str) -> None:
    assert faults
    for word in words:
        assert any(word in fault for fault in faults), faults


def test_what_was_packed_is_well(copy):
    seen = []
    assert verify(copy, lambda *at: seen.append(at)) == []
    assert seen[-1][0] == seen[-1][1] == len(seen)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_flipped_bit(copy, share):
    data = bytearray((copy / "train-000001.tar").read_bytes())
    data[int(share * len(data))] ^= 4
    (copy / "train-000001.tar").write_bytes(data)
    only(verify(copy), "train-000001.tar: its SHA-256")


def test_a_missing_shard_and_one_too_many(copy):
    (copy / "train-000001.tar").rename(copy / "train-999999.tar")
    assert verify(copy) == ["train-000001.tar: missing", "train-999999.tar: not in index.json"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_shard(copy, share):
    data = (copy / "train-000000.tar").read_bytes()
    (copy / "train-000000.tar").write_bytes(data[: int(share * len(data))])
    faults = verify(copy)
    only(faults, "train-000000.tar: its SHA-256")
    if share < 0.8:
        only(faults, "train-000000.tar: broken after", "index.json says 5")


def test_a_truncated_shard_that_the_index_calls_whole(copy):
    data = members(copy / "val-000000.tar")
    keep = list(data)[: len(data) // 2]
    rewrite(copy, "val-000000.tar", {name: data[name] for name in keep})
    only(verify(copy), "index.json says")


def test_a_missing_kind(copy):
    data = members(copy / "train-000000.tar")
    first = next(name for name in data if name.endswith("shape.png"))
    del data[first]
    rewrite(copy, "train-000000.tar", data)
    faults = verify(copy)
    assert len(faults) == 1
    only(faults, "shape is missing", first.split(".")[0])


def test_a_damaged_image_in_a_whole_tar(copy):
    data = members(copy / "train-000000.tar")
    name = next(name for name in data if name.endswith("diffuse_albedo.png"))
    rewrite(copy, "train-000000.tar", data | {name: data[name][:-50]})
    faults = verify(copy)
    assert len(faults) == 1
    only(faults, name.split(".")[0])


def test_a_key_in_two_shards_and_twice_in_one(copy):
    data = members(copy / "train-000000.tar")
    other = members(copy / "train-000001.tar")
    key = next(iter(data)).split(".")[0]
    twin = {name: value for name, value in data.items() if name.startswith(key + ".")}
    rewrite(copy, "train-000001.tar", other | twin)
    only(verify(copy), f"train-000001.tar: key {key} occurs twice", "6 samples, index.json says 5")


def test_normals_without_length(copy):
    data = members(copy / "train-000000.tar")
    name = next(name for name in data if name.endswith("specular_normals.png"))
    pixels = imagecodecs.png_decode(data[name])
    pixels[12, 12] = 32768
    mask = name.replace("specular_normals", "mask")
    full = imagecodecs.png_encode(imagecodecs.png_decode(data[mask]) * 0 + 65535)
    bad = imagecodecs.png_encode(pixels)
    rewrite(copy, "train-000000.tar", data | {name: bytes(bad), mask: bytes(full)})
    only(verify(copy), "specular_normals has 1 vectors that are not of unit length")


def test_a_folder_without_an_index(tmp_path, copy):
    with pytest.raises(InputError, match=r"index\.json"):
        verify(tmp_path / "nowhere")
    for change in ({"version": 7}, {"shards": [{}]}, {"shards": 3}, {"kinds": None}):
        index = json.loads((copy / "index.json").read_text()) | change
        if change == {"kinds": None}:
            del index["kinds"]
        (tmp_path / "index.json").write_text(json.dumps(index))
        with pytest.raises(InputError, match=r"index\.json"):
            verify(tmp_path)
    (tmp_path / "index.json").write_text("[1]")
    with pytest.raises(InputError, match=r"index\.json"):
        verify(tmp_path)
