"""Near-duplicate patches: the same skin seen twice, where no subject is known.

Patches are cut from maps of one UV layout, so two that overlap differ by a shift. Their positions
say roughly which; the cross-correlation of their fine detail says exactly, and whether the skin is
the same. All faces share lips and lids, so detail is evened out by its own contrast, and most of
the overlap must agree, tile by tile, not only an edge within it.

Two patches of one person that do not overlap cannot be linked: nothing in them is the same. So
groups keep pixels, not people, from straddling training and validation.
"""

import logging
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realface.errors import InputError

log = logging.getLogger(__name__)

_CELLS = 128  # along the longer side: 0.2 mm of a RealFaceDB patch
_FINE, _COARSE, _CONTRAST = 0.7, 2.0, 4.0  # sigmas of the band and of its contrast [cells]
_LEAST_CONTRAST = 0.002  # of the band: below it, rounding to 8 bits
_INT8 = 32  # stored steps per unit of contrast
_SEARCH = 24  # cells around the shift that positions give: expressions move skin by millimetres
_APART = 10.0  # millimetres between the surfaces of two faces, at most
_LEAST_OVERLAP = 0.1  # of a patch: in less, chance and a common edge pass for skin
_TILE = 8  # cells
_ALIKE = 0.42  # lower quartile of tiles: other faces reach 0.35, other expressions fall to 0.5
_BLOCK = 96  # patches whose spectra are held at once, twice
_AT_ONCE = 64  # pairs
_SHARE_MISSED = 0.01  # of the patches by which a split may miss in silence


@dataclass(frozen=True, eq=False)
class Signature:
    """What of a patch is compared, some 16 kB.

    Attributes:
        centre: Mean position [mm], ``(3,)`` float32.
        tangents: Change of position per cell, down and right [mm], ``(3, 2)`` float32.
        detail: Band-passed grey, evened out, 1/32 of its contrast, ``(rows, columns)`` int8.
    """

    centre: np.ndarray
    tangents: np.ndarray
    detail: np.ndarray


def signature(reflectance: Tensor, shape: Tensor) -> Signature:
    """The signature of a patch.

    Args:
        reflectance: A map with the skin's marks, ``(C, h, w)``: the diffuse albedo where there is
            one, as encoded; the same kind for every patch.
        shape: Object-space positions [mm], ``(3, h, w)``; levels of a millimetre do.

    Raises:
        ValueError: If the sizes differ.
    """
    if reflectance.shape[1:] != shape.shape[1:]:
        raise ValueError(f"maps of {tuple(reflectance.shape)} and {tuple(shape.shape)}")
    cell = max(shape.shape[1:]) / _CELLS
    rows, columns = (max(1, round(side / cell)) for side in shape.shape[1:])
    grey = F.adaptive_avg_pool2d(reflectance.float().mean(dim=0, keepdim=True), (rows, columns))
    places = F.adaptive_avg_pool2d(shape.float(), (rows, columns))
    centre = places.mean(dim=(1, 2))
    down = torch.arange(rows)[:, None] - (rows - 1) / 2
    right = torch.arange(columns)[None] - (columns - 1) / 2
    tangents = [
        ((places - centre[:, None, None]) * along).mean(dim=(1, 2)) / along.square().mean()
        if along.numel() > 1
        else torch.zeros(3)
        for along in (down, right)
    ]
    return Signature(centre.numpy(), torch.stack(tangents, dim=1).numpy(), _detail(grey[0]).numpy())


def group(signatures: Sequence[Signature]) -> list[int]:
    """Numbers of groups: patches that show the same skin, and those linked through others.

    Of overlaps of a tenth of a patch and more, nearly all are found, also between expressions, and
    no link between different procedural faces (``benchmarks/near_duplicates.py``); smaller overlaps
    are left alone. All pairs are looked at, but only those at the same place are correlated: 1,500
    patches take half a minute on one core, and some 100 MB beside the signatures.

    Args:
        signatures: Of all patches.

    Returns:
        A number for each patch, counted from 0 in the order of the groups' first patches.

    Raises:
        InputError: If the patches differ in size.
    """
    sizes = sorted({each.detail.shape for each in signatures})
    if len(sizes) > 1:
        raise InputError(
            f"patches with sides in proportions {sizes}", "patches of one size", "crop them alike"
        )
    parents = list(range(len(signatures)))
    for one, other in linked_pairs(signatures):
        first, second = sorted((_root(parents, one), _root(parents, other)))
        parents[second] = first
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(parents, i), len(numbers)) for i in range(len(parents))]


