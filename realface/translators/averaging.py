"""The moving average of the weights, which is validated and kept."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class MovingAverage(WeightAveraging):
    """Exponential moving average of weights and running statistics, after every step.

    Validation, checkpoints' ``state_dict`` and the module after training have the averaged values;
    a resumed run goes on from the others, which the checkpoint holds too.

    Lightning's ``EMAWeightAveraging`` differs where it would do harm here. Its decay is constant:
    after 100 steps at 0.999 nine tenths of the average are still the first weights. Counts among
    the buffers are averaged and rounded down by it. And the average is made before the weights are
    moved to their device, so that with a GPU every step would copy all of them to the host.
    ``global_step``, by which both callbacks tell that a step was made, counts two of them where two
    optimisers step; between these nobody looks.

    Args:
        decay: Of the average, once so many steps are done that a plain mean would be as slow; up to
            there :math:`(1 + n) / (10 + n)` after n steps, as TensorFlow's moving average has it.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=self._update)
        self._decay = decay

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the average to where the weights are by now."""
        assert self._average_model is not None
        self._average_model.to(pl_module.device)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from both; to validate, the average in ``state_dict`` is what is wanted."""
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    @torch.no_grad()
    def _update(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        """Of tensors of one type and device; ``count`` steps are in the average."""
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay_after(int(count), self._decay))
        else:
            torch._foreach_copy_(averaged, current)


def decay_after(count: int, decay: float) -> float:
    """Share of the average that stays at the next step, ``count`` of them being in it."""
    return min(decay, (1 + count) / (10 + count))
