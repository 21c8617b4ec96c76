"""A subject on disk, and ways to break a disk."""

from pathlib import Path

import numpy as np


def pixels(height: int, width: int, channels: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Random pixels that use the whole range of their type."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, True)
    return rng.normal(0, 10, (height, width, channels)).astype(dtype)


def only_file(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
