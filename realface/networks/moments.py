"""Mean and variance of channels, gathered piece by piece."""

import torch
from torch import Tensor

from realface.errors import FailureError
from realface.networks.norms import ChannelStatistics


class Moments:
    r"""Mean and variance of each channel over all that was added.

    Pieces are merged in float64 by the law of total variance, in the form of Chan, Golub and
    LeVeque ("Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979):
    the spread between the pieces' means counts, which a mean of their variances would leave out.

    Attributes:
        count: Values of each channel so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Count values in.

        Args:
            values: ``(C, ...)``, any floating type; the piece's own moments are taken in float32.
        """
        flat = values.flatten(1)
        count = flat.shape[1]
        if not count:
            return
        flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
        # Two passes: half the time of torch.var_mean on a CPU.
        mean = flat.mean(1)
        variance = (flat - mean[:, None]).square_().mean(1)
        # Not every device has float64.
        self._merge(count, mean.cpu().double(), variance.cpu().double() * count)

    def merge(self, other: "Moments") -> None:
        """Count in what was added to others."""
        if other.count:
            self._merge(other.count, other._mean, other._squares)

    def _merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        total = self.count + count
        shift = mean - self._mean
        self._mean = self._mean + shift * (count / total)
        self._squares = self._squares + squares + shift.square() * (self.count * count / total)
        self.count = total

    def result(self, kind: torch.dtype = torch.float32) -> ChannelStatistics:
        """What has been added so far, in the type asked for; on the CPU.

        Raises:
            FailureError: If nothing was added, or it held NaN or infinity.
        """
        variance = self._squares / max(self.count, 1)
        if not self.count or not (self._mean + variance).isfinite().all():
            raise FailureError(
                "statistics over a map that are NaN or infinite" if self.count else "no texel",
                "finite features of the network, somewhere within the mask",
                "look for NaN in the input maps and in the weights, and check the mask",
            )
        return ChannelStatistics(self._mean.to(kind), variance.to(kind))
