"""How far a mean over subjects can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def bootstrap_interval(
    values: Sequence[float], seed: int = 0, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean.

    Efron, "Bootstrap methods", Annals of Statistics 1979, doi:10.1214/aos/1176344552. Subjects are
    drawn with replacement; with fewer than about ten of them it is too narrow, as every bootstrap.

    Args:
        values: One a subject, finite.
        seed: Of the draws: the same values and seed give the same interval.
        level: Share of the draws' means that lie inside.
        draws: How many.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If there is no value.
    """
    if not values:
        raise ValueError("an interval of no value")
    numbers = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(len(numbers), (draws, len(numbers)), generator=generator)
    ends = numbers.new_tensor(((1 - level) / 2, (1 + level) / 2))
    low, high = numbers[picks].mean(dim=1).quantile(ends).tolist()
    return low, high
