"""How samples are moved within the plane of their maps: mirrors, turns, zoom.

A sample's moves are drawn in a loader's worker and done on the device, a batch at a time. What a
move does to the values of a map is `realface.maps.kinds.MapKind`'s to say, so none can turn an
image and forget its vectors.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from realface.errors import InputError
from realface.maps.encoding import unit
from realface.maps.kinds import KINDS

Batch = dict[str, Any]
"""``key``, a list; maps ``(B, C, H, W)`` float32 by kind; what `Moves` drew, ``(B,)``."""

_DRAWN = ("mirrored", "quarters", "angle", "zoom")

_MIRROR = ((-1.0, 0.0), (0.0, 1.0))
_QUARTER = ((0.0, -1.0), (1.0, 0.0))  # counterclockwise
_HALF = ((-1.0, 0.0), (0.0, -1.0))

_WHOLE = 1 - 1e-3
"""Share of a warped texel that valid ones must make up: 1, but for the rounding of places."""


@dataclass(frozen=True)
class Moves:
    """How the device may move a sample within the plane of its maps.

    A moved sample is a truthful one: a face that is mirrored, or rolled about the axis of view
    with its UV chart, or seen at more or fewer texels to the millimetre.

    Attributes:
        mirror_probability: Of a left-right mirror.
        quarter_turns: Whether by 0, 90, 180 or 270 degrees.
        rotation: At most so far either way [degrees], with bilinear loss of detail.
        zoom: At most so large, and at least 1 / zoom; 1: not at all. Far below 1 it aliases.
    """

    mirror_probability: float = 0.0
    quarter_turns: bool = False
    rotation: float = 0.0
    zoom: float = 1.0

    def check_for_wholes(self) -> None:
        """Refuse what turns a patch and not the whole face beside it.

        Raises:
            InputError: If anything but mirrors is asked for.
        """
        if self.quarter_turns or self.rotation > 0 or self.zoom > 1:
            raise InputError(
                f"data.quarter_turns {self.quarter_turns}, rotation {self.rotation}, "
                f"zoom {self.zoom}, where the whole texture is read",
                "mirrors alone: the whole face is not turned or enlarged with its patch",
                "leave them out",
            )

    def draw(self, rng: random.Random) -> dict[str, float]:
        """What `move` is to do to a sample, to be put into it; only what is asked for."""
        drawn: dict[str, float] = {}
        if self.mirror_probability > 0:
            drawn["mirrored"] = rng.random() < self.mirror_probability
        if self.quarter_turns:
            drawn["quarters"] = rng.randrange(4)
        if self.rotation > 0 or self.zoom > 1:
            drawn["angle"] = rng.uniform(-self.rotation, self.rotation)
            drawn["zoom"] = self.zoom ** rng.uniform(-1, 1)
        return drawn


def move(batch: Batch) -> Batch:
    """Maps ``(B, C, H, W)`` moved as `Moves` drew it for each sample; what was drawn is taken out.

    Lights are to be drawn after this: a moved face under moved lights is the moved image.
    """
    drawn = {name: batch[name] for name in _DRAWN if name in batch}
    batch = {name: value for name, value in batch.items() if name not in drawn}
    if "mirrored" in drawn:
        batch = mirror(batch, drawn["mirrored"])
        if "whole" in batch:
            batch["whole"] = mirror(batch["whole"], drawn["mirrored"])
    if "quarters" in drawn:
        batch = quarter_turns(batch, drawn["quarters"])
    if "angle" in drawn:
        batch = rotate(batch, drawn["angle"], drawn["zoom"])
    return batch


def mirror(batch: Batch, chosen: Tensor) -> Batch:
    """Mirror the chosen samples of a batch left to right, exactly.

    Args:
        batch: Maps ``(B, C, H, W)`` by kind.
        chosen: ``(B,)`` bool.
    """
    return _exactly(batch, chosen, lambda values: values.flip(-1), _MIRROR)


def quarter_turns(batch: Batch, counts: Tensor) -> Batch:
    """Turn square samples counterclockwise, exactly.

    Args:
        batch: Maps ``(B, C, S, S)`` by kind.
        counts: Of quarter turns of each sample, ``(B,)`` integers from 0 to 3.
    """
    batch = _exactly(batch, counts % 2 == 1, lambda values: values.rot90(1, (-2, -1)), _QUARTER)
    return _exactly(batch, counts >= 2, lambda values: values.rot90(2, (-2, -1)), _HALF)


def rotate(batch: Batch, angles: Tensor, zooms: Tensor) -> Batch:
    """Turn and enlarge samples about their middle, by bilinear interpolation.

    The mask is 1 only for what is made of wholly valid texels, else 0; outside it the border's
    values go on.

    Args:
        batch: Maps ``(B, C, H, W)`` by kind, ``mask`` among them.
        angles: ``(B,)`` counterclockwise [degrees].
        zooms: ``(B,)``: how many times as large. Positions keep their millimetres.
    """
    from kornia.geometry.transform import get_rotation_matrix2d, warp_affine  # slow to import

    size: tuple[int, int] = batch["mask"].shape[-2:]
    middle = torch.tensor(((size[1] - 1) / 2, (size[0] - 1) / 2)).to(angles).expand(len(angles), 2)
    places = get_rotation_matrix2d(middle, angles, zooms[:, None].expand(-1, 2))

    def resample(values: Tensor, padding: str = "border") -> Tensor:
        return warp_affine(values, places, size, padding_mode=padding, align_corners=True)

    cosine, sine = angles.deg2rad().cos(), angles.deg2rad().sin()
    matrix = torch.stack((cosine, -sine, sine, cosine), dim=-1).unflatten(-1, (2, 2))
    moved = _moved(batch, resample, matrix)
    for kind in moved.keys() & KINDS.keys():
        if KINDS[kind].encoding == "unit_vector":
            moved[kind] = unit(moved[kind])
    valid = resample(batch["mask"], "zeros") > _WHOLE
    return {**moved, "mask": valid.to(moved["mask"])}


def _exactly(
    batch: Batch,
    chosen: Tensor,
    texels: Callable[[Tensor], Tensor],
    matrix: tuple[tuple[float, float], tuple[float, float]],
) -> Batch:
    """A symmetry of the square, for the chosen samples."""
    moved = _moved(batch, texels, torch.tensor(matrix, device=chosen.device))
    pick = chosen.view(-1, 1, 1, 1)
    return {
        name: torch.where(pick, moved[name], value) if name in KINDS else value
        for name, value in batch.items()
    }


def _moved(batch: Batch, texels: Callable[[Tensor], Tensor], matrix: Tensor) -> Batch:
    """Every map's texels moved, and with them what they hold."""
    return {
        name: KINDS[name].moved(texels(value), matrix) if name in KINDS else value
        for name, value in batch.items()
    }
