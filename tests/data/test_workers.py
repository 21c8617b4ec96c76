"""Tasks in this process and in others: the same results, in order, on one thread each."""

import os

import pytest
import torch

from realface.data.workers import cores, run_tasks


def task(number, step):
    step()
    step()
    return number * number, torch.get_num_threads(), os.getpid()


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("items", "workers"), [(5, 1), (1, 4), (0, 4), pytest.param(5, 2, marks=pytest.mark.slow)]
)
def test_results_come_in_order_from_one_thread_each(three_threads, items, workers):
    told = []
    found = run_tasks(task, range(items), workers, told.append)
    assert [square for square, _, _ in found] == [number**2 for number in range(items)]
    assert {threads for _, threads, _ in found} <= {1}
    assert told == sorted(told)
    assert not items or told[-1] == 2 * items
    here = {process == os.getpid() for _, _, process in found}
    assert here <= {min(items, workers) < 2}  # nothing is started for one task
    assert torch.get_num_threads() == 3


def test_what_a_task_raises_leaves_the_callers_threads(three_threads):
    with pytest.raises(ZeroDivisionError):
        run_tasks(lambda number, step: 1 / number, [1, 0], 1, lambda steps: None)
    assert torch.get_num_threads() == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind")
def test_cores_that_belong_to_others_do_not_count():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)
