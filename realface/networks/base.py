"""What every generator tells about itself, and what it refuses."""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from realface.networks.blocks import GatedBlock, GatedConvolution, OutputHead, ResidualBlock
from realface.networks.norms import BatchRenorm, recomputing


class Generator(nn.Module):
    """What every generator tells about itself; those of `networks.generator` are all there are.

    Attributes:
        multiple_of: Height and width of the input must be multiples of this [px].
        minimum_size: And at least this [px]: reflect padding needs two texels at the
            coarsest level.
        receptive_margin: How far from an output texel, on one side, an input texel can lie
            and still reach it through the convolutions [px]. Further than this from a
            window's edge no padding is seen. Exact for the worst position on the stride
            grid, an upper bound for the others.
        head: The last layer.
        gradient_checkpointing: Whether activations within a stage (a convolution with its norm, a
            block) are computed again in the backward pass instead of kept.
        spatial_statistics: True where a norm's statistics couple all texels of a window at
            inference, however far apart; the margin then bounds only the convolutions' part.
    """

    head: OutputHead

    def __init__(
        self, arguments: dict[str, Any], multiple_of: int, minimum_size: int, receptive_margin: int
    ) -> None:
        super().__init__()
        _check_arguments(arguments)
        self._arguments = arguments
        self.multiple_of = multiple_of
        self.minimum_size = minimum_size
        self.receptive_margin = receptive_margin
        self.spatial_statistics = arguments["norm"] == "instance"
        self.gradient_checkpointing = False

    @property
    def arguments(self) -> dict[str, Any]:
        """A copy of the constructor's arguments, by name, in plain JSON types."""
        return copy.deepcopy(self._arguments)

    def check_input(self, x: Tensor) -> None:
        """Refuses what the network could not run on.

        Raises:
            ValueError: If channels, height or width do not fit.
        """
        channels, height, width = x.shape[-3:]
        if channels != self._arguments["in_channels"]:
            raise ValueError(
                f"input has {channels} channels; this generator was built with "
                f"in_channels={self._arguments['in_channels']}: give it the inputs it was "
                "built for"
            )
        if any(n % self.multiple_of or n < self.minimum_size for n in (height, width)):
            fitting = [self._next_size(n) for n in (height, width)]
            raise ValueError(
                f"input is {height}x{width} (height x width); this generator needs multiples "
                f"of {self.multiple_of}, at least {self.minimum_size}: "
                f"pad it to {fitting[0]}x{fitting[1]} and crop the result"
            )

    def run(self, layers: nn.Module, x: Tensor) -> Tensor:
        """A layer, or those of an `nn.Sequential`; kept or computed twice as is asked for."""
        if not (self.gradient_checkpointing and torch.is_grad_enabled()):
            return layers(x)
        for stage in _stages(layers):
            x = _checkpointed(stage, x)
        return x

    def _next_size(self, size: int) -> int:
        return max(self.minimum_size, -(-size // self.multiple_of) * self.multiple_of)


def _checkpointed(stage: nn.Sequential, x: Tensor) -> Tensor:
    """A stage whose activations are computed again; running statistics see them once."""
    if not any(isinstance(module, BatchRenorm) for module in stage.modules()):
        return checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False)
    contexts = partial(_contexts, stage)
    return checkpoint(stage, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


def _contexts(
    stage: nn.Sequential,
) -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
    """Around the first computation and around the second."""
    return nullcontext(), recomputing(stage)


_FIRST_OF_STAGE = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Upsample,
    ResidualBlock,
    GatedBlock,
    GatedConvolution,
)


def _stages(layers: nn.Module) -> Iterator[nn.Sequential]:
    """Layers in groups that begin with what reads an input without changing it in place."""
    stage: list[nn.Module] = []
    for layer in layers if isinstance(layers, nn.Sequential) else (layers,):
        begins = isinstance(layer, _FIRST_OF_STAGE)
        if begins and stage and not isinstance(stage[-1], nn.Upsample):
            yield nn.Sequential(*stage)
            stage = []
        stage.append(layer)
    yield nn.Sequential(*stage)


def _check_arguments(arguments: dict[str, Any]) -> None:
    """Refuses numbers out of range, by name; the norm and upsampling check their own."""
    for name in ("in_channels", "out_channels", "base_channels", "downsamples"):
        if arguments[name] < 1:
            raise ValueError(f"{name}={arguments[name]} must be at least 1")
    for name in ("blocks", "local_blocks"):
        if arguments.get(name, 0) < 0:
            raise ValueError(f"{name}={arguments[name]} must not be negative")
    residual, inputs = arguments["residual_channels"], arguments["in_channels"]
    if residual is None:
        return
    if len(residual) != arguments["out_channels"]:
        raise ValueError(
            f"residual_channels={residual} must name one input channel for each of the "
            f"out_channels={arguments['out_channels']}"
        )
    if any(not 0 <= channel < inputs for channel in residual if channel is not None):
        raise ValueError(f"residual_channels={residual} must lie in [0, in_channels = {inputs})")
