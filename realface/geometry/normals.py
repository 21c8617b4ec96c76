"""Normals of a shape map, and normals seen through a soft lens."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_TEXELS_AT_ONCE = 1 << 20  # bounds the memory of differences
_LARGEST_SIGMA = 8.0  # texels; a wider blur runs on a reduced map
_SHORTEST = 1e-18  # squares of shorter vectors underflow in float32
_UP = (0.0, 0.0, 1.0)


def normals_from_shape(shape: Tensor, mask: Tensor, blur: float = 0.0) -> Tensor:
    r"""Normals of the surface that a shape map describes.

    :math:`n \propto \frac{\partial p}{\partial column} \times -\frac{\partial p}{\partial row}`:
    outward wherever the UVs are not mirrored. Differences are central inside, one-sided at the
    mask's border; they do not see UV seams, so texels of different islands that touch are joined.

    Args:
        shape: Object-space positions, ``(3, H, W)``; only texels in the mask are read.
        mask: ``(1, H, W)``, valid where above 0.5.
        blur: Sigma of a Gaussian over the normals, weighted by area [texels]; takes out the steps
            of a shape stored in few bits.

    Returns:
        ``(3, H, W)`` unit vectors, object space; (0, 0, 1) outside the mask and where a texel
        has no valid neighbour along rows or columns.
    """
    valid = mask > 0.5
    height, width = shape.shape[1:]
    crossed = torch.zeros_like(shape)
    strip = max(1, _TEXELS_AT_ONCE // width)
    for top in range(0, height, strip):
        first, last = max(top - 1, 0), min(top + strip + 1, height)
        points, inside = shape[:, first:last], valid[:, first:last]
        points = torch.where(inside, points, 0)  # what lies outside may be NaN
        along = _difference(points, inside, dim=2)
        down = _difference(points, inside, dim=1)
        rows = slice(top - first, top - first + min(strip, height - top))
        crossed[:, top : top + strip] = torch.linalg.cross(along, -down, dim=0)[:, rows]
    if blur > 0:
        crossed = blur_in_mask(crossed, valid, blur)
    return unit_or(torch.where(valid, crossed, 0), _UP)


def blur_normals(normals: Tensor, mask: Tensor, sigma_texels: float) -> Tensor:
    """Low-passed normals: Gaussian mean of the valid vectors nearby, renormalised.

    Nothing outside the mask or the map is mixed in, and texels outside the mask are not changed.
    The Gaussian ends at three sigmas. Sigmas above 8 texels are reached on a reduced map, which
    keeps the time about constant: on smooth normals the result is off by a tenth of a degree on
    average and by a degree or two beside holes.

    Args:
        normals: Unit vectors, ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.
        sigma_texels: Standard deviation of the Gaussian [texels]; 0 only renormalises.

    Returns:
        ``(3, H, W)`` unit vectors in the same space; where valid neighbours cancel out,
        (0, 0, 1).
    """
    valid = mask > 0.5
    blurred = normals
    if sigma_texels > 0:
        blurred = blur_in_mask(normals, valid, sigma_texels)
    return torch.where(valid, unit_or(blurred, _UP), normals)


def blur_in_mask(vectors: Tensor, valid: Tensor, sigma: float) -> Tensor:
    """Gaussian sum of the valid texels of a map, up to a factor per texel.

    The factor is the weight that fell on valid texels: it cancels when vectors are normalised, or
    when a blurred map is divided by ones blurred with it. Wide ones run on a reduced map.

    Args:
        vectors: ``(..., C, H, W)``.
        valid: ``(..., 1, H, W)`` bool.
        sigma: Standard deviation of the Gaussian, which ends at three of them [texels].

    Returns:
        ``(..., C, H, W)``.
    """
    height, width = vectors.shape[-2:]
    reduced = torch.where(valid, vectors, 0)  # what lies outside may be NaN
    reduced = reduced.reshape(-1, *vectors.shape[-3:])
    factor = _reduction(sigma)
    if factor == 1:
        return _gaussian(reduced, sigma).view_as(vectors)
    room = (0, -width % factor, 0, -height % factor)
    reduced = F.avg_pool2d(F.pad(reduced, room), factor)
    reduced = _gaussian(reduced, sigma / factor)
    enlarged = F.interpolate(reduced, scale_factor=factor, mode="bilinear", align_corners=False)
    return enlarged[..., :height, :width].reshape(vectors.shape)


def blur_reach(sigma_texels: float) -> int:
    """How far a texel reaches through `blur_normals`, at most [texels]."""
    factor = _reduction(sigma_texels)
    return factor * (math.ceil(3 * sigma_texels / factor) + 2 * (factor > 1))


def unit_or(vectors: Tensor, fallback: tuple[float, float, float]) -> Tensor:
    """Vectors scaled to unit length; ``fallback`` where they have none.

    Sums squares by hand: torch's own norm over a leading dimension is some 25 times slower.

    Args:
        vectors: ``(..., 3, H, W)``.
        fallback: The unit vector for zero and for values that are not finite.

    Returns:
        ``(..., 3, H, W)`` unit vectors.
    """
    length = (vectors * vectors).sum(dim=-3, keepdim=True).sqrt_()
    usable = (length > _SHORTEST) & torch.isfinite(length)
    otherwise = torch.tensor(fallback, dtype=vectors.dtype, device=vectors.device)[:, None, None]
    return torch.where(usable, vectors / torch.where(usable, length, 1), otherwise)


def _difference(points: Tensor, inside: Tensor, dim: int) -> Tensor:
    """Change per texel along a dimension: mean of the forward and backward steps that exist."""
    length = points.shape[dim]
    step = points.narrow(dim, 1, length - 1) - points.narrow(dim, 0, length - 1)
    usable = inside.narrow(dim, 1, length - 1) & inside.narrow(dim, 0, length - 1)
    step = step * usable
    total, count = torch.zeros_like(points), torch.zeros_like(inside, dtype=points.dtype)
    for start in (0, 1):
        total.narrow(dim, start, length - 1).add_(step)
        count.narrow(dim, start, length - 1).add_(usable)
    return total / count.clamp(min=1)


def _reduction(sigma: float) -> int:
    """By what a map is reduced before it is blurred."""
    return 1 << math.floor(math.log2(2 * sigma / _LARGEST_SIGMA)) if sigma > _LARGEST_SIGMA else 1


def _gaussian(images: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian to three sigmas, zero outside the map."""
    from kornia.filters import gaussian_blur2d  # slow to import

    side = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur2d(images, (side, side), (sigma, sigma), border_type="constant")
