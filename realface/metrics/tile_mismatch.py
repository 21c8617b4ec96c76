"""How far a network's windows disagree where they overlap: the step in tone that a norm leaves."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

GREY_LEVELS = 255


class TileMismatch(NamedTuple):
    """Differences between overlapping windows' predictions, in the units of what was predicted.

    Attributes:
        mean: Mean absolute difference, over channels and all texels that two windows share.
        largest: The largest one.
    """

    mean: float
    largest: float

    def grey_levels(self, span: float = 1.0) -> "TileMismatch":
        """The same in grey levels of 255.

        Args:
            span: From the least value to the largest: 1 of an albedo in [0, 1], 2 of a normal's
                component or of a network's channel in [-1, 1].
        """
        scale = GREY_LEVELS / span
        return TileMismatch(self.mean * scale, self.largest * scale)


@torch.no_grad()
def tile_mismatch(
    predict: Callable[[Tensor], Tensor],
    inputs: Tensor,
    window: int,
    overlap: int,
    margin: int = 0,
    mask: Tensor | None = None,
) -> TileMismatch:
    """Mean and largest difference between neighbouring windows' predictions.

    Square windows lie on a grid, ``window - overlap`` apart; each is predicted by itself, as
    inference does, and its neighbours to the right and below are compared with it where they
    overlap. At edges within the map a margin is dropped first: what a window's border reaches is
    another matter, and no norm's. Zero beyond rounding where the norm looks at each texel alone and
    the margin is the network's `measured_margin`.

    Args:
        predict: From ``(1, C, window, window)`` to ``(1, D, window, window)``.
        inputs: A map ``(1, C, H, W)``, H and W at least ``window``; what is left over at its right
            and lower edge is not looked at.
        window: Side of a window [px].
        overlap: Of neighbours [px]; ``window - overlap`` a multiple of the network's stride.
        margin: Dropped at each side of a window that lies within the map [px].
        mask: Where texels count, ``(1, 1, H, W)``, above 0.5; None: everywhere.

    Returns:
        The differences, in the units of the prediction: albedo as encoded in [0, 1], components of
        normals in [-1, 1]; `TileMismatch.grey_levels` converts.

    Raises:
        ValueError: If no texel is shared by two windows.
    """
    step, (height, width) = window - overlap, inputs.shape[-2:]
    two = min(height, width) >= window and max(height, width) >= window + step
    if not (2 * margin < overlap < window and two):
        raise ValueError(
            f"window={window}, overlap={overlap}, margin={margin} on {height}x{width} leave "
            "nothing to compare: overlap by more than twice the margin, on two windows or more"
        )
    total, count, largest = 0.0, 0, 0.0
    for y, x, difference in _differences(predict, inputs, window, step, margin):
        if mask is not None:
            rows, columns = difference.shape[-2:]
            inside = mask[0, 0, y : y + rows, x : x + columns] > 0.5
            difference = difference[..., inside]
        if difference.numel():
            total += float(difference.sum(dtype=torch.float64))
            largest = max(largest, float(difference.max()))
            count += difference.numel()
    if not count:
        raise ValueError("no texel of the mask lies where two windows overlap")
    return TileMismatch(total / count, largest)


def _differences(
    predict: Callable[[Tensor], Tensor], inputs: Tensor, window: int, step: int, margin: int
) -> Iterator[tuple[int, int, Tensor]]:
    """For each two neighbours where their common part begins, and its absolute difference."""
    tops, lefts = (range(0, size - window + 1, step) for size in inputs.shape[-2:])
    above: list[Tensor] = []
    for top in tops:
        row = [
            predict(inputs[..., top : top + window, left : left + window]).float() for left in lefts
        ]
        common = slice(margin, window - step - margin)
        for left, (one, other) in zip(lefts[1:], pairwise(row), strict=True):
            shared = one[..., step:] - other[..., : window - step]
            yield top, left + margin, shared[..., common].abs()
        for left, one, other in zip(lefts, above, row, strict=False):
            shared = one[..., step:, :] - other[..., : window - step, :]
            yield top + margin, left, shared[..., common, :].abs()
        above = row
