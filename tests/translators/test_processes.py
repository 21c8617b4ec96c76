"""Several processes train what one would: the same samples in a step, the same weights after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from realface.data.packing.pack import pack
from tests.faces import write_face

HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ddp")
    for number in range(3):
        write_face(folder / "faces" / f"face-{number}")
    pack(folder / "faces", folder / "shards", patch=32, stride=16)
    return folder / "shards"


def run(shards: Path, out: Path, *flags: str) -> dict[int, dict]:
    out.mkdir()
    command = [sys.executable, "-m", "tests.translators.ddp_run", str(shards), str(out), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        int(path.stem[-1]): torch.load(path, weights_only=True) for path in out.glob("rank-*.pt")
    }


def same(one: dict, other: dict) -> None:
    for name, value in one["state"].items():
        torch.testing.assert_close(other["state"][name], value, atol=1e-9, rtol=1e-6, msg=name)


@pytest.mark.slow
def test_two_processes_of_one_are_one_process_of_two(shards, tmp_path):
    one = run(shards, tmp_path / "one", "--batch=2")[0]
    two = run(shards, tmp_path / "two", "--processes=2", "--batch=1")
    assert one["steps"] == two[0]["steps"] == 2 * 2 * 4  # optimisers, epochs, steps
    for name, value in two[0]["state"].items():
        assert torch.equal(two[1]["state"][name], value)
    same(one, two[0])
    torch.testing.assert_close(two[0]["psnr"], one["psnr"], atol=1e-4, rtol=0)
    assert two[1]["psnr"] == two[0]["psnr"]


@pytest.mark.slow
def test_accumulated_batches_are_one_large_one(shards, tmp_path):
    large = run(shards, tmp_path / "large", "--batch=4")[0]
    parts = run(shards, tmp_path / "parts", "--batch=1", "--accumulate=4")[0]
    assert large["steps"] == parts["steps"] == 2 * 2 * 2
    same(large, parts)
    both = run(shards, tmp_path / "both", "--processes=2", "--batch=1", "--accumulate=2")
    same(large, both[0])


@pytest.mark.slow
def test_a_penalty_in_every_other_step_keeps_processes_together(shards, tmp_path):
    """Its gradients are of the same backward pass: nothing waits, nothing is sent twice."""
    two = run(shards, tmp_path / "two", "--processes=2", "--batch=1", "--penalty")
    for name, value in two[0]["state"].items():
        assert torch.equal(two[1]["state"][name], value)
    assert two[0]["r1"] > 0
    assert two[0]["r1"] != two[1]["r1"]  # of their own samples
