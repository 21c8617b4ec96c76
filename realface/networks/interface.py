"""What one generator reads and writes: a subject's maps in, a subject's maps out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from realface.errors import InputError
from realface.geometry.normals import blur_normals, blur_reach
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.spaces import level_tangents, object_to_tangent, tangent_to_object
from realface.networks.channels import (
    DELIT_TEXTURE,
    WHOLE_LIGHT,
    assemble,
    input_channels,
    input_kinds,
    map_to_output,
    output_channels,
    output_to_map,
    residual_channels,
)

NormalSpace = Literal["object", "tangent"]

RESIDUAL_BASE = {
    "diffuse_albedo": "texture",
    "diffuse_normals": "shape_normals",
    "specular_normals": "shape_normals",
}
"""The input word that is close to a map, where one is. Not the diffuse albedo to the specular one:
lips are pale and skin is dark, neither tone nor contrast carries over."""

TYPICAL = {"specular_albedo": -0.6}
"""A usual value in [-1, 1] of a map that no input is close to: captured faces have about 0.2."""


@dataclass(frozen=True)
class Frame:
    """Where tangent space lies: low-passed shape normals and their tangents, ``(B, 3, H, W)``."""

    tangents: Tensor
    normals: Tensor


@dataclass(frozen=True)
class Interface:
    """The maps of a generator, and what its channels mean.

    In tangent space the normals that it reads and writes are relative to the shape's, low-passed:
    relative to themselves they would all be (0, 0, 1). The frame is that of
    `realface.maps.spaces.level_tangents`.

    Attributes:
        inputs: Words of `realface.networks.channels.INPUTS`, in the order of the channels.
        outputs: Kinds of reflectance map, in the order of the channels; or `channels.WHOLE_LIGHT`.
        space: Of the normals among both.
        frame_sigma: Of the low-pass, in tangent space [texels].

    Raises:
        InputError: If a word or kind is unknown or repeated, or there is none.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    space: NormalSpace = "object"
    frame_sigma: float = 0.0

    def __post_init__(self) -> None:
        input_channels(self.inputs)
        if self.outputs == (WHOLE_LIGHT,):
            return
        unknown = [kind for kind in self.outputs if kind not in REFLECTANCE]
        if unknown or not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise InputError(
                f"outputs [{', '.join(self.outputs)}]",
                f"one or several of {', '.join(REFLECTANCE)}, each once",
                "correct the list of outputs",
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of map that it reads, `WHOLE_TEXTURE` and `DELIT_TEXTURE` among them."""
        frame = ("shape_normals",) if self.space == "tangent" else ()
        return tuple(dict.fromkeys((*input_kinds(self.inputs), *frame)))

    @property
    def in_channels(self) -> int:
        """Channels that the generator reads."""
        return input_channels(self.inputs)

    @property
    def out_channels(self) -> int:
        """Channels that it writes."""
        return sum(map(output_channels, self.outputs))

    @property
    def frame_reach(self) -> int:
        """How far a texel reaches through the frame, besides the generator [px]."""
        return blur_reach(self.frame_sigma) if self.space == "tangent" else 0

    @property
    def slices(self) -> dict[str, slice]:
        """Where each output lies among the channels."""
        ends = list(accumulate(map(output_channels, self.outputs)))
        return {
            kind: slice(end - output_channels(kind), end)
            for kind, end in zip(self.outputs, ends, strict=True)
        }

    def frame(self, maps: Mapping[str, Tensor]) -> Frame | None:
        """The frame of a batch, from its ``shape_normals`` and ``mask``; None in object space."""
        if self.space == "object":
            return None
        normals = maps["shape_normals"]
        mask = maps.get("mask", torch.ones_like(normals[:, :1]))
        smooth = blur_normals(normals, mask, self.frame_sigma)
        return Frame(level_tangents(smooth), smooth)

    def read(self, maps: Mapping[str, Tensor], frame: Frame | None) -> Tensor:
        """A subject's maps as the generator's input, ``(B, in_channels, H, W)``.

        Args:
            maps: By kind, ``(B, C, H, W)``; `realface.networks.channels.assemble` says in what
                form. Where there is a ``mask``, the input is blank outside it.
            frame: Of these maps.

        Raises:
            InputError: If a map is missing or of another size.
        """
        wanted = {kind: maps[kind] for kind in input_kinds(self.inputs) if kind in maps}
        inputs = assemble(self.relative(wanted, frame), self.inputs)
        return inputs * maps["mask"] if "mask" in maps else inputs

    def split(self, raw: Tensor) -> dict[str, Tensor]:
        """What a generator returned as maps, normals in the generator's own space.

        Albedos are as encoded and not clamped, normals unit: see `channels.output_to_map`.
        """
        return {kind: output_to_map(raw[:, place], kind) for kind, place in self.slices.items()}

    def join(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The outputs as channels ``(B, out_channels, H, W)``: the inverse of `split`."""
        return torch.cat([map_to_output(maps[kind], kind) for kind in self.outputs], dim=1)

    def relative(self, maps: Mapping[str, Tensor], frame: Frame | None) -> dict[str, Tensor]:
        """The maps with object-space normals brought to the generator's space."""
        return self._turned(maps, frame, object_to_tangent)

    def absolute(self, maps: Mapping[str, Tensor], frame: Frame | None) -> dict[str, Tensor]:
        """The maps with normals brought back to object space: the inverse of `relative`."""
        return self._turned(maps, frame, tangent_to_object)

    def _turned(
        self,
        maps: Mapping[str, Tensor],
        frame: Frame | None,
        turn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        if frame is None:
            return dict(maps)
        right_handed = frame.normals.new_ones(())
        return {
            kind: turn(values, frame.tangents, frame.normals, right_handed)
            if kind in KINDS and KINDS[kind].encoding == "unit_vector"
            else values
            for kind, values in maps.items()
        }

    def residual_channels(self) -> list[int | None]:
        """For each output channel the input channel that is close to it, or None.

        Raises:
            InputError: If the input that is close to an output is not read.
        """
        found: list[int | None] = []
        for kind in self.outputs:
            if kind == "diffuse_albedo" and DELIT_TEXTURE in self.inputs:
                found += residual_channels(self.inputs, DELIT_TEXTURE)
            elif kind in RESIDUAL_BASE:
                found += residual_channels(self.inputs, RESIDUAL_BASE[kind])
            else:
                found += [None] * KINDS[kind].channels
        return found

    def typical(self) -> list[float]:
        """For each output channel where a generator may start that has nothing close to it."""
        return [
            TYPICAL.get(kind, 0.0) for kind in self.outputs for _ in range(KINDS[kind].channels)
        ]
