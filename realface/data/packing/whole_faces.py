"""Whole faces at a fraction of their size, for networks that see a face at once."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.maps.encoding import convert, unit
from realface.maps.kinds import KINDS
from realface.shading.occlusion import reduce_in_mask

REDUCTION = 8
"""Texels of a map along the side of one of its whole face."""

_BAND = 16  # rows of the result that are made at once


def reduce_maps(maps: Mapping[str, Tensor], factor: int = REDUCTION) -> dict[str, Tensor]:
    """Maps at ``1 / factor`` of their size: means over the valid texels of each block.

    Colours are averaged in linear light; the means of normals have unit length. Blocks at the
    right and lower border may be cut, and are averaged over what there is.

    Args:
        maps: By kind, ``(C, H, W)`` float32 as in memory; may be NaN outside ``mask``, which is
            valid above 0.5. Without it all texels are.
        factor: Side of a block [texels].

    Returns:
        By kind ``(C, ceil(H / factor), ceil(W / factor))``. The mask is the share of valid texels,
        so that above 0.5 most are; the others have a value wherever one is valid, and elsewhere
        0, normals ``(0, 0, 1)``.
    """
    first = next(iter(maps.values()))
    mask = maps.get("mask", torch.ones_like(first[:1]))
    return {
        kind: _share(mask, factor) if kind == "mask" else _reduce(kind, values, mask, factor)
        for kind, values in maps.items()
    }


def _share(mask: Tensor, factor: int) -> Tensor:
    return F.avg_pool2d((mask > 0.5).float(), factor, ceil_mode=True)


def _reduce(kind: str, values: Tensor, mask: Tensor, factor: int) -> Tensor:
    encoding = KINDS[kind].encoding
    if KINDS[kind].is_vector:
        means, valid = reduce_in_mask(values[None], mask[None], factor)
        if encoding == "position":
            return means[0]
        ahead = means.new_tensor((0.0, 0.0, 1.0)).view(3, 1, 1)
        return unit(torch.where(valid > 0, means, ahead)[0])
    light = convert(values, encoding, "linear")
    means, _ = reduce_in_mask(light[None], mask[None], factor)
    return convert(means[0], "linear", encoding)


def reduce_in_bands(
    read: Callable[[int, int], Mapping[str, Tensor]], height: int, factor: int = REDUCTION
) -> dict[str, Tensor]:
    """`reduce_maps` of maps that are too large to be held as floats.

    Args:
        read: From a first row and a number of rows to that band of every map, ``(C, rows, W)``.
        height: Of the maps [texels].
        factor: As `reduce_maps` takes it.
    """
    rows = _BAND * factor
    bands = [reduce_maps(read(y, min(rows, height - y)), factor) for y in range(0, height, rows)]
    return {kind: torch.cat([band[kind] for band in bands], dim=1) for kind in bands[0]}
