"""How long a stage's windows take on the device at hand."""

import math
import time
from collections.abc import Callable

import torch

from realface.errors import InputError, is_out_of_memory
from realface.maps.kinds import KINDS
from realface.networks.channels import source_kind
from realface.pipeline.chain import Precision
from realface.pipeline.stages import Stage
from realface.tiling.plan import Plan

SIDES = (256, 384, 512, 768, 1024, 1536, 2048)
"""Of the windows that are tried [px]."""

_LARGER = (3072, 4096, 6144)
"""Tried where none of these fits the network; the first one also where the largest of these
computes each pixel as often as `_WASTEFUL` [px]."""

_WASTEFUL = 1.5


def first_plan(lay: Callable[..., Plan], window: int | None) -> Plan:
    """The plan of the window that was given, or of the usual one; else of the least that fits.

    Args:
        lay: To the plan, without an argument for the usual window, else from ``window``, its side.
        window: Side of the window that was given [px]; None: none was.

    Raises:
        InputError: If there is none; with the usual window's reason.
    """
    if window is not None:
        return lay(window=window)
    try:
        return lay()
    except InputError as refusal:
        try:
            return feasible(lambda side: lay(window=side))[0]
        except InputError:
            raise refusal from None


def feasible(lay: Callable[[int], Plan]) -> list[Plan]:
    """The different plans of all sides that the network's margin and the map leave.

    Args:
        lay: From the side of a window to the plan.

    Raises:
        InputError: If there is none.
    """
    plans: list[Plan] = []
    refusal: InputError | None = None
    for side in (*SIDES, *_LARGER):
        wasteful = side == _LARGER[0] and plans and plans[-1].redundancy >= _WASTEFUL
        if side in _LARGER and plans and not wasteful:
            break
        try:
            plan = lay(side)
        except InputError as error:
            refusal = error
            continue
        if not plans or plan.window != plans[-1].window:
            plans.append(plan)
    if not plans:
        assert refusal is not None
        raise refusal
    return plans


def batch_timer(
    stage: Stage, device: torch.device | str, precision: Precision
) -> Callable[[Plan], float]:
    """Times one batch of windows of random maps [s]; infinite where memory does not suffice.

    Args:
        stage: Its chain is on the device.
        device: Where.
        precision: Of the networks' inner layers.
    """

    @torch.inference_mode()
    def seconds(plan: Plan) -> float:
        shape = (min(plan.batch, plan.windows), 1, *plan.window)
        maps = {kind: torch.rand(shape, device=device) for kind in stage.inputs}
        for kind in maps:
            channels = KINDS[source_kind(kind)].channels
            maps[kind] = maps[kind].expand(-1, channels, -1, -1).contiguous()
        _wait(device)
        started = time.perf_counter()
        stage.chain(maps, precision)
        _wait(device)
        return time.perf_counter() - started

    def guarded(plan: Plan) -> float:
        try:
            return seconds(plan)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return math.inf

    return guarded


def _wait(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
