"""Whether a graph does what the generator does that it was made from."""

from collections.abc import Callable

import torch
from torch import Tensor

from realface.errors import FailureError
from realface.networks.generator import Generator

Network = Callable[[Tensor], Tensor]

TOLERANCE = 1e-4
"""Of a result in about [-1, 1]: three steps of a 16-bit map, a hundredth of one of 8 bits. Float32
sums in another order differ by 1e-6 in a small generator and by 2e-5 in one of 183 M parameters; a
wrong padding, a size taken for a constant or another upsampling by 1e-2 and more."""


def check_shapes(generator: Generator) -> tuple[tuple[int, int, int, int], ...]:
    """Small inputs ``(B, C, H, W)`` that share no number with `graph.example_shape` but C.

    They are not of the least size: there the norms at the coarsest level have four texels, and
    magnify rounding.
    """
    step, channels = generator.multiple_of, generator.arguments["in_channels"]
    least = generator.minimum_size
    sizes = (1, 2, 4), (3, 3, 1)
    return tuple((b, channels, least + h * step, least + w * step) for b, h, w in sizes)


def largest_difference(generator: Generator, network: Network) -> float:
    """Between a generator and its graph, over random inputs in [-1, 1]; NaN if one gives NaN."""
    source, largest = torch.Generator().manual_seed(0), torch.zeros(())
    with torch.inference_mode():
        for shape in check_shapes(generator):
            channels = 2 * torch.rand(shape, generator=source) - 1
            expected, result = generator(channels), network(channels)
            if result.shape != expected.shape:
                return float("inf")
            largest = torch.maximum(largest, (result - expected).abs().max())
    return float(largest)


def check_parity(generator: Generator, network: Network, name: str) -> float:
    """The largest difference.

    Args:
        generator: On the CPU, in evaluation mode.
        network: The graph made from it.
        name: Of the graph's file, for people.

    Raises:
        FailureError: If it is above `TOLERANCE`, or not a number.
    """
    difference = largest_difference(generator, network)
    if not difference <= TOLERANCE:
        sizes = " and ".join("x".join(map(str, shape)) for shape in check_shapes(generator))
        raise FailureError(
            f"{name} differs from its generator by {difference:.2g}, on inputs of {sizes}",
            f"at most {TOLERANCE:g}, of a result in about [-1, 1]",
            "export without this format; nothing was written. Report it, with the descriptor and "
            "the versions of torch, onnxscript and onnxruntime",
        )
    return difference
