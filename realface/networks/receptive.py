"""How far a window's border reaches into a network's result, measured on the network itself."""

import torch
from torch import Tensor

from realface.networks.generator import Generator
from realface.networks.norms import is_local


@torch.no_grad()
def measured_margin(generator: Generator) -> int | None:
    """How many pixels at a window's border the border reaches, where windows lie on the grid.

    What a window lacks is made NaN in a strip that holds it, and NaN spreads through every layer
    that looks at it. Further in, the window's result is the whole image's, bit for bit but for the
    order of sums. Only the structure counts: a twin of one channel is looked at, within a second.

    Args:
        generator: Its norms absent or frozen; before they are frozen, look at it within
            `realface.networks.norms.without_norms`.

    Returns:
        The margin [px], at most ``generator.receptive_margin``; None for a network whose norms
        couple the whole window: no margin is enough.
    """
    if not is_local(generator):
        return None
    narrow = {**generator.arguments, "base_channels": 1, "norm": "none"}
    twin = type(generator)(**narrow)
    return max(_probe(twin, transposed=False), _probe(twin, transposed=True))


@torch.no_grad()
def margin_for(generator: Generator, inputs: Tensor, tolerance: float) -> int:
    """The smallest margin with which a window's result stays within a tolerance.

    ``inputs`` are cut in the middle, down and across; both parts of each cut are compared with the
    uncut. It is what these inputs need, not a bound for all: give ones that hold what the map does.

    Args:
        generator: As for `measured_margin`.
        inputs: Its input, ``(1, C, h, w)``, sides multiples of ``multiple_of``. A side shorter
            than twice the margin plus its stride shows only part of it.
        tolerance: Largest absolute difference, in the units of the network's result: an albedo
            of 16 bits steps by 2 / 65535.

    Returns:
        The margin [px], a multiple of ``multiple_of``; at most the exact one, rounded up to it.

    Raises:
        ValueError: If the network's norms are neither absent nor frozen, or a side is too short to
            reach the tolerance within half of it.
    """
    exact = measured_margin(generator)
    if exact is None:
        raise ValueError("norms of the window's own statistics: freeze them first")
    whole = generator(inputs)
    cuts = [_cut_margin(generator, inputs, whole, tolerance, axis, exact) for axis in (2, 3)]
    return max(cuts)


def _probe(generator: Generator, *, transposed: bool) -> int:
    """Reach of NaN from both ends of a strip into its finite middle [px]."""
    stride, side = generator.multiple_of, generator.minimum_size
    # The middle is longer than both reaches, so that something of it is left.
    middle = 2 * (generator.receptive_margin // stride + 2) * stride
    channels = generator.arguments["in_channels"]
    strip = torch.full((1, channels, side, 2 * side + middle), torch.nan)
    strip[..., side : side + middle] = 0
    result = generator(strip.mT if transposed else strip)
    result = (result.mT if transposed else result)[..., side : side + middle]
    clean = result.isfinite().all(dim=2).all(dim=1)[0].nonzero().flatten()
    return max(int(clean[0]), middle - 1 - int(clean[-1]))


def _cut_margin(
    generator: Generator, inputs: Tensor, whole: Tensor, tolerance: float, axis: int, exact: int
) -> int:
    """Margin on either side of a cut across one axis, on the grid [px]."""
    stride, length = generator.multiple_of, inputs.shape[axis]
    limit = -(-exact // stride) * stride
    middle = length // 2 // stride * stride
    if middle < generator.minimum_size:
        return 0  # no window of the network fits: the axis is never cut so short
    before = _error(generator, inputs, whole, axis, 0, middle).flip(0)
    after = _error(generator, inputs, whole, axis, middle, length - middle)
    return max(_reached(one, tolerance, stride, limit) for one in (before, after))


def _error(
    generator: Generator, inputs: Tensor, whole: Tensor, axis: int, start: int, length: int
) -> Tensor:
    """Largest error in each line across the axis of what a part of the inputs gives."""
    part = generator(inputs.narrow(axis, start, length))
    difference = (part - whole.narrow(axis, start, length)).abs()
    return difference.amax(dim=(0, 1, 5 - axis))


def _reached(error: Tensor, tolerance: float, stride: int, limit: int) -> int:
    """The first multiple of the stride from which on no line is above the tolerance."""
    above = (error > tolerance).nonzero().flatten()
    margin = -(-(int(above[-1]) + 1) // stride) * stride if len(above) else 0
    # Beyond the exact margin only the order of sums differs.
    if margin >= len(error) and len(error) < limit:
        raise ValueError(
            f"inputs of {2 * len(error)} px are too short to reach a tolerance of {tolerance}: "
            f"give {2 * limit + 2 * stride} px or more"
        )
    return min(margin, limit)
