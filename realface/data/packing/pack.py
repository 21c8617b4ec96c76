"""A source to shards: subject folders, whole maps or lent patches."""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean

from realface.data.codecs import CODECS
from realface.data.index import Terms, expiry_warnings
from realface.data.packing.captures import Capture, fingerprint
from realface.data.packing.lent_splits import split_lent
from realface.data.packing.meanings import Said
from realface.data.packing.patch_folder import REALFACEDB_MILLIMETRES_PER_UNIT
from realface.data.packing.patches import Cutting, forget_maps
from realface.data.packing.sources import Source, find_source
from realface.data.packing.splits import Sample, split_subjects
from realface.data.packing.terms import NO_TERMS, joined_terms
from realface.data.packing.writing import check_out, plan_shards, write_shards
from realface.data.samples import Patch, write_patch
from realface.data.workers import cores, one_thread
from realface.errors import InputError
from realface.maps.kinds import KINDS

log = logging.getLogger(__name__)

_ESTIMATED = 4  # samples of a split that a dry run makes, to tell the size of all
_WORKER = 250 << 20  # bytes of a worker process, beside the maps that it cuts

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Packed:
    """What was packed, or would be.

    Attributes:
        folder: Where the shards are.
        samples: By split.
        kinds: Of map, in every sample.
        report: What was found and decided, lines for people.
    """

    folder: Path
    samples: Mapping[str, int]
    kinds: frozenset[str]
    report: tuple[str, ...]


