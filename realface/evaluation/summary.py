"""Means over subjects, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from realface.evaluation.scores import PREDICTED, Key
from realface.evaluation.subject import Evaluation
from realface.metrics.bootstrap import bootstrap_interval
from realface.metrics.skin_tone import TONES


class Mean(NamedTuple):
    """Of one number over subjects: bootstrap 95 % interval, None for fewer than two subjects."""

    mean: float
    low: float | None
    high: float | None
    subjects: int


def means(subjects: Sequence[Evaluation], seed: int) -> dict[Key, Mean]:
    """Mean of every number over the subjects that have it, with its interval."""
    keys = dict.fromkeys(key for subject in subjects for key in subject.scores)
    return {
        key: _mean([each.scores[key] for each in subjects if key in each.scores], seed)
        for key in keys
    }


def leads(subjects: Sequence[Evaluation], seed: int) -> dict[Key, Mean]:
    """How far the prediction is from each baseline, under the baseline's key.

    The mean of the differences subject by subject: hard subjects are hard for both, so its interval
    is narrower than those of the two means tell. An interval without 0 is a difference.
    """
    found: dict[Key, list[float]] = {}
    for subject in subjects:
        for key, value in subject.scores.items():
            mine = subject.scores.get(key._replace(method=PREDICTED))
            if key.method != PREDICTED and mine is not None and math.isfinite(mine - value):
                found.setdefault(key, []).append(mine - value)
    return {key: _mean(values, seed) for key, values in found.items()}


def by_tone(subjects: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """The subjects of each class of skin that occurs, lightest first."""
    groups = {name: [subject for subject in subjects if subject.tone == name] for name, _ in TONES}
    return {name: group for name, group in groups.items() if group}


def _mean(values: Sequence[float], seed: int) -> Mean:
    mean = sum(values) / len(values)
    if len(values) < 2 or not math.isfinite(mean):
        return Mean(mean, None, None, len(values))
    return Mean(mean, *bootstrap_interval(values, seed), len(values))
