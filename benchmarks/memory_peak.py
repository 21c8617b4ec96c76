"""How much memory this process holds and has held, where the system tells it."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def memory_now() -> int:
    """Resident set [bytes]; and the peak starts anew from it, where the system can do that."""
    if not _STATUS.exists():
        return 0
    Path("/proc/self/clear_refs").write_text("5")
    return _read("VmRSS")


def memory_peak() -> int:
    """Largest resident set since `memory_now` [bytes]; on other systems than Linux, ever."""
    if _STATUS.exists():
        return _read("VmHWM")
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _read(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
