"""When what happens in a training: numbers of epochs and batches in, plain numbers out."""

import math

import numpy as np


def rate_share(epoch: int, epochs: int | None, constant_share: float) -> float:
    """Share of the learning rate: constant, then falling linearly to zero, as in pix2pixHD.

    Args:
        epoch: From 0.
        epochs: Of the training; None or -1: without an end, and so nothing to fall towards.
        constant_share: Of the epochs, before it falls.
    """
    if epochs is None or epochs < 1:
        return 1.0
    constant = constant_share * epochs
    return 1.0 if epoch < constant else (epochs - epoch) / max(1.0, epochs - constant)


def batches_together(batch_index: int, accumulate_batches: int, batches: float) -> int:
    """How many batches make the step that a batch belongs to; an epoch's last may be fewer.

    Args:
        batch_index: Within the epoch.
        accumulate_batches: Of a full step.
        batches: Of the epoch; infinite: its end is not known, and each makes a step.
    """
    first = batch_index - batch_index % accumulate_batches
    left = batches - first
    return min(accumulate_batches, int(left)) if math.isfinite(left) else 1


def face_seed(seed: int, key: str, turn: int) -> int:
    """A seed of its own for each face and each time that it is lit."""
    words = np.random.SeedSequence((seed, turn, *key.encode()))
    return int(words.generate_state(1)[0])


def batch_seed(seed: int, epoch: int, batch_index: int, process: int) -> int:
    """A seed of its own for each batch of each process: a resumed run draws as it would have."""
    words = np.random.SeedSequence((seed, epoch, batch_index, process))
    return int(words.generate_state(1)[0])
