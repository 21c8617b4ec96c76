"""Which lent patches train and which validate: by folder, and by the skin that they show."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from realface.data.packing.captures import Capture
from realface.data.packing.groups import group, split_groups
from realface.data.packing.patch_folder import LentPatch, signature_of
from realface.data.packing.splits import LEAST_SUBJECTS, Progress, Splits
from realface.data.workers import Step, run_tasks

log = logging.getLogger(__name__)

_CHUNK = 128  # patches to a process at a time; fewer in all are not worth one
_NO_SUBJECTS = {"", "train", "training", "val", "validation", "test", "testing", "front", "left",
                "right", "side"}  # fmt: skip

Result = TypeVar("Result")


def split_lent(
    source: Path,
    captures: Sequence[Capture],
    scale: float,
    val_fraction: float,
    seed: int,
    workers: int,
    progress: Progress | None = None,
) -> tuple[Splits, tuple[str, ...]]:
    """Lent patches by split, near-duplicates on one side; and lines for people.

    Args:
        source: The folder that they lie in.
        captures: The patches.
        scale: Millimetres per unit of their ``shape``.
        val_fraction: Share of the patches that validates.
        seed: Of the choice.
        workers: Signatures are made in as many processes.
        progress: Called with (signatures made, patches in all).

    Raises:
        InputError: If a map cannot be read, or all patches are of one group.
    """
    folders = subjects_by_folder([capture.name for capture in captures])
    skins = _groups(captures, scale, workers, progress)
    groups = skins if folders is None else _joined(skins, folders)
    train, val = split_groups(groups, val_fraction, seed)
    samples = [
        LentPatch(capture, n, capture.maps[0].path.relative_to(source).as_posix(), scale)
        for n, capture in enumerate(captures)
    ]
    splits: Splits = {
        "train": [samples[number] for number in train],
        "val": [samples[number] for number in val],
    }
    lines = [_group_line(skins, "shape" in captures[0].kinds)]
    if folders is None:
        log.warning("no subjects are known: validation patches may show faces seen in training")
    else:
        lines.append(f"{len(set(folders))} subjects told by folders; each is on one side")
    return splits, tuple(lines)


def subjects_by_folder(keys: Sequence[str]) -> list[int] | None:
    """Numbers of the subjects whose folders patches lie in; None where folders tell of none.

    They do where every key has one, and they are three or more, of two patches or more on average,
    whose names are not those of splits or views.
    """
    folders = [key.rpartition("/")[0] for key in keys]
    names = sorted(set(folders))
    if {name.rpartition("/")[2].lower() for name in names} & _NO_SUBJECTS:
        return None
    if "" in names or len(names) < LEAST_SUBJECTS or len(keys) < 2 * len(names):
        return None
    return [names.index(folder) for folder in folders]


def _joined(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Groups that keep together what either of two keeps together."""
    labels = list(other)
    for members in _members(one):
        together = {labels[n] for n in members}
        if len(together) > 1:
            first = min(together)
            labels = [first if label in together else label for label in labels]
    return labels


def _members(groups: Sequence[int]) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for number, label in enumerate(groups):
        found.setdefault(label, []).append(number)
    return list(found.values())


def _groups(
    captures: Sequence[Capture], scale: float, workers: int, progress: Progress | None
) -> list[int]:
    """The group of each patch: those that show the same skin share one."""
    if "shape" in captures[0].kinds:
        signed = _of_each(partial(signature_of, scale=scale), captures, workers, progress)
        return group(signed)
    log.warning("no shape: only copies of a patch are kept on one side, not those that overlap")
    first: dict[bytes, int] = {}
    digests = _of_each(_digest, captures, workers, progress)
    return [first.setdefault(digest, n) for n, digest in enumerate(digests)]


def _of_each(
    function: Callable[[Capture], Result],
    captures: Sequence[Capture],
    workers: int,
    progress: Progress | None,
) -> list[Result]:
    """Of every patch, in processes: what threads keep would lie scattered over a gigabyte."""
    chunks = [captures[at : at + _CHUNK] for at in range(0, len(captures), _CHUNK)]

    def tell(done: int) -> None:
        if progress is not None:
            progress(done, len(captures))

    parts = run_tasks(partial(_of_chunk, function), chunks, workers, tell)
    return [one for part in parts for one in part]


def _of_chunk(
    function: Callable[[Capture], Result], captures: Sequence[Capture], step: Step
) -> list[Result]:
    results = []
    for capture in captures:
        results.append(function(capture))
        step()
    return results


def _digest(capture: Capture) -> bytes:
    """Of a patch's pixels, in the first of its maps."""
    return hashlib.sha256(capture.maps[0].open().whole().numpy().tobytes()).digest()


def _group_line(groups: Sequence[int], by_skin: bool) -> str:
    sizes = Counter(groups)
    linked = sum(size for size in sizes.values() if size > 1)
    if not by_skin:
        return f"{len(groups)} patches, {linked} of them copies; overlaps unknown (no shape)"
    return (
        f"{len(groups)} patches in {len(sizes)} groups that share no skin: {linked} patches "
        f"overlap others, the largest group has {max(sizes.values())}"
    )
