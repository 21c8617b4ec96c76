"""Procedural subjects straight to shards: only the windows that are kept are ever made."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from realface.data.codecs import CODECS
from realface.data.index import Index, Terms
from realface.data.packing.whole_faces import REDUCTION
from realface.data.packing.writing import plan_shards, write_shards
from realface.data.procedural import VALIDATION_SUBJECTS, draw_window, patch_key, subject_name
from realface.data.samples import Patch
from realface.errors import InputError
from realface.synthetic import ProceduralSubject
from realface.synthetic.flaws import IN_TRUTH, apply_flaws, check_flaws
from realface.synthetic.folder import about_subject
from realface.synthetic.lattice import CHART_WIDTH, Window
from realface.synthetic.placement import placements

_BITS = {"mask": 8}  # the others: 16


@dataclass(frozen=True)
class _Wanted:
    """A patch or a whole face before it is made: everything that its bytes depend on."""

    key: str
    seed: int
    map_size: tuple[int, int]
    window: Window
    flaws: tuple[str, ...]


def pack_procedural(
    out: Path,
    patches: int,
    *,
    height: int,
    width: int,
    subjects: int | None = None,
    first: int = 0,
    patch: int = 512,
    minimum_valid: float = 0.5,
    val_fraction: float = 0.1,
    whole_faces: bool = False,
    samples_per_shard: int | None = None,
    flaws: Sequence[str] = (),
    codec: str = "png",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Index:
    """Make patches of procedural subjects as shards, as `pack` makes them of subject folders.

    The same arguments give the same bytes, however many processes make them; ``out`` is either
    whole or absent. Shards that are finished when the work breaks off are kept beside it, and the
    same arguments go on from there.

    Args:
        out: New folder for the shards.
        patches: How many, training and validation together.
        height: Of the whole maps that the patches are windows of [px].
        width: Of the whole maps, half as much again.
        subjects: How many faces share the patches; None: every patch has a face of its own.
        first: Seed of the first subject; none of them may be held out (`VALIDATION_SUBJECTS`).
        patch: Side of a patch [px].
        minimum_valid: Share of a patch that lies inside the mask.
        val_fraction: Share of the subjects that is kept for validation, the last ones.
        whole_faces: Also make every subject as a whole, at 1/8 of the size.
        samples_per_shard: At most; None: as `plan_shards` chooses.
        flaws: Of captures, to put on the maps: names of `IN_TRUTH`.
        codec: A name of `realface.data.codecs.CODECS`.
        workers: Processes that make shards; 1: this one.
        progress: Called with (samples written, samples in all).

    Returns:
        The index that was written.

    Raises:
        InputError: If a number is out of range, the size is not 3:2, a flaw is not for maps that
            are learnt, or ``out`` is in the way.
        FailureError: If the disk refuses, memory runs out or a worker process is killed.
    """
    check_flaws(flaws, IN_TRUTH)
    faces = patches if subjects is None else min(subjects, patches)
    for name, value, good, expected in (
        ("patches", patches, patches >= 2, "at least 2: one to train on, one to validate"),
        ("subjects", subjects, faces >= 2, "at least 2: one to train on, one to validate"),
        ("seed", first, 0 <= first <= VALIDATION_SUBJECTS.start - faces,
         f"at least 0, and no face from {VALIDATION_SUBJECTS.start} on: they are held out"),
        ("patch", patch, patch >= 1, "at least 1"),
        ("minimum valid", minimum_valid, 0 <= minimum_valid <= 1, "a share between 0 and 1"),
        ("val fraction", val_fraction, 0 < val_fraction < 1, "a share between 0 and 1"),
        ("samples per shard", samples_per_shard,
         samples_per_shard is None or samples_per_shard >= 1, "at least 1"),
        ("codec", codec, codec in CODECS, f"one of {', '.join(CODECS)}"),
        ("workers", workers, workers >= 1, "at least 1"),
    ):  # fmt: skip
        if not good:
            raise InputError(f"{name} {value}", expected, "correct the flag")
    size = height, width
    _check_size(size, first)
    held = min(max(1, round(val_fraction * faces)), faces - 1)
    groups = {"": _windows(faces, patches, first, size, patch, minimum_valid, tuple(flaws))}
    if whole_faces:
        small = height // REDUCTION, width // REDUCTION
        _check_size(small, first)
        groups["whole-"] = _wholes(range(first, first + faces), small, tuple(flaws))
    splits = {
        f"{group}{name}": [one for one in wanted if (one.seed >= first + faces - held) == in_val]
        for group, wanted in groups.items()
        for name, in_val in (("train", False), ("val", True))
    }
    about = about_subject(first)
    return write_shards(
        out,
        [plan for split, wanted in splits.items()
         for plan in plan_shards(split, wanted, samples_per_shard)],
        _make,
        codec=codec,
        workers=workers,
        terms=[Terms(about.source, about.licence, about.expires)],
        fingerprint="procedural",
        progress=progress,
    )  # fmt: skip


def _check_size(size: tuple[int, int], seed: int) -> None:
    """Make one texel of a face: a size that faces are not made in is refused as such."""
    ProceduralSubject(seed).maps(*size, (0, 0, 1, 1))


def _windows(
    faces: int,
    patches: int,
    first: int,
    map_size: tuple[int, int],
    patch: int,
    minimum_valid: float,
    flaws: tuple[str, ...],
) -> list[_Wanted]:
    """Patches, subjects taking turns; no window twice."""
    generators = [random.Random(f"procedural {first + face}") for face in range(faces)]
    chosen: dict[_Wanted, None] = {}
    for number in range(patches):
        face = number % faces
        for _ in range(100):
            window = draw_window(generators[face], map_size, patch, minimum_valid)
            key = patch_key(first + face, window)
            one = _Wanted(key, first + face, map_size, window, flaws)
            if one not in chosen:
                break
        else:
            raise InputError(
                f"{patches} patches of {faces} subjects of {map_size[0]}x{map_size[1]}",
                "more places for patches than patches",
                "ask for fewer patches, more subjects or larger maps",
            )
        chosen[one] = None
    return list(chosen)


def _wholes(
    seeds: Sequence[int], map_size: tuple[int, int], flaws: tuple[str, ...]
) -> list[_Wanted]:
    return [_Wanted(subject_name(seed), seed, map_size, (0, 0, *map_size), flaws) for seed in seeds]


def _make(items: Sequence[_Wanted]) -> Iterator[Patch]:
    return map(_patch, items)


def _patch(wanted: _Wanted) -> Patch:
    seed, window, width = wanted.seed, wanted.window, wanted.map_size[1]
    maps = ProceduralSubject(seed).maps(*wanted.map_size, window)
    maps = apply_flaws(maps, wanted.flaws, [seed], windows=[window], map_width=width)
    placed = placements([seed])
    x, y, z = placed.centres[0].tolist()
    maps["shape"] = maps["shape"] - placed.centres[0][:, None, None]
    return Patch(
        key=wanted.key,
        subject=subject_name(seed),
        y=window[0],
        x=window[1],
        map_size=wanted.map_size,
        millimetres_per_texel=placed.stretch[0].item() * CHART_WIDTH / width,
        centre=(x, y, z),
        bits={kind: _BITS.get(kind, 16) for kind in maps},
        maps=maps,
    )
