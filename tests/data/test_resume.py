"""A run that is killed and started again sees what it would have seen, each sample once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from realface.data.order import steps_of
from realface.data.shard_set import open_shards

HERE = Path(__file__).parents[2]


def run(shards: Path, folder: Path, *flags: str) -> int:
    command = [sys.executable, "-m", "tests.data.resume_run", str(shards), str(folder), *flags]
    # In a session of its own: the run kills all of its processes.
    done = subprocess.run(
        command, cwd=HERE, start_new_session=True, capture_output=True, timeout=300, check=False
    )
    if done.returncode > 0:
        raise AssertionError(done.stderr.decode()[-3000:])
    return done.returncode


def seen(folder: Path, rank: int) -> list[tuple[int, int, tuple[str, ...]]]:
    lines = (folder / f"seen-{rank}.jsonl").read_text().splitlines()
    return [(epoch, step, tuple(keys)) for epoch, step, keys in map(json.loads, lines)]


def check(whole: Path, killed: Path, shards: Path, processes: int) -> None:
    train = open_shards([str(shards)]).samples("train")
    steps = steps_of(len(train), 2, processes)
    everything: list[tuple[int, str]] = []
    for rank in range(processes):
        first = seen(whole, rank)
        assert seen(killed, rank) == first
        assert [at[:2] for at in first] == [(e, s) for e in range(2) for s in range(steps)]
        everything += [(epoch, key) for epoch, _, keys in first for key in keys]
    assert set(Counter(everything).values()) == {1}  # in its epoch
    assert len(everything) == 2 * steps * 2 * processes


def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "whole", tmp_path / "killed"
    for folder in made:
        folder.mkdir()
    return made


@pytest.mark.slow
def test_one_process_killed_again_and_again(shards, tmp_path):
    whole, killed = folders(tmp_path)
    assert run(shards, whole) == 0
    total = len(seen(whole, 0))
    for batches in (1, 4, total // 2 - 3):  # within the first epoch, then into the second
        assert run(shards, killed, f"--die-before={batches}") < 0
    assert run(shards, killed, "--workers=2") == 0  # and with other workers
    check(whole, killed, shards, 1)


@pytest.mark.slow
def test_two_processes(shards, tmp_path):
    whole, killed = folders(tmp_path)
    assert run(shards, whole, "--processes=2") == 0
    assert run(shards, killed, "--processes=2", "--die-before=3") < 0
    assert run(shards, killed, "--processes=2") == 0
    check(whole, killed, shards, 2)


@pytest.mark.slow
def test_another_number_of_processes_is_refused_in_mid_epoch(shards, tmp_path):
    assert run(shards, tmp_path, "--die-before=3") < 0
    with pytest.raises(AssertionError, match="middle of an epoch with processes 1"):
        run(shards, tmp_path, "--processes=2")
