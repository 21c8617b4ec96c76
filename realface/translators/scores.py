"""Validation metrics, summed over batches and processes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from realface.metrics.measure import measure


class Scores:
    """Sums of the metrics of some kinds of map: of each, and over all of them.

    Args:
        kinds: Of map.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = tuple(kinds)
        self._sums: dict[str, Tensor] = {}

    def add(
        self, predicted: Mapping[str, Tensor], truth: Mapping[str, Tensor], mask: Tensor
    ) -> None:
        """Add a batch ``(B, C, H, W)``; images without a valid texel have no number, no weight."""
        seen = (mask > 0.5).flatten(1).any(dim=1).sum().float()
        for kind in self._kinds:
            for name, value in measure(predicted[kind], truth[kind], mask, kind).items():
                weighted = torch.where(seen > 0, value * seen, torch.zeros_like(value))
                names = [name] if len(self._kinds) == 1 else [name, f"{kind}/{name}"]
                for one in names:
                    self._sums[one] = self._sums.get(one, 0) + torch.stack((weighted, seen))

    def means(self, strategy: Any) -> dict[str, Tensor]:
        """By name, means over the images of all processes; NaN where no texel was valid.

        Where there are several kinds, ``psnr`` is the mean over them and ``<kind>/psnr`` one's own.
        Every process has every name, whatever its batches held: one that is missing on one process
        would keep the others waiting.

        Args:
            strategy: Lightning's, which sums over the processes.
        """
        summed = {name: strategy.reduce(sums, reduce_op="sum") for name, sums in self._sums.items()}
        return {name: value / count for name, (value, count) in summed.items()}