def linked_pairs(signatures: Sequence[Signature]) -> Iterator[tuple[int, int]]:
    """Pairs of patches that show the same skin; what `group` joins.

    Args:
        signatures: Of all patches, of one size.

    Yields:
        Numbers of two patches, the lower one first; a pair of copies may come twice.
    """
    first: dict[bytes, int] = {}
    for i, each in enumerate(signatures):
        copy_of = first.setdefault(each.centre.tobytes() + each.detail.tobytes(), i)
        if copy_of != i:
            yield copy_of, i
    for one in range(0, len(signatures), _BLOCK):
        spectra = _spectra(signatures[one : one + _BLOCK])
        for other in range(one, len(signatures), _BLOCK):
            ones, others, shifts = _near(signatures, one, other)
            if not len(ones):
                continue
            across = spectra if other == one else _spectra(signatures[other : other + _BLOCK])
            for start in range(0, len(ones), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                product = spectra[ones[part] - one] * across[others[part] - other].conj()
                size = signatures[0].detail.shape
                found = _best_shifts(product, shifts[part], size)
                for i, j, shift in zip(ones[part], others[part], found, strict=True):
                    if _likeness(signatures[i].detail, signatures[j].detail, shift) >= _ALIKE:
                        yield int(i), int(j)


def split_groups(
    groups: Sequence[int], val_fraction: float, seed: int
) -> tuple[list[int], list[int]]:
    """Patches for training and for validation, whole groups on either side.

    Which groups is drawn at random; how many patches comes as near to the share as whole groups
    allow, with at least one patch on each side. A miss of over one per cent is logged.

    Args:
        groups: The group of each patch.
        val_fraction: Share of the patches for validation, between 0 and 1.
        seed: Of the draw.

    Returns:
        Numbers of the training and of the validation patches, rising.

    Raises:
        InputError: If there are not two groups, or the share is not between 0 and 1.
    """
    members: dict[int, list[int]] = {}
    for number, name in enumerate(groups):
        members.setdefault(name, []).append(number)
    largest = max((len(each) for each in members.values()), default=0)
    if len(members) < 2 or not 0 < val_fraction < 1:
        raise InputError(
            f"{len(groups)} patches in {len(members)} groups, val_fraction={val_fraction}",
            "two groups of patches without common skin, and a share between 0 and 1",
            "add patches of other faces, or split them by hand",
        )
    chosen = _nearest_sum(sorted(members.values()), val_fraction * len(groups), seed)
    held = {number for each in chosen for number in each}
    if abs(len(held) - val_fraction * len(groups)) > max(1, _SHARE_MISSED * len(groups)):
        log.warning(
            "%d of %d patches are for validation, not %g %%: groups of the same skin stay together,"
            " and the largest has %d patches",
            len(held), len(groups), 100 * val_fraction, largest,
        )  # fmt: skip
    return [number for number in range(len(groups)) if number not in held], sorted(held)


def _nearest_sum(groups: Sequence[list[int]], target: float, seed: int) -> list[list[int]]:
    """Groups drawn so that their sizes add up as near to the target as any choice of them."""
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    total = sum(len(each) for each in shuffled)
    reached = [1]  # bit n: some of the groups so far add up to n
    for each in shuffled:
        reached.append(reached[-1] | reached[-1] << len(each))
    sums = [n for n in range(1, total) if reached[-1] >> n & 1]
    left, chosen = min(sums, key=lambda n: (abs(n - target), n)), []
    for i in range(len(shuffled), 0, -1):
        if not reached[i - 1] >> left & 1:
            chosen.append(shuffled[i - 1])
            left -= len(shuffled[i - 1])
    return chosen


def _root(parents: list[int], member: int) -> int:
    while parents[member] != member:
        parents[member] = parents[parents[member]]
        member = parents[member]
    return member


def _detail(grey: Tensor) -> Tensor:
    """Detail of ``(rows, columns)`` grey, evened out, int8."""
    band = _blur(grey, _FINE) - _blur(grey, _COARSE)
    contrast = _blur(band.square(), _CONTRAST).clamp(min=0).sqrt() + _LEAST_CONTRAST
    return (band / contrast * _INT8).round().clamp(-127, 127).to(torch.int8)


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of what lies inside the image."""

    def band(side: int) -> Tensor:
        at = torch.arange(side, dtype=torch.float32)
        weights = torch.exp(-(at[:, None] - at).square() / (2 * sigma**2))
        return weights / weights.sum(dim=1, keepdim=True)

    return band(image.shape[0]) @ image @ band(image.shape[1]).T


def _spectra(signatures: Sequence[Signature]) -> Tensor:
    details = torch.from_numpy(np.stack([each.detail for each in signatures])).float() / _INT8
    return torch.fft.rfft2(details, s=[2 * side for side in details.shape[1:]])


def _near(
    signatures: Sequence[Signature], one: int, other: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of two blocks that may overlap, and the shift between them that positions give.

    Returns:
        Numbers of the ones and of the others, ``(n,)``, and where the others' first cell lies in
        the ones, ``(n, 2)`` whole cells.
    """
    ones, others = signatures[one : one + _BLOCK], signatures[other : other + _BLOCK]
    tangents = np.stack([each.tangents for each in ones])[:, None] / 2
    tangents = tangents + np.stack([each.tangents for each in others])[None] / 2
    apart = np.stack([each.centre for each in others])[None]
    apart = (apart - np.stack([each.centre for each in ones])[:, None])[..., None]
    turned = tangents.swapaxes(-1, -2)
    squares = turned @ tangents + 1e-9 * np.eye(2)  # of a shape that is one point, not singular
    shifts = np.linalg.solve(squares, turned @ apart)
    beside = np.linalg.norm((tangents @ shifts - apart)[..., 0], axis=-1)
    shifts = np.rint(shifts[..., 0].clip(-1e6, 1e6)).astype(np.int64)
    sides = np.array(ones[0].detail.shape)
    shared = (sides - (np.abs(shifts) - _SEARCH).clip(min=0)).clip(min=0).prod(axis=-1)
    close = (beside <= _APART) & (shared >= _LEAST_OVERLAP * sides.prod())
    if one == other:
        close &= np.triu(np.ones_like(close), 1)
    rows, columns = np.nonzero(close)
    return rows + one, columns + other, shifts[rows, columns]


def _best_shifts(
    product: Tensor, expected: np.ndarray, size: tuple[int, ...]
) -> list[tuple[int, int]]:
    """The shifts near those expected at which details correlate best, given their spectra.

    The correlation is divided by the root of the overlap: of random details all shifts are then
    equally likely to win.
    """
    rows, columns = size
    correlation = torch.fft.irfft2(product, s=(2 * rows, 2 * columns))
    around = torch.arange(-_SEARCH, _SEARCH + 1)
    start = torch.from_numpy(expected)
    down, right = start[:, :1] + around, start[:, 1:] + around
    overlap = (rows - down.abs()).clamp(min=0)[:, :, None]
    overlap = overlap * (columns - right.abs()).clamp(min=0)[:, None]
    pairs = torch.arange(len(product))[:, None, None]
    values = correlation[pairs, (down % (2 * rows))[:, :, None], (right % (2 * columns))[:, None]]
    enough = overlap >= _LEAST_OVERLAP * rows * columns
    scores = torch.where(enough, values / overlap.clamp(min=1).sqrt(), -math.inf)
    best = scores.flatten(1).argmax(dim=1)
    down = down.gather(1, best[:, None] // len(around))[:, 0]
    right = right.gather(1, best[:, None] % len(around))[:, 0]
    return list(zip(down.tolist(), right.tolist(), strict=True))


def _likeness(one: np.ndarray, other: np.ndarray, shift: tuple[int, int]) -> float:
    """Lower quartile of the correlations of the tiles of an overlap, in [-1, 1]."""
    down, right = shift
    rows, columns = one.shape
    first = one[max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)]
    second = other[max(-down, 0) : rows - max(down, 0), max(-right, 0) : columns - max(right, 0)]
    high, wide = first.shape[0] // _TILE, first.shape[1] // _TILE
    if not high * wide:
        return 0.0
    a, b = (
        each[: high * _TILE, : wide * _TILE].astype(np.float32).reshape(high, _TILE, wide, _TILE)
        for each in (first, second)
    )
    power = (a * a).sum(axis=(1, 3)) * (b * b).sum(axis=(1, 3))
    agreeing = (a * b).sum(axis=(1, 3)) / np.sqrt(power).clip(min=1)
    return float(np.quantile(agreeing, 0.25))
