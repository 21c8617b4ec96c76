"""Translators that run one after the other on the same window."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from realface.maps.kinds import KINDS
from realface.networks.channels import source_kind
from realface.tiling.engine import WindowFunction
from realface.weights import TrainedTranslator

Precision = Literal["float32", "bfloat16", "float16"]


class Chain:
    """One translator, or several of which later ones read what earlier ones make.

    Args:
        links: Each translator with the maps that are wanted of it, in the order in which they run.
        functions: What is called in the translators' place, from maps to maps; None: themselves.

    Attributes:
        links: As given.
        outputs: The maps that are wanted.
    """

    def __init__(
        self,
        links: Sequence[tuple[TrainedTranslator, tuple[str, ...]]],
        functions: Sequence[WindowFunction] | None = None,
    ) -> None:
        self.links = tuple(links)
        itself: list[WindowFunction] = [translator for translator, _ in self.links]
        self._functions = tuple(functions or itself)
        self.outputs = tuple(kind for _, outputs in self.links for kind in outputs)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it reads and does not make, ``whole_texture`` among them."""
        made: set[str] = set()
        read: dict[str, None] = {}
        for translator, outputs in self.links:
            read |= {kind: None for kind in translator.kinds if kind not in made}
            made.update(outputs)
        return tuple(read)

    @property
    def given(self) -> tuple[str, ...]:
        """The kinds of file that `kinds` come from."""
        return tuple(dict.fromkeys(map(source_kind, self.kinds)))

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that its translators come from."""
        return tuple(translator.source for translator, _ in self.links)

    @property
    def multiple_of(self) -> int:
        """Height and width of its windows must be multiples of this [px]."""
        return math.lcm(*(one.descriptor.multiple_of for one, _ in self.links))

    @property
    def minimum_size(self) -> int:
        """Least height and width of its windows [px]."""
        return max(one.minimum_size for one, _ in self.links)

    @property
    def margin(self) -> int:
        """How far an input texel reaches, by way of the maps made on the way too [px]."""
        reach: dict[str, int] = {}
        for translator, outputs in self.links:
            before = max((reach.get(source_kind(kind), 0) for kind in translator.kinds), default=0)
            reach |= dict.fromkeys(outputs, before + translator.descriptor.receptive_margin)
        return max(reach.values())

    @property
    def spatial_statistics(self) -> bool:
        """Whether a norm couples all texels of a window."""
        return any(one.descriptor.spatial_statistics for one, _ in self.links)

    @property
    def out_channels(self) -> int:
        """Of all the maps that are wanted."""
        return sum(KINDS[kind].channels for kind in self.outputs)

    def to(self, device: torch.device | str) -> None:
        """Move the networks; on a GPU they lie channels last, where it is faster."""
        last = torch.device(device).type == "cuda"
        form = torch.channels_last if last else torch.contiguous_format
        for translator, _ in self.links:
            translator.to(device)
            translator.generator.to(memory_format=form)  # type: ignore[call-overload]

    def __call__(
        self, maps: Mapping[str, Tensor], precision: Precision = "float32"
    ) -> dict[str, Tensor]:
        """Predict the wanted maps of windows.

        What a later translator reads is as a file would hold it, but for the rounding.

        Args:
            maps: As `TrainedTranslator` takes them; at least ``kinds``.
            precision: Of the networks' inner layers; their heads are in float32.
        """
        known, made = dict(maps), dict[str, Tensor]()
        device = next(iter(maps.values())).device.type
        half = precision != "float32"
        with torch.autocast(device, getattr(torch, precision), enabled=half):
            for function, (_, outputs) in zip(self._functions, self.links, strict=True):
                predicted = function(known)
                made |= {kind: predicted[kind] for kind in outputs}
                known |= {
                    kind: made[kind] if KINDS[kind].is_vector else made[kind].clamp(0, 1)
                    for kind in outputs
                }
        return made
