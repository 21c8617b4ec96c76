"""Tasks in processes of their own, counted together and stopped together."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnContext
from typing import Any, TypeVar

import torch

from realface.errors import FailureError, is_out_of_memory

Step = Callable[[], None]
"""What a task calls after each part of its work: it counts, and breaks off what must stop."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Task = Callable[[Item, Step], Result]

_POLL = 0.1  # seconds between two looks at the count
_MOST = 61  # processes that Windows can wait for at once


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """The process that waits for the task has given up."""


def cores() -> int:
    """Processor cores that this process may use: a cluster's job may own few of a machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    task: Task[Item, Result],
    items: Sequence[Item],
    workers: int,
    progress: Callable[[int], None],
) -> list[Result]:
    """Do a task for every item.

    Args:
        task: Called with an item and a `Step`. With more than one worker, something that can be
            pickled: a function of a module, or a `functools.partial` of one.
        items: Likewise.
        workers: Processes, of one torch thread each; 1: this process, with one thread meanwhile.
        progress: Called with the steps taken so far by all tasks; what it raises ends the work.

    Returns:
        What the tasks returned, in the order of the items.

    Raises:
        FailureError: If memory runs out, or a process is killed.
    """
    workers = min(workers, len(items), _MOST)
    if workers > 1:
        _give_memory_back()
        return _run_in_processes(task, items, workers, progress)
    with one_thread():
        return _run_here(task, items, progress)


def _give_memory_back() -> None:
    """Hand what was freed back to the system: the processes need it.

    glibc keeps what threads have freed: 170 MB after the signatures of 300 patches.
    """
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread meanwhile: patches are too small to share, threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run_here(
    task: Task[Item, Result], items: Sequence[Item], progress: Callable[[int], None]
) -> list[Result]:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        progress(steps)

    with _memory_told():
        return [task(item, step) for item in items]


def _run_in_processes(
    task: Task[Item, Result],
    items: Sequence[Item],
    workers: int,
    progress: Callable[[int], None],
) -> list[Result]:
    # Spawned, not forked: forking a process that holds threads can lock up.
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (shared,))
    try:
        with _interrupts_ignored():  # a process that starts inherits this
            futures = [pool.submit(_run, task, item) for item in items]
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, _POLL, FIRST_EXCEPTION)
            progress(shared.steps.value)
            for future in done:
                future.result()
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise FailureError(
            "a worker process that was killed, as systems do when memory runs out",
            f"memory for {workers} processes",
            "run the same command again with fewer workers",
        ) from error
    finally:
        shared.stop.set()
        pool.shutdown(cancel_futures=True)


class _Shared:
    """What the processes have in common: a count of steps, and whether to stop."""

    def __init__(self, context: SpawnContext) -> None:
        self.steps = context.Value("q", 0)
        self.stop = context.Event()

    def step(self) -> None:
        with self.steps.get_lock():
            self.steps.value += 1
        if self.stop.is_set():
            raise _Stopped


_shared: _Shared  # of a worker process; set as it starts


def _start_worker(shared: _Shared) -> None:
    global _shared
    _shared = shared
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process whose parent was killed must not go on writing behind the next run's back."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(task: Callable[[Any, Step], Any], item: Any) -> Any:
    with _memory_told():
        return task(item, _shared.step)


@contextmanager
def _memory_told() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise FailureError(
            f"memory ran out: {error}",
            "memory for what each worker makes",
            "run the same command again with fewer workers",
        ) from error


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C ignored for a moment, where signals can be set: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
