"""What every test stands on: fixed seeds, one thread, real data where it is there."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from tests.faces import write_face

settings.register_profile("realface", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("realface")

# Tests run side by side on few cores: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    # Left behind by Lightning's seed_everything: trainings would depend on the tests before them.
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global one
    torch.manual_seed(0)


@pytest.fixture
def real_data() -> Path:
    """The folder of real scans; tests that need it are skipped without it."""
    folder = os.environ.get("REALFACE_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("REALFACE_REAL_DATA names no folder of real scans")
    return Path(folder)


@pytest.fixture
def subject_folder(tmp_path) -> Path:
    """A small face in closed form."""
    return write_face(tmp_path / "subject", 96, 144)
