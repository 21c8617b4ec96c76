"""Memory that is used again: of fresh pages, the system clears each before it is written."""

import math

import torch
from torch import Tensor


class Slots:
    """Two tensors by turns: one is filled while the other is in use.

    Args:
        pinned: Whether a GPU is to copy from them.
    """

    def __init__(self, pinned: bool = False) -> None:
        self._pinned = pinned
        self._held = [torch.empty(0), torch.empty(0)]

    def next(self, *shape: int) -> Tensor:
        """A float32 tensor whose values are undefined; valid until the call after the next."""
        size = math.prod(shape)
        self._held.reverse()
        if self._held[0].numel() < size:
            self._held[0] = torch.empty(size, pin_memory=self._pinned)
        return self._held[0][:size].view(shape)
