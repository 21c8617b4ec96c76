"""Freed memory that stays with the process."""

import platform
import subprocess
import sys

import pytest

_COUNT = """
import resource
import sys

import torch
from realface.host_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
torch.zeros(1 << 26)  # a step: what the next one takes of it is there already
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    torch.zeros(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_tensors_of_the_next_step_need_no_new_pages() -> None:
    # In processes of their own: the setting cannot be taken back.
    kept, handed_back = (
        int(subprocess.check_output([sys.executable, "-c", _COUNT, how])) for how in ("keep", "no")
    )
    assert kept < handed_back / 3


def test_one_arena_is_had_where_glibc_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from realface.host_memory import share_one_arena as share\n"
         "raise SystemExit(not share())"]
    )  # fmt: skip
    assert (done.returncode == 0) == (platform.libc_ver()[0] == "glibc")
