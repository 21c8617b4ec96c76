"""What ends a training that has gone wrong: numbers that are not finite, outputs that are flat."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from realface.errors import FailureError

FLAT = 0.01
"""Share of the truth's standard deviation below which a prediction has collapsed."""

_PLAIN = 1e-3  # deviation of a truth that is itself flat, in a range of 2


class Watch:
    """Looks at every training step before it changes a weight, with one transfer to the host.

    Args:
        patience: Steps in a row with a flat output that end the training; 0: it is not ended.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._flat: Tensor | None = None

    def look(
        self,
        losses: Mapping[str, Tensor],
        leaf: Tensor,
        gradient: Tensor,
        contrasts: Mapping[str, Tensor],
    ) -> str | None:
        """What is wrong with a step, in words; None: nothing.

        Args:
            losses: By name; their graphs to ``leaf`` are still there.
            leaf: What the generator made.
            gradient: Of the weighted sum of its losses, with respect to ``leaf``.
            contrasts: By output, see `contrast`.
        """
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        ratios = torch.stack(list(contrasts.values()))
        if self._flat is None:
            self._flat = torch.zeros_like(ratios)
        self._flat = torch.where(ratios < FLAT, self._flat + 1, 0)  # NaN is no collapse
        sound = gradient.isfinite().all().float()[None]
        numbers = torch.cat((values, self._flat, sound)).tolist()
        count = len(losses)
        if not torch.isfinite(torch.tensor(numbers[:count])).all():
            return _not_finite(dict(zip(losses, numbers[:count], strict=True)))
        if not numbers[-1]:
            return f"the gradient of {_culprits(losses, leaf)} is not finite, though the losses are"
        for kind, steps in zip(contrasts, numbers[count:-1], strict=True):
            if self._patience and steps >= self._patience:
                return (
                    f"{kind} has collapsed: for {steps:.0f} steps it varied less than "
                    f"{100 * FLAT:.0f} % as much as the truth"
                )
        return None


def contrast(made: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation of what was made over that of the truth, over a batch's valid texels.

    Args:
        made: ``(B, C, H, W)``.
        truth: Same shape.
        mask: ``(B, 1, H, W)``.

    Returns:
        A scalar, the mean over the channels; 1 where the truth itself is flat.
    """
    with torch.no_grad():
        deviations = _deviation(truth.float(), mask).mean()
        ratio = _deviation(made.float(), mask).mean() / deviations.clamp(min=_PLAIN)
        return torch.where(deviations < _PLAIN, torch.ones_like(ratio), ratio)


def failure(problem: str, where: str, keys: Sequence[str]) -> FailureError:
    """The error that ends the training."""
    return FailureError(
        f"{where}: {problem}; samples {', '.join(keys)}",
        "finite losses, and outputs that vary as the truth does",
        "look at these samples; lower the learning rate or set clip_gradient_norm; of a "
        "collapse, lower adversarial_weight, or raise collapse_patience if it is meant to be flat",
    )


def _not_finite(numbers: Mapping[str, float]) -> str:
    wrong = [name for name, number in numbers.items() if number - number != 0]
    values = ", ".join(f"{name} {number:.4g}" for name, number in numbers.items())
    return f"a loss that is not finite: {', '.join(wrong)} (losses: {values})"


def _culprits(losses: Mapping[str, Tensor], leaf: Tensor) -> str:
    """The losses whose own gradient is not finite."""
    found = []
    for name, loss in losses.items():
        (one,) = torch.autograd.grad(loss, leaf, retain_graph=True, allow_unused=True)
        if one is not None and not one.isfinite().all():
            found.append(name)
    return ", ".join(found) or "the sum of the losses"


def _deviation(values: Tensor, mask: Tensor) -> Tensor:
    """Per channel ``(C,)``."""
    valid = mask > 0.5
    count = valid.sum().clamp(min=1)
    mean = torch.where(valid, values, 0).sum(dim=(0, 2, 3), keepdim=True) / count
    return (torch.where(valid, values - mean, 0).square().sum(dim=(0, 2, 3)) / count).sqrt()
