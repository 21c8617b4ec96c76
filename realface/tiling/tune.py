"""The windows that take the least time, by measuring a few."""

from collections.abc import Callable, Sequence

from realface.tiling.plan import Plan

_SHARE = 0.05
"""Of the best plan's estimated time that measuring may take."""

_LEVEL = 1.02
"""A larger window is taken for more than 2 % of time only: measurements differ by as much."""


def fastest(plans: Sequence[Plan], seconds: Callable[[Plan], float]) -> tuple[Plan, float]:
    """The plan with the least time for the whole map.

    Small windows are often faster per pixel, since their activations fit a CPU's cache, and large
    ones carry less margin: neither is known without the network and the machine. Plans are
    measured in the order given, until that has taken a twentieth of what the best one would take;
    the rest are judged by the last measured time per pixel.

    Args:
        plans: With rising windows, at least one.
        seconds: Time of a batch of a plan's windows [s]; each plan is measured once.

    Returns:
        The plan, and the time of one batch of it [s], estimated where it was not measured.
    """
    best, spent, rate = None, 0.0, 0.0
    for plan in plans:
        pixels = plan.window[0] * plan.window[1] * min(plan.batch, plan.windows)
        if best is None or spent < _SHARE * best[0]:
            one = seconds(plan)
            spent, rate = spent + one, one / pixels
        else:
            one = rate * pixels
        total = one * -(-plan.windows // plan.batch)
        if best is None or total * _LEVEL < best[0]:
            best = total, plan, one
    assert best is not None
    return best[1], best[2]
