"""How long a stage's windows take on the device at hand."""

import time
from collections.abc import Callable

import torch

from realface.errors import InputError
from realface.maps.kinds import KINDS
from realface.networks.channels import source_kind
from realface.pipeline.chain import Precision
from realface.pipeline.stages import Stage
from realface.tiling.plan import Plan

SIDES = (256, 384, 512, 768, 1024, 1536, 2048)
"""Of the windows that are tried [px]."""

_LARGER, _WASTEFUL = 3072, 1.5
"""A window that is tried where the largest of these computes each pixel so often."""


def feasible(lay: Callable[[int], Plan]) -> list[Plan]:
    """The different plans of all sides that the network's margin and the map leave.

    Args:
        lay: From the side of a window to the plan.

    Raises:
        InputError: If there is none.
    """
    plans: list[Plan] = []
    refusal: InputError | None = None
    for side in (*SIDES, _LARGER):
        if side == _LARGER and plans and plans[-1].redundancy < _WASTEFUL:
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
    """Times one batch of windows of random maps, after one that warms up [s].

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
        durations = []
        for _ in range(2):
            _wait(device)
            started = time.perf_counter()
            stage.chain(maps, precision)
            _wait(device)
            durations.append(time.perf_counter() - started)
        return durations[-1]

    return seconds


def _wait(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
