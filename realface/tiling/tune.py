"""The windows that take the least time, by measuring a few."""

import math
import statistics
from collections.abc import Callable, Sequence

from realface.tiling.plan import Plan

_SHARE = 0.1
"""Of the best plan's estimated time that measuring may take, runs that warm up included."""

_ENOUGH = 0.15
"""Time after which a plan is measured well enough [s]; small windows are run again till then."""

_LEVEL = 1.02
"""A larger window is taken for more than 2 % of time only: measurements differ by as much."""

_UNSEEN = 1.5
"""A larger window that was not measured is taken for as much less time only: its pixels may cost
more than those of the last one measured, up to 2.5 times where memory is handed out slowly."""


def fastest(plans: Sequence[Plan], seconds: Callable[[Plan], float]) -> tuple[Plan, float]:
    """The plan with the least time for the whole map.

    Small windows are often faster per pixel, since their activations fit a CPU's cache, and large
    ones carry less margin: neither is known without the network and the machine. Plans are
    measured in the order given, as long as that is likely to take a tenth of what the best one
    would take; the rest are judged by the last measured time per pixel, with caution. The first run
    of a plan warms up, the median of those after it counts.

    Args:
        plans: With rising windows, at least one.
        seconds: Runs a batch of a plan's windows and returns its time [s]; infinite where it does
            not fit into memory, which larger windows then are not asked to.

    Returns:
        The plan, and the time of one batch of it [s], estimated where it was not measured;
        infinite where not even the first plan fits.
    """
    best, spent, rate = None, 0.0, 0.0
    for plan in plans:
        pixels = plan.window[0] * plan.window[1] * min(plan.batch, plan.windows)
        batches, level = -(-plan.windows // plan.batch), _LEVEL
        if best is None or spent + 2 * rate * pixels < _SHARE * best[0]:
            one, taken = _measured(plan, seconds, batches * _SHARE / len(plans))
            spent, rate = spent + taken, one / pixels
        else:
            one, level = rate * pixels, _UNSEEN
        total = one * batches
        if best is None or total * level < best[0]:
            best = total, plan, one
        if math.isinf(one):
            break
    assert best is not None
    return best[1], best[2]


def _measured(plan: Plan, seconds: Callable[[Plan], float], share: float) -> tuple[float, float]:
    """Time of a batch, and what measuring it took, at most ``share`` batches where that is little.

    Returns:
        Median and sum [s].
    """
    warming = seconds(plan)
    if math.isinf(warming):
        return warming, 0.0
    times = [seconds(plan)]
    enough = min(_ENOUGH, share * times[0])
    while len(times) * min(times) < enough:  # as if none had been disturbed
        times.append(seconds(plan))
    return statistics.median(times), warming + sum(times)
