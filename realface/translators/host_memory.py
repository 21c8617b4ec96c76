"""Memory of the host, as training on a CPU uses it."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the next step, for the whole process.

    A training step on a CPU frees and asks again for hundreds of large tensors. By default glibc
    hands each back to the system and gets it anew, and the system clears every page of it: some
    350,000 page faults in a step of the paper's networks, a sixth to a quarter of its time
    (`benchmarks/training.py`). What the process holds does not shrink afterwards.

    Returns:
        Whether it is so now: False where the C library is not glibc or refuses.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, -1) and mallopt(_MMAP_MAX, 0))