@one_thread()
def pack(
    source: Path,
    out: Path,
    *,
    layout: Path | None = None,
    said: Said | None = None,
    leave_out: bool = False,
    patch: int = 512,
    stride: int = 256,
    patches_per_subject: int | None = None,
    minimum_valid: float = 0.5,
    val_fraction: float = 0.1,
    whole_faces: bool = True,
    samples_per_shard: int | None = None,
    codec: str = "png",
    workers: int | None = 1,
    millimetres_per_unit: float | None = None,
    seed: int = 0,
    terms: Terms | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Packed:
    """Pack a source into shards.

    A source is a subject folder, a folder of them, or any folder of maps whose kinds and keys
    are told by its names or a layout file. Images of at most the patch's size are lent patches,
    as RealFaceDB's are, and kept whole; patches are cut from larger ones, which are subjects.

    ``out`` is whole or absent. Shards that are finished when the work breaks off are kept beside
    it, and the same arguments go on from there. The same arguments give the same bytes, whatever
    the workers. Each worker holds the stored maps of the one subject that it cuts: up to 1 GB for
    6144 x 4096 at 16 bits, beside some 250 MB of its own.

    Args:
        source: The folder.
        out: New folder for the shards.
        layout: YAML file of per-kind patterns with ``{key}``; see
            `realface.data.discovery.layouts`.
        said: What the user says of encoding, space and green, by kind, or under None of all that
            have it; it overrides all else.
        leave_out: Pack without the files that do not pair, cannot be read or differ in size,
            instead of refusing them.
        patch: Side of a patch [px].
        stride: Step of the grid on which patches are cut from whole maps [px].
        patches_per_subject: Draw this many at random instead.
        minimum_valid: Share of a patch that must lie inside the mask.
        val_fraction: Share of subjects (or groups of patches, or of the map) for validation.
        whole_faces: Also pack each subject at 1/8 size.
        samples_per_shard: At most; None: as `plan_shards` chooses.
        codec: A name of `realface.data.codecs.CODECS`.
        workers: Processes; 1: this one; None: one per core, or as many as memory suffices for.
        millimetres_per_unit: Of ``shape``; it overrides what ``subject.json`` says.
        seed: Of the split and of random places.
        terms: What the user says of the source's; it overrides what ``subject.json`` says.
        dry_run: Write nothing.
        progress: Called with (done, in all, what is counted).

    Raises:
        InputError: If there is nothing to pack, files do not fit together, or ``out`` is in the
            way.
        FailureError: If the disk refuses.
    """
    _check_numbers(patch, stride, patches_per_subject, minimum_valid, val_fraction,
                   samples_per_shard, workers, millimetres_per_unit)  # fmt: skip
    if codec not in CODECS:
        raise InputError(f"codec {codec}", f"one of {', '.join(CODECS)}", "correct the flag")
    check_out(out.resolve())
    _check_apart(source.resolve(), out.resolve())
    found = find_source(source, layout, said or {}, leave_out, patch)
    held = joined_terms([capture.terms for capture in found.captures], terms or NO_TERMS)
    _tell_terms(held, source, found.lent)
    workers = workers or _default_workers(found)
    splits: Mapping[str, Sequence[Sample]]
    if found.lent:
        scale = millimetres_per_unit or _lent_scale(found)
        told = _with_title(progress, "signatures")
        splits, decided = split_lent(
            source, found.captures, scale, val_fraction, seed, workers, told
        )
    else:
        cutting = Cutting(patch, stride, patches_per_subject, minimum_valid, seed)
        told = _with_title(progress, "subjects")
        captures = [_scaled(capture, millimetres_per_unit) for capture in found.captures]
        splits, decided = split_subjects(
            captures, cutting, val_fraction, whole_faces, workers, told
        )
    plans = [
        plan
        for split, samples in splits.items()
        for plan in plan_shards(split, samples, samples_per_shard)
    ]
    counts = {split: len(samples) for split, samples in splits.items() if samples}
    kinds = frozenset(found.captures[0].kinds)
    if found.lent and "shape" in kinds:
        kinds |= {"shape_normals"}  # derived, where they are not there
    report = (*found.report, *decided, *_count_lines(counts, len(plans)))
    if dry_run:
        report = (*report, _size_line(splits, codec))
        forget_maps()
        return Packed(out.resolve(), counts, kinds, report)
    for line in report:
        log.info("%s", line)
    try:
        write_shards(
            out, plans, make_samples, codec=codec, workers=workers, terms=held,
            fingerprint=fingerprint(found.captures), progress=_with_title(progress, "samples"),
        )  # fmt: skip
    finally:
        forget_maps()
    return Packed(out.resolve(), counts, kinds, report)


def make_samples(items: Sequence[Sample]) -> Iterator[Patch]:
    """The samples of one shard."""
    return (item.sample() for item in items)


def _check_numbers(
    patch: int,
    stride: int,
    patches_per_subject: int | None,
    minimum_valid: float,
    val_fraction: float,
    samples_per_shard: int | None,
    workers: int | None,
    millimetres_per_unit: float | None,
) -> None:
    for name, value, good, expected in (
        ("patch", patch, patch >= 1, "at least 1"),
        ("stride", stride, stride >= 1, "at least 1"),
        ("patches per subject", patches_per_subject,
         patches_per_subject is None or patches_per_subject >= 1, "at least 1"),
        ("minimum valid", minimum_valid, 0 <= minimum_valid <= 1, "a share between 0 and 1"),
        ("val fraction", val_fraction, 0 < val_fraction < 1, "a share between 0 and 1"),
        ("samples per shard", samples_per_shard,
         samples_per_shard is None or samples_per_shard >= 1, "at least 1"),
        ("workers", workers, workers is None or workers >= 1, "at least 1"),
        ("millimetres per unit", millimetres_per_unit,
         millimetres_per_unit is None or 0 < millimetres_per_unit < math.inf, "a positive number"),
    ):  # fmt: skip
        if not good:
            raise InputError(f"{name} {value}", expected, "correct the flag")


def _default_workers(found: Source) -> int:
    """One per core, unless each holds a subject's whole maps and memory is short of that."""
    room = None if found.lent else _free_memory()
    if room is None:
        return cores()
    needed = _WORKER + max(map(_bytes_of, found.captures))
    workers = max(1, min(cores(), room // needed))
    if workers < cores():
        log.info(
            "%d workers for %d cores: each takes up to %.1f GB of the %.1f GB that are free",
            workers, cores(), needed / 1e9, room / 1e9,
        )  # fmt: skip
    return workers


def _bytes_of(capture: Capture) -> int:
    """Of its maps in memory, as they are stored."""
    return sum(
        math.prod(item.record.size) * KINDS[item.kind].channels * item.record.bits // 8
        for item in capture.maps
    )


def _free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say (not Linux)."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    found = re.search(r"^MemAvailable: +(\d+) kB$", path.read_text(), re.MULTILINE)
    return None if found is None else int(found[1]) << 10


def _check_apart(source: Path, out: Path) -> None:
    """Refuse a folder for shards within the source, where the next run would find them."""
    if out.is_relative_to(source) or source.is_relative_to(out):
        raise InputError(
            f"{out} for the shards of {source}",
            "a folder beside the source, not in it nor around it",
            "name another folder",
        )


def _tell_terms(held: Sequence[Terms], source: Path, lent: bool) -> None:
    today = date.today()
    past = [one.expires for one in held if one.expires and date.fromisoformat(one.expires) < today]
    if past:
        raise InputError(
            f"{source}, which must have been destroyed by {min(past)}",
            "data that may still be copied",
            "destroy it; or correct its date: --downloaded, --expires or subject.json",
        )
    for line in expiry_warnings(held, today, str(source)):
        log.warning("%s", line)
    if lent and all(one == NO_TERMS for one in held):
        log.warning(
            "nothing is said of the source's terms; RealFaceDB must be destroyed two years after "
            "its download: --downloaded YYYY-MM-DD records it, --expires another date"
        )


def _count_lines(counts: Mapping[str, int], shards: int) -> tuple[str, ...]:
    listed = ", ".join(f"{count} {split}" for split, count in counts.items())
    return (f"{sum(counts.values())} samples in {shards} shards: {listed}",)


def _size_line(splits: Mapping[str, Sequence[Sample]], codec: str) -> str:
    """The size of all shards, from a few samples that are made for it."""
    total = 0.0
    for samples in splits.values():
        step = max(1, len(samples) // _ESTIMATED)
        made = [write_patch(one.sample(), codec) for one in samples[::step][:_ESTIMATED]]
        if made:
            mean = fmean(sum(map(_in_tar, members.values())) for members in made)
            total += mean * len(samples)
    return f"about {total / 1e9:.2g} GB on disk as {codec}"


def _in_tar(member: bytes) -> int:
    """Bytes that a member takes: its own in blocks of 512, after a header of one."""
    return 512 + -(-len(member) // 512) * 512


def _scaled(capture: Capture, millimetres_per_unit: float | None) -> Capture:
    if millimetres_per_unit is None:
        return capture
    return replace(capture, millimetres_per_unit=millimetres_per_unit)


def _lent_scale(found: Source) -> float:
    if "shape" in found.captures[0].kinds:
        log.warning(
            "shape is taken as %g millimetres per unit; --millimetres-per-unit says otherwise",
            REALFACEDB_MILLIMETRES_PER_UNIT,
        )
    return REALFACEDB_MILLIMETRES_PER_UNIT


def _with_title(progress: Progress | None, title: str) -> Callable[[int, int], None] | None:
    """Progress of one sort of work."""
    return None if progress is None else lambda done, total: progress(done, total, title)
