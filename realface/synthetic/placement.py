"""Where procedural subjects lie and how large they are, without making their maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from realface.synthetic import head
from realface.synthetic.lattice import Window, texel_grid
from realface.synthetic.regions import mask_distance
from realface.synthetic.traits import draw_traits

_ROWS, _COLUMNS = 64, 96
"""Of the coarse map that is measured."""

_AROUND = 0.08
"""Share of the coarse map's texels around the median whose mean stands for it: its rows are 3 mm
apart, and with this the median is within half a millimetre of the full map's."""


@dataclass(frozen=True)
class Placements:
    """Of a batch of subjects.

    Attributes:
        centres: Median position over the mask [mm], ``(B, 3)``.
        stretch: Millimetres on the surface for one on the chart, median over the mask, ``(B,)``.
    """

    centres: Tensor
    stretch: Tensor


def placements(seeds: Sequence[int], device: torch.device | str = "cpu") -> Placements:
    """Measure subjects on a coarse map.

    Args:
        seeds: Which faces; not negative.
        device: Where to compute.
    """
    device = torch.device(device)
    traits = draw_traits(seeds, device)
    grid = texel_grid(_COLUMNS, [(0, 0, _ROWS, _COLUMNS)] * len(seeds), device)
    shape = head.position(grid, *head.warped(grid, traits), traits)
    here = shape[..., :-1, :-1]
    across, down = shape[..., :-1, 1:] - here, shape[..., 1:, :-1] - here
    area = torch.linalg.cross(across, down, dim=1).norm(dim=1)
    # Found on the CPU, so that sizes are known there; the mask is the same for every subject.
    coarse = texel_grid(_COLUMNS, [(0, 0, _ROWS, _COLUMNS)], torch.device("cpu"))
    valid = mask_distance(coarse)[0] > 0
    inner = valid[:-1, :-1].flatten().nonzero()[:, 0].to(device)
    points = valid.flatten().nonzero()[:, 0].to(device)
    return Placements(
        _middle(shape.flatten(2)[..., points]),
        _middle(area.flatten(1)[:, inner]).sqrt() / grid.texel,
    )


def _middle(values: Tensor) -> Tensor:
    """Median over the last dimension, of which few values are there: the mean around it."""
    count = values.shape[-1]
    kept = max(1, round(_AROUND * count))
    first = (count - kept) // 2
    return values.sort(dim=-1).values[..., first : first + kept].mean(dim=-1)


def valid_share(width: int, window: Window) -> float:
    """Share of a window that lies inside the mask, which is the same for every subject.

    Args:
        width: Of the whole map [texels].
        window: ``(y, x, height, width)`` within it.

    Returns:
        In [0, 1], from at most 33 x 33 texels spread over the window.
    """
    grid = texel_grid(width, [window], torch.device("cpu"))
    return float((mask_distance(grid.thinned(32)) > 0).float().mean())
