"""A guess about a kind's files, and how sure a few samples make it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Subject = Literal["encoding", "range", "space", "green", "axes", "channels", "depth"]

SURE, LIKELY = 0.95, 0.75
"""From which confidence a guess is called sure, or likely; below it is unsure."""


@dataclass(frozen=True)
class Guess:
    """One property of a kind's files.

    Attributes:
        kind: The map's.
        subject: What is guessed: ``encoding`` (srgb, linear), ``range`` of vectors (unit, signed,
            none), ``space`` (object, tangent), ``green`` (gl, dx), ``axes`` of a shape (what red,
            green and blue hold), ``channels`` (rgb, bgr), ``depth`` (bits that
            the values really have).
        value: The guess.
        confidence: Chance that it is right, 0.5 to 1, as far as the evidence goes.
        evidence: What it rests on, with numbers.
    """

    kind: str
    subject: Subject
    value: str
    confidence: float
    evidence: str

    @property
    def word(self) -> str:
        """``sure``, ``likely`` or ``unsure``."""
        if self.confidence >= SURE:
            return "sure"
        return "likely" if self.confidence >= LIKELY else "unsure"

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.subject} {self.value} "
            f"({self.word}, {self.confidence:.2f}): {self.evidence}"
        )


def sign_confidence(values: Sequence[float], spread: float) -> float:
    """Chance that the mean of a few samples' values has the sign that it seems to have.

    Args:
        values: One for each sample.
        spread: Least standard deviation to believe in.
    """
    if not values:
        return 0.5
    deviation = max(float(np.std(values)), spread) / math.sqrt(len(values))
    return 0.5 + 0.49 * math.erf(abs(float(np.mean(values))) / deviation / math.sqrt(2))


def most_sure(count: int) -> float:
    """The most that a guess can be sure by this many samples: one alone may mislead."""
    return 1 - 0.1 / max(count, 1)


def odds(confidence: float) -> float:
    """Log odds of a chance between 0 and 1: evidence that adds up."""
    return math.log(confidence / (1 - confidence))


def chance(log_odds: float) -> float:
    """The inverse of `odds`."""
    return 1 / (1 + math.exp(-log_odds))
