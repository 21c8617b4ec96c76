"""Memory of the host, as the C library hands it out; nothing happens where that is not glibc."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Have freed memory kept for the next step, for the whole process.

    A training step on a CPU frees and asks again for hundreds of large tensors. By default glibc
    hands each back to the system and gets it anew, and the system clears every page of it: some
    350,000 page faults in a step of the paper's networks, a sixth to a quarter of its time
    (`benchmarks/training.py`), and more than half of the time of small networks on the windows of a
    map (`benchmarks/tiling.py --malloc kept default`). What the process holds does not shrink
    afterwards.

    Returns:
        Whether it is so now: False where the C library is not glibc or refuses.
    """
    return _set(_TRIM_THRESHOLD, -1) and _set(_MMAP_MAX, 0)


def share_one_arena() -> bool:
    """Have all threads that are still to start take memory from one place.

    By default each thread of glibc's has an arena of its own, and tensors that one thread makes and
    another frees leave holes in several of them: over a map of 65536x6144 windows then hold a
    quarter more than over one of 4096x6144 (`benchmarks/streaming.py`).

    Returns:
        As `keep_freed_memory`.
    """
    return _set(_ARENA_MAX, 1)


def _set(name: int, value: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(name, value))
