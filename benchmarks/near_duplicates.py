"""Recall and false links of near-duplicate grouping, on procedural subjects as RealFaceDB is lent.

    python benchmarks/near_duplicates.py [--subjects 10] [--patches 75] [--width 3072]

Each subject is captured twice, the second time with another expression: positions moved by
millimetres, albedo warped by fractions of one, tone and noise changed. Patches of a twelfth of the
width are cut at random, 8 bits, shape over 180 mm. Links are counted by the share of a patch that
truly overlaps. Its peer is a hash that ignores places: the difference hash of the grey albedo,
8 x 8 bits, patches linked when at most 10 bits differ, as image libraries are cleaned.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realface.data.packing.groups import Signature, group, linked_pairs, signature, split_groups
from realface.synthetic import ProceduralSubject

LEVEL = 180 / 255  # millimetres
SHARES = ((0.5, 1.01), (0.25, 0.5), (0.1, 0.25))
HASH_BITS = 10

Pair = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where a patch was cut: subject, capture, top and left [texels]."""

    subject: int
    capture: int
    y: int
    x: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--patches", type=int, default=75, help="of each subject")
    parser.add_argument("--width", type=int, default=3072)
    given = parser.parse_args()
    torch.set_num_threads(1)
    side = given.width // 12
    places: list[Place] = []
    signatures: list[Signature] = []
    hashes: list[np.ndarray] = []
    seconds = 0.0
    for place, albedo, shape in patches(given.subjects, given.patches, given.width):
        start = time.perf_counter()
        signatures.append(signature(albedo, shape))
        seconds += time.perf_counter() - start
        places.append(place)
        hashes.append(difference_hash(albedo))
    print(f"{len(places)} patches of {side} x {side}, {given.subjects} subjects, two captures each")
    print(f"signature: {1000 * seconds / len(places):.1f} ms each")
    ways: dict[str, Callable[[], set[Pair]]] = {
        "groups": lambda: set(linked_pairs(signatures)),
        "difference hash": lambda: alike(hashes),
    }
    print("| way | same capture: >50 %, 25-50 %, 10-25 % | other capture | false links | s |")
    print("|---|---|---|---|---|")
    for name, links in ways.items():
        start = time.perf_counter()
        pairs = links()
        duration = time.perf_counter() - start
        recalls = [recall(places, pairs, side, other) for other in (False, True)]
        false = sum(places[i].subject != places[j].subject for i, j in pairs)
        print(f"| {name} | {recalls[0]} | {recalls[1]} | {false} | {duration:.1f} |", flush=True)
    groups = group(signatures)
    training, validation = split_groups(groups, 0.1, seed=0)
    people = {places[i].subject for i in training} & {places[i].subject for i in validation}
    print(f"{max(groups) + 1} groups, the largest of {max(Counter(groups).values())} patches;")
    print(f"{len(validation)} patches for validation, {len(people)} subjects on both sides")


def recall(places: Sequence[Place], pairs: set[Pair], side: int, other_capture: bool) -> str:
    """Shares of the truly overlapping pairs that were linked, by their overlap."""
    found, there = Counter[tuple[float, float]](), Counter[tuple[float, float]]()
    for j, second in enumerate(places):
        for i, first in enumerate(places[:j]):
            same = first.subject == second.subject
            if not same or (first.capture != second.capture) != other_capture:
                continue
            overlap = max(0, side - abs(first.y - second.y)) * max(
                0, side - abs(first.x - second.x)
            )
            for low, high in SHARES:
                if low <= overlap / side**2 < high:
                    there[low, high] += 1
                    found[low, high] += (i, j) in pairs
    return ", ".join(f"{found[share]}/{there[share]}" for share in SHARES)


def patches(subjects: int, count: int, width: int) -> Iterator[tuple[Place, Tensor, Tensor]]:
    """Patches as lent: place, albedo and shape [mm], both rounded to 8 bits."""
    rng = random.Random(0)
    height, side = width * 2 // 3, width // 12
    for subject in range(subjects):
        maps = ProceduralSubject(subject).maps(height, width)
        first = maps["diffuse_albedo"], maps["shape"]
        captures = first, other_expression(*first, seed=subject)
        cut = 0
        while cut < count:
            y, x = rng.randrange(height - side), rng.randrange(width - side)
            window = slice(None), slice(y, y + side), slice(x, x + side)
            if maps["mask"][window].mean() < 0.999:
                continue
            albedo, shape = captures[cut % 2]
            place = Place(subject, cut % 2, y, x)
            cut += 1
            yield (
                place,
                (albedo[window] * 255).round() / 255,
                (shape[window] / LEVEL).round() * LEVEL,
            )


def other_expression(albedo: Tensor, shape: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Another capture of a subject: moved, warped, of another tone, with noise of 1 %."""
    generator = torch.Generator().manual_seed(seed)
    height, width = shape.shape[1:]

    def smooth(channels: int, knots: int) -> Tensor:
        values = torch.randn(1, channels, knots, knots * 3 // 2, generator=generator)
        return F.interpolate(values, (height, width), mode="bicubic", align_corners=True)[0]

    texel = 272 / width  # millimetres, on average
    down, right = 0.18 / texel * smooth(2, 8)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = [(columns + right) / (width - 1), (rows + down) / (height - 1)]
    grid = 2 * torch.stack(places, dim=-1)[None] - 1
    warped = F.grid_sample(albedo[None], grid, align_corners=True)[0]
    noise = 0.01 * torch.randn(warped.shape, generator=generator)
    toned = warped * (1 + 0.05 * smooth(1, 4)) + noise
    return toned.clamp(0, 1), shape + 1.5 * smooth(3, 4)


def difference_hash(albedo: Tensor) -> np.ndarray:
    """64 bits: whether each of 8 x 8 cells is darker than its right neighbour."""
    cells = F.adaptive_avg_pool2d(albedo.mean(dim=0, keepdim=True), (8, 9))[0]
    return (cells[:, 1:] > cells[:, :-1]).flatten().numpy()


def alike(hashes: Sequence[np.ndarray]) -> set[Pair]:
    """Pairs whose hashes differ in few bits."""
    bits = np.stack(hashes)
    return {
        (i, i + 1 + int(j))
        for i in range(len(bits))
        for j in np.flatnonzero((bits[i] != bits[i + 1 :]).sum(axis=1) <= HASH_BITS)
    }


if __name__ == "__main__":
    main()
