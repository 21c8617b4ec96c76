"""How far normals are off: mean and median angle, and how many lie within a few degrees."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from realface.metrics.angular import angular_error_map

WITHIN = (5, 10, 20)
"""Angles below which texels are counted [degrees]."""

_ROWS = 256  # at a time: an angle needs some ten maps of memory


def angle_shares(
    predicted: Tensor, truth: Tensor, regions: Mapping[str, Tensor]
) -> dict[str, dict[str, float]]:
    """Statistics of the angle between normals, by region.

    Args:
        predicted: Normals of any length, ``(1, 3, H, W)``.
        truth: In the same space, same shape.
        regions: ``(1, 1, H, W)`` bool each.

    Returns:
        For each region that is not empty ``mean_angle`` and ``median_angle`` [degrees], and
        ``within_5``, ``within_10``, ``within_20``: the share of its texels with a smaller angle.
    """
    angles = torch.cat(
        [
            angular_error_map(a, b)
            for a, b in zip(predicted.split(_ROWS, 2), truth.split(_ROWS, 2), strict=True)
        ],
        dim=2,
    )
    return {name: _statistics(angles[region]) for name, region in regions.items() if region.any()}


def _statistics(angles: Tensor) -> dict[str, float]:
    made = {
        "mean_angle": float(angles.mean(dtype=torch.float64)),
        "median_angle": float(angles.median()),
    }
    for limit in WITHIN:
        made[f"within_{limit}"] = float((angles < limit).double().mean())
    return made
