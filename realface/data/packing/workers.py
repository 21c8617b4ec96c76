"""Tasks in processes of their own, counted together and stopped together."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from typing import Any

import torch

from realface.errors import FailureError, is_out_of_memory

Step = Callable[[], None]
"""What a task calls after each part of its work: it counts, and breaks off what must stop."""

_POLL = 0.1  # seconds between two looks at the count
_MOST = 61  # processes that Windows can wait for at once


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """The process that waits for the task has given up."""


def run_tasks(
    task: Callable[[Any, Step], None],
    items: Sequence[Any],
    workers: int,
    progress: Callable[[int], None],
) -> None:
    """Do a task for every item.

    Args:
        task: Called with an item and a `Step`. With more than one worker, something that can be
            pickled: a function of a module, or a `functools.partial` of one.
        items: Likewise.
        workers: Processes, of one thread each; 1: this process, as it is.
        progress: Called with the steps taken so far by all tasks; what it raises ends the work.

    Raises:
        FailureError: If memory runs out, or a process is killed.
    """
    if workers == 1:
        _run_here(task, items, progress)
    elif items:
        _run_in_processes(task, items, min(workers, len(items), _MOST), progress)


def _run_here(
    task: Callable[[Any, Step], None], items: Sequence[Any], progress: Callable[[int], None]
) -> None:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        progress(steps)

    for item in items:
        with _memory_told():
            task(item, step)


def _run_in_processes(
    task: Callable[[Any, Step], None],
    items: Sequence[Any],
    workers: int,
    progress: Callable[[int], None],
) -> None:
    # Spawned, not forked: forking a process that holds threads can lock up.
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (shared,))
    try:
        with _interrupts_ignored():  # a process that starts inherits this
            waiting = {pool.submit(_run, task, item) for item in items}
        while waiting:
            done, waiting = wait(waiting, _POLL, FIRST_EXCEPTION)
            progress(shared.steps.value)
            for future in done:
                future.result()
    except BrokenProcessPool as error:
        raise FailureError(
            "a worker process that was killed, as systems do when memory runs out",
            f"memory for {workers} processes",
            "run the same command again with fewer workers: it goes on from what is whole",
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


def _run(task: Callable[[Any, Step], None], item: Any) -> None:
    with _memory_told():
        task(item, _shared.step)


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
            "run the same command again with fewer workers: it goes on from what is whole",
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
