"""Whether windows can be seen in a stitched map."""

import math
from collections.abc import Sequence

from torch import Tensor

from realface.errors import InputError
from realface.tiling.plan import Plan


def seam_lines(plan: Plan) -> tuple[list[int], list[int]]:
    """Where what is kept of a window begins or ends inside the map.

    Args:
        plan: The plan that the map was stitched by.

    Returns:
        Rows and columns [px], sorted; a line at ``k`` lies between pixels ``k - 1`` and ``k``.
        Both are empty for a single window.
    """
    return _inside(plan.kept_rows, plan.size[0]), _inside(plan.kept_columns, plan.size[1])


def seam_ratio(stitched: Tensor, reference: Tensor, plan: Plan) -> float:
    """Mean step across the window borders, as a multiple of the whole-image result's there.

    One means that window borders do not show. It does not mean that the windows agreed: blending
    can smear a wrong tone without a step. ``Stitched.disagreement`` measures that.

    Args:
        stitched: The map made of windows, ``(..., H, W)``, of the plan's size.
        reference: The same map made in one piece, same shape and units.
        plan: The plan that ``stitched`` was stitched by.

    Returns:
        Mean absolute difference across ``seam_lines`` in ``stitched`` over that in ``reference``.
        1.0 if there are no such lines or both are flat there; infinity if only the reference is.

    Raises:
        InputError: If a map is not of the plan's size, or their shapes differ.
    """
    if stitched.shape != reference.shape or tuple(stitched.shape[-2:]) != tuple(plan.size):
        raise InputError(
            f"maps of shape {tuple(stitched.shape)} and {tuple(reference.shape)}",
            f"two maps of one shape, {plan.size[0]}x{plan.size[1]} (height x width)",
            "compare a map with the whole-image result of the same subject and plan",
        )
    rows, columns = seam_lines(plan)
    if not rows and not columns:
        return 1.0
    ours, theirs = _step(stitched, rows, columns), _step(reference, rows, columns)
    if theirs == 0:
        return 1.0 if ours == 0 else math.inf
    return ours / theirs


def _inside(windows: Sequence[tuple[int, int]], size: int) -> list[int]:
    return sorted({edge for window in windows for edge in window} - {0, size})


def _step(values: Tensor, rows: list[int], columns: list[int]) -> float:
    """Mean absolute difference of the pixels on both sides of the lines."""
    steps = [values[..., row, :] - values[..., row - 1, :] for row in rows]
    steps += [values[..., column] - values[..., column - 1] for column in columns]
    total = sum(float(step.abs().double().sum()) for step in steps)
    return total / sum(step.numel() for step in steps)
