"""Growing UV islands outward, so that filtering at their borders never meets emptiness."""

import math

import torch
from torch import Tensor

_NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))


def pad_islands(map_: Tensor, mask: Tensor, texels: int) -> Tensor:
    """Fill a rim around the valid texels from their nearest neighbours.

    Each round fills the texels that touch valid ones with the mean of those among their eight
    neighbours; only the rim is visited, so that the cost grows with its length. Vectors come
    out shortened: renormalise them.

    Args:
        map_: ``(C, H, W)``, any kind.
        mask: ``(1, H, W)``, valid where above 0.5.
        texels: Width of the rim [texels]; 0 copies.

    Returns:
        ``(C, H, W)``: equal to ``map_`` inside the mask and beyond the rim.

    Raises:
        ValueError: If the sizes differ or ``texels`` is negative.
    """
    if map_.shape[1:] != mask.shape[1:] or texels < 0:
        raise ValueError(f"map {tuple(map_.shape)}, mask {tuple(mask.shape)}, texels={texels}")
    padded = map_.clone(memory_format=torch.contiguous_format)
    channels, height, width = map_.shape
    flat, valid = padded.view(channels, -1), (mask[0] > 0.5).reshape(-1).clone()
    rim = _rim(valid.view(height, width))
    for _ in range(texels):
        if not len(rim):
            break
        total, count = flat.new_zeros(channels, len(rim)), flat.new_zeros(len(rim))
        for near, usable in _around(rim, height, width):
            usable = usable & valid[near]
            total += torch.where(usable, flat[:, near], 0)  # what is empty may be NaN
            count += usable
        flat[:, rim] = total / count
        valid[rim] = True
        candidates = [near[usable & ~valid[near]] for near, usable in _around(rim, height, width)]
        rim = torch.unique(torch.cat(candidates))
    return padded


def fill_from_around(image: Tensor, known: Tensor, deviations: tuple[float, ...]) -> Tensor:
    """Blur an image and carry it on smoothly where it is not known, at growing widths.

    Each width fills what finer ones could not see: mean of the known texels under a Gaussian.

    Args:
        image: ``(..., h, w)``, finite.
        known: ``(h, w)`` bool, at least one of them true.
        deviations: Of the Gaussians [texels], rising; the first blurs what is known.

    Returns:
        ``(..., h, w)``.
    """
    filled, weight = torch.zeros_like(image), torch.zeros(known.shape, device=image.device)
    for deviation in deviations:
        near = _blur(known.float(), deviation)
        mean = _blur(image * known, deviation) / near.clamp(min=1e-12)
        share = (near / 0.3).clamp(max=1) * (1 - weight)
        filled, weight = filled + share * mean, weight + share
    return filled / weight.clamp(min=1e-6)


def _blur(image: Tensor, deviation: float) -> Tensor:
    """Gaussian over ``(..., h, w)``, zero beyond the border, as two matrix products."""

    def band(size: int) -> Tensor:
        at = torch.arange(size, dtype=torch.float32, device=image.device)
        weights = torch.exp(-0.5 * ((at[:, None] - at) / deviation) ** 2)
        return weights / (deviation * math.sqrt(2 * math.pi))

    return band(image.shape[-2]) @ image @ band(image.shape[-1])


def _rim(valid: Tensor) -> Tensor:
    """Flat indices of the empty texels that touch a valid one; ``valid`` is ``(H, W)`` bool."""
    rows = valid.clone()
    rows[1:] |= valid[:-1]
    rows[:-1] |= valid[1:]
    grown = rows.clone()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return torch.nonzero((grown & ~valid).view(-1))[:, 0]


def _around(texels: Tensor, height: int, width: int) -> list[tuple[Tensor, Tensor]]:
    """The eight neighbours of flat indices: index (clamped) and whether it is on the map."""
    y, x = texels // width, texels % width
    around = []
    for step_y, step_x in _NEIGHBOURS:
        near_y, near_x = y + step_y, x + step_x
        inside = (near_y >= 0) & (near_y < height) & (near_x >= 0) & (near_x < width)
        index = near_y.clamp(0, height - 1) * width + near_x.clamp(0, width - 1)
        around.append((index, inside))
    return around
