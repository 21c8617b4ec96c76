import math

import pytest

from realface.tiling.plan import exact_plan
from realface.tiling.tune import fastest

SIDES = (128, 256, 512, 1024)
PLANS = [exact_plan((8192, 8192), margin=8, window=side) for side in SIDES]


class Machine:
    """Takes times in turn for a plan's batches; what it was asked is kept."""

    def __init__(self, seconds):
        self.seconds, self.asked = seconds, []

    def __call__(self, plan):
        self.asked.append(plan)
        return self.seconds(plan, self.asked.count(plan))


def per_pixel(plan, cost=1e-5):
    return plan.window[0] * plan.window[1] * cost


def test_the_least_time_for_the_map_wins():
    slow_when_large = Machine(lambda plan, _: per_pixel(plan) * (3 if plan is PLANS[3] else 1))
    plan, seconds = fastest(PLANS, slow_when_large)
    assert plan is not PLANS[3]
    assert seconds == pytest.approx(per_pixel(plan))
    plan, _ = fastest(PLANS, Machine(lambda plan, _: per_pixel(plan)))
    assert plan is PLANS[-1]  # the least redundancy


def test_neither_the_first_run_nor_one_that_is_disturbed_decides():
    def disturbed(plan, run):
        odd = plan is PLANS[0] and run in (1, 3)
        return per_pixel(plan, 1e-6 if plan is PLANS[0] else 1e-5) * (50 if odd else 1)

    machine = Machine(disturbed)
    plan, seconds = fastest(PLANS, machine)
    assert plan is PLANS[0]
    assert seconds == pytest.approx(per_pixel(plan, 1e-6))
    assert machine.asked.count(plan) > 5


@pytest.mark.parametrize("side", [2048, 8192])
def test_measuring_takes_a_share_of_the_job(side):
    plans = [exact_plan((side, side), margin=8, window=window) for window in SIDES]
    machine = Machine(lambda plan, _: per_pixel(plan))
    fastest(plans, machine)
    assert (plans[-1] in machine.asked) == (side == 8192)
    whole = min(per_pixel(plan) * plan.windows for plan in plans)
    assert sum(map(per_pixel, machine.asked)) < 0.11 * whole + 2 * per_pixel(plans[0])


@pytest.mark.parametrize(("margin", "taken"), [(8, False), (100, True)])
def test_what_was_not_measured_is_taken_only_where_it_saves_much(margin, taken):
    plans = [exact_plan((2048, 2048), margin=margin, window=window) for window in (512, 2048)]
    machine = Machine(lambda plan, _: per_pixel(plan))
    plan, seconds = fastest(plans, machine)
    assert set(machine.asked) == {plans[0]}
    assert (plan is plans[1]) == taken
    assert seconds == pytest.approx(per_pixel(plan))


def test_windows_that_do_not_fit_into_memory_are_not_taken():
    machine = Machine(lambda plan, _: math.inf if plan in PLANS[2:] else per_pixel(plan))
    plan, seconds = fastest(PLANS, machine)
    assert plan is PLANS[1]
    assert math.isfinite(seconds)
    assert PLANS[3] not in machine.asked
    assert fastest(PLANS, lambda plan: math.inf) == (PLANS[0], math.inf)
