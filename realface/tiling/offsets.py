"""Windows' offsets: what each window's tone is off by, solved from how neighbours differ.

A network that sees a patch of skin cannot tell pigment from light, so that each window of a map
is right but for a constant of its own. A cross-fade smears these constants; here they are the
unknowns of a weighted least-squares problem, as the gains of overlapping photographs are in
panoramas (Brown and Lowe, IJCV 2007, doi:10.1007/s11263-006-0002-3) and the tiles' drifts in
microscopy. The mean tone of what hangs together stays what the windows make it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.errors import InputError
from realface.tiling.disagreement import Disagreement
from realface.tiling.plan import Plan


def solve_offsets(pairs: Tensor, differences: Tensor, weights: Tensor, windows: Tensor) -> Tensor:
    r"""Least squares over a graph of windows: :math:`o_i - o_j = d_{ij}`, of weight :math:`w_{ij}`.

    In each part of the graph that hangs together :math:`\sum_i m_i o_i = 0`, so that adding the
    offsets keeps its mean; a window without a neighbour gets 0.

    Args:
        pairs: ``(E, 2)`` int64, windows i and j.
        differences: ``(E, C)``, of j less i: what the two offsets have to make up for.
        weights: ``(E,)``, positive; the number of texels compared.
        windows: ``(N,)``, :math:`m_i \ge 0`: what each window weighs in the map's mean.

    Returns:
        ``(N, C)`` float64, to be added to each window.

    Raises:
        InputError: If the shapes do not go together, or a weight is not positive.
    """
    _check(pairs, differences, weights, windows)
    count, weights = len(windows), weights.double()
    first, second = pairs.unbind(1)
    laplacian = torch.zeros(count, count, dtype=torch.float64)
    for one, other, sign in (
        (first, first, 1), (second, second, 1), (first, second, -1), (second, first, -1)
    ):  # fmt: skip
        laplacian.index_put_((one, other), sign * weights, accumulate=True)
    pulled = weights[:, None] * differences.double()
    wanted = torch.zeros(count, differences.shape[1], dtype=torch.float64)
    wanted.index_add_(0, first, pulled).index_add_(0, second, -pulled)
    # A part's equations leave its mean open. Adding m m' makes them definite; and as they sum to
    # zero over the part, m' o does too.
    gauge = _gauge(_parts(pairs, count), windows.double())
    scale = float(laplacian.diagonal().amax()) if len(pairs) else 1.0
    return torch.linalg.solve(laplacian + scale * gauge @ gauge.T, wanted)


def window_offsets(measured: Disagreement) -> Tensor:
    """The offsets of the windows of one output.

    Args:
        measured: What a run of all the windows has shown.

    Returns:
        ``(rows, columns, C)`` float32, in output units; C is 1 where no two windows were compared.
    """
    rows, columns = measured.shares.shape
    edges = [[y * columns + x for y, x in (one.first, one.second)] for one in measured.pairs]
    differences = [one.difference for one in measured.pairs]
    solved = solve_offsets(
        torch.tensor(edges, dtype=torch.int64).view(-1, 2),
        torch.stack(differences) if differences else torch.zeros(0, 1),
        torch.tensor([one.texels for one in measured.pairs], dtype=torch.float64),
        measured.shares.flatten(),
    )
    return solved.float().view(rows, columns, -1)


@dataclass(frozen=True)
class OffsetSource:
    """A source whose windows each hold their offset in every texel.

    Attributes:
        plan: The windows; nothing else can be read.
        offsets: ``(rows, columns, C)`` float32.
    """

    plan: Plan
    offsets: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the map [px]."""
        return self.plan.size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """The offset of the window at ``(y, x)``, ``(C, height, width)``."""
        row = [start for start, _ in self.plan.rows].index(y)
        column = [start for start, _ in self.plan.columns].index(x)
        return self.offsets[row, column, :, None, None].expand(-1, height, width)


class NoSink:
    """A sink for a run that only measures."""

    def write(self, y: int, x: int, values: Tensor) -> None:
        """Keep nothing."""


def _parts(pairs: Tensor, count: int) -> Tensor:
    """Which windows hang together, ``(N, parts)`` boolean."""
    labels, before = torch.arange(count), torch.full((count,), -1)
    first, second = pairs.unbind(1)
    while not torch.equal(labels, before):
        before = labels
        least = torch.minimum(labels[first], labels[second])
        labels = labels.scatter_reduce(0, first, least, "amin")
        labels = labels.scatter_reduce(0, second, least, "amin")
    return labels[:, None] == labels.unique()


def _gauge(parts: Tensor, windows: Tensor) -> Tensor:
    """The windows' shares of each part's mean, columns of unit length; even where all are 0."""
    shares = parts * windows[:, None]
    shares = torch.where(shares.sum(0) > 0, shares, parts.double())
    return shares / shares.norm(dim=0)


def _check(pairs: Tensor, differences: Tensor, weights: Tensor, windows: Tensor) -> None:
    edges = len(pairs)
    fits = pairs.shape == (edges, 2) and differences.shape[:1] == weights.shape == (edges,)
    if not fits or differences.ndim != 2 or windows.ndim != 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in (pairs, differences, weights, windows))
        raise InputError(
            f"pairs, differences, weights and windows of shapes {shapes}",
            "(E, 2), (E, C), (E,) and (N,)",
            "give a difference and a weight for each pair",
        )
    if edges and not float(weights.min()) > 0:
        raise InputError(
            f"a weight of {float(weights.min()):g}",
            "positive weights",
            "leave out pairs of windows that share no texel that counts",
        )
