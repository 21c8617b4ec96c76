"""Ambient occlusion of a subject, kept as one of its maps."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.geometry.normals import normals_from_shape
from realface.geometry.placement import place
from realface.maps.encoding import unit
from realface.maps.subject import Subject, save_map
from realface.shading.visibility import ambient_occlusion


def derive_occlusion(folder: Path, directions: int = 256, texels: int = 1 << 19) -> None:
    """Write ``occlusion``: the share of light from all around, marked as derived.

    Computed once from the whole surface, at a reduced size: hollows of a head are smooth at half
    a millimetre, and patches later carry the map because they cannot see what occludes them.

    Args:
        folder: Subject with ``shape``; ``mask`` and ``shape_normals`` are used where there.
        directions: As `surface_occlusion`.
        texels: Likewise.

    Raises:
        InputError: If ``shape`` is missing, the mask is empty, maps differ in size, or normals
            are not in object space.
        FailureError: If the disk refuses.
    """
    subject = Subject(folder)
    subject.size(without="occlusion")
    shape = subject.open("shape")
    mask = subject.open("mask") if "mask" in subject else None
    placement = place(shape, mask, subject.record.millimetres_per_unit)
    positions = placement.apply(shape.whole())
    valid = torch.ones_like(positions[:1]) if mask is None else mask.whole()
    normals = None
    if "shape_normals" in subject:
        file = subject.open("shape_normals")
        file.require_object_space()
        normals = file.whole()
    whole = surface_occlusion(positions, valid, normals, directions, texels)
    save_map(folder, "occlusion", whole, derived=True)


def surface_occlusion(
    positions: Tensor,
    mask: Tensor,
    normals: Tensor | None = None,
    directions: int = 256,
    texels: int = 1 << 19,
) -> Tensor:
    """Share of light from all around that reaches each texel of a whole map, ``(1, H, W)``.

    Args:
        positions: Object space [mm], ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.
        normals: Of the surface, unit, object space, ``(3, H, W)``; None: from the positions.
        directions: Of `visibility.ambient_occlusion`; more make fainter contours.
        texels: Largest reduced size, in all, at which it is computed; the result is brought
            back up bilinearly.
    """
    height, width = positions.shape[1:]
    factor = max(1, math.ceil(math.sqrt(height * width / texels)))
    reduced, covered = reduce_in_mask(positions[None], mask[None], factor)
    if normals is None:
        facing = normals_from_shape(reduced[0], covered[0])[None]
    else:
        facing = unit(reduce_in_mask(normals[None], mask[None], factor)[0])
    occlusion = ambient_occlusion(reduced, facing, covered, directions)
    return enlarge_in_mask(occlusion, covered, factor, (height, width))[0]


def reduce_in_mask(maps: Tensor, mask: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Mean of the valid texels in blocks of ``factor`` x ``factor``.

    Args:
        maps: ``(B, C, H, W)``; may be NaN outside the mask.
        mask: ``(B, 1, H, W)``, valid where above 0.5.
        factor: Side of a block [texels]; blocks at the right and lower border may be cut.

    Returns:
        The maps at ``ceil(H / factor)`` x ``ceil(W / factor)``, 0 where a block has no valid
        texel; their mask, 1 where it has one.
    """
    valid = (mask > 0.5).to(maps)
    height, width = maps.shape[2:]
    room = (0, -width % factor, 0, -height % factor)
    share = F.avg_pool2d(F.pad(valid, room), factor)
    total = F.avg_pool2d(F.pad(torch.where(valid > 0, maps, 0), room), factor)
    return total / torch.where(share > 0, share, 1), (share > 0).to(maps)


def enlarge_in_mask(maps: Tensor, mask: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """The reverse of `reduce_in_mask`: bilinear between valid texels only.

    Args:
        maps: ``(B, C, h, w)``.
        mask: ``(B, 1, h, w)``, 1 where valid.
        factor: Side of a block [texels].
        size: ``(H, W)`` of the result.

    Returns:
        ``(B, C, H, W)``; 1 where no valid texel is near.
    """
    both = torch.cat((maps * mask, mask), 1)
    both = F.interpolate(both, scale_factor=factor, mode="bilinear")[..., : size[0], : size[1]]
    total, share = both.split((maps.shape[1], 1), 1)
    return torch.where(share > 0, total / torch.where(share > 0, share, 1), 1)


def enlarged_window(maps: Tensor, factor: int, y: int, x: int, height: int, width: int) -> Tensor:
    """A window of small maps ``(B, C, h, w)`` brought to full size, bilinearly.

    The small maps may be a little larger than the full ones: their last blocks may be cut.

    Args:
        maps: What `reduce_in_mask` gives, with values wherever the window lies.
        factor: Side of a block [texels].
        y: First row of the window on the full map.
        x: Its first column.
        height: Its height [texels].
        width: Its width [texels].

    Returns:
        ``(B, C, height, width)``.
    """
    rows, columns = (factor * side for side in maps.shape[-2:])
    row = (torch.arange(y, y + height, dtype=maps.dtype) + 0.5) * (2 / rows) - 1
    column = (torch.arange(x, x + width, dtype=maps.dtype) + 0.5) * (2 / columns) - 1
    grid = torch.stack(torch.meshgrid(row, column, indexing="ij")[::-1], dim=-1)[None]
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
