"""In which order training samples come: arithmetic, without a file or a worker in sight.

A run draws from one endless stream of sample numbers: pass after pass over the samples, each pass
a permutation of its own. A pass is a whole number of steps: what would not fill the last one is
left out of it, other samples each time. An epoch is so many steps of the stream, a batch a stretch
of it, and processes take turns. Hence any batch of any epoch is known from its number alone,
whatever the number of loader workers, and a resumed run goes on as if it had never stopped.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Request:
    """A training sample that is asked for.

    Attributes:
        position: In the stream; seeds the sample's augmentation.
        number: Of the sample.
    """

    position: int
    number: int


@dataclass(frozen=True)
class Stream:
    """The stream of one process.

    Attributes:
        samples: How many there are.
        seed: Of the permutations.
        batch_size: Samples per process and step.
        steps: In an epoch.
        rank: Of this process.
        world: How many processes train together.
    """

    samples: int
    seed: int
    batch_size: int
    steps: int
    rank: int = 0
    world: int = 1

    def batch(self, epoch: int, step: int) -> list[Request]:
        """What this process trains on in a step of an epoch, both counted from 0."""
        turn = (epoch * self.steps + step) * self.world + self.rank
        positions = range(turn * self.batch_size, (turn + 1) * self.batch_size)
        return [Request(position, self.number(position)) for position in positions]

    def number(self, position: int) -> int:
        """The sample at a position of the stream."""
        step = self.batch_size * self.world
        length = self.samples - self.samples % step or self.samples
        which, at = divmod(position, length)
        return permutation(self.samples, self.seed, which)[at]


def steps_of(samples: int, batch_size: int, world: int) -> int:
    """Steps in which about so many samples are seen; what is left over begins the next epoch."""
    return max(1, samples // (batch_size * world))


@lru_cache(maxsize=2)  # a batch can straddle two passes
def permutation(samples: int, seed: int, which: int) -> Sequence[int]:
    """The order of one pass. Python's own generator: its numbers stay the same for ever."""
    numbers = list(range(samples))
    random.Random(f"pass {seed} {which}").shuffle(numbers)
    return tuple(numbers)
