"""Which predicted subject goes with which true one, and whether they can be compared at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realface.errors import InputError
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.record import FILE_NAME
from realface.maps.subject import Subject, map_files, record_of
from realface.metrics.image import SMALLEST

log = logging.getLogger(__name__)

SHARED = ("texture", "shape", "shape_normals", "occlusion")
"""Maps that regions, baselines and shading take from the truth's side."""


@dataclass(frozen=True)
class Pair:
    """One subject to be scored, checked.

    Attributes:
        name: The truth's folder's name.
        predicted: What was made.
        truth: What it should be.
        inputs: Where texture, shape and shape_normals are, if not with the truth.
        kinds: Reflectance maps in both.
        mask: Valid texels; None: all.
    """

    name: str
    predicted: Subject
    truth: Subject
    inputs: Subject
    kinds: tuple[str, ...]
    mask: MapFile | None

    def shared(self, kind: str) -> MapFile | None:
        """A map that no score is about, from the inputs, else from the truth; None: not there."""
        for subject in (self.inputs, self.truth):
            if kind in subject:
                return subject.open(kind)
        return None

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.truth.open(self.kinds[0]).size


def find_pairs(
    predicted: Path, truth: Path, mask: Path | None = None, inputs: Path | None = None
) -> list[Pair]:
    """Pairs of subjects, by name; nothing but headers is read.

    Args:
        predicted: A subject folder, or a folder of them.
        truth: Likewise, of the same names.
        mask: Valid texels of all subjects, instead of the truths' own.
        inputs: What they were predicted from: a subject folder, or a folder of them.

    Raises:
        InputError: If one is a subject and the other is not, no name or no map is in both, or
            sizes or spaces differ.
    """
    for folder in (predicted, truth, *([inputs] if inputs else [])):
        if not folder.is_dir():
            raise InputError(f"{folder}, which is no folder", "a subject folder", "check the path")
    one = is_subject(truth)
    for folder in (predicted, *([inputs] if inputs else [])):
        if is_subject(folder) != one:
            raise InputError(
                f"{folder}, {_what(is_subject(folder))}, with {truth}, {_what(one)}",
                "both subjects, or both folders of subjects of the same names",
                "name one subject of each, or the folder above",
            )
    if one:
        return [_pair(predicted, truth, mask, inputs or truth)]
    names = _shared_names(predicted, truth, inputs)
    return [_pair(predicted / name, truth / name, mask, (inputs or truth) / name) for name in names]


def is_subject(folder: Path) -> bool:
    """Whether a folder holds maps itself."""
    return (folder / FILE_NAME).is_file() or bool(map_files(folder))


def _what(subject: bool) -> str:
    return "a subject" if subject else "a folder without maps of its own"


def _subjects_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and is_subject(path)}


def _shared_names(predicted: Path, truth: Path, inputs: Path | None) -> list[str]:
    made, true = _subjects_in(predicted), _subjects_in(truth)
    names = sorted(made & true)
    if not names:
        raise InputError(
            f"{predicted} with {_listed(made)} and {truth} with {_listed(true)}",
            "subject folders of the same names in both",
            "rename the folders, or name one subject of each",
        )
    for missing, where in ((true - made, predicted), (made - true, truth)):
        if missing:
            log.warning("not in %s and left out: %s", where, _listed(missing))
    if inputs is not None and (lacking := set(names) - _subjects_in(inputs)):
        raise InputError(
            f"--inputs {inputs} without {_listed(lacking)}",
            "a subject folder for every subject that is scored",
            "add them, or leave --inputs out",
        )
    return names


def _listed(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "") or (
        "no subject"
    )


def _pair(predicted: Path, truth: Path, mask: Path | None, inputs: Path) -> Pair:
    made, true = Subject(predicted), Subject(truth)
    given = true if inputs.resolve() == truth.resolve() else Subject(inputs)
    kinds = tuple(kind for kind in REFLECTANCE if kind in made and kind in true)
    if not kinds:
        raise InputError(
            f"{predicted} with {_kinds(made)} and {truth} with {_kinds(true)}",
            f"one of {', '.join(REFLECTANCE)} in both",
            "check that the folders are what was predicted and what is true",
        )
    pair = Pair(true.name, made, true, given, kinds, _mask_file(mask, true))
    _check_sizes(pair)
    for kind in kinds:
        if KINDS[kind].encoding == "unit_vector":
            _check_space(made.open(kind), true.open(kind))
    return pair


def _kinds(subject: Subject) -> str:
    return ", ".join(subject.record.maps)


def _mask_file(path: Path | None, truth: Subject) -> MapFile | None:
    if path is None:
        return truth.open("mask") if "mask" in truth else None
    if not path.is_file():
        raise InputError(f"--mask {path}, which is no file", "an image", "check the path")
    return MapFile(path, KINDS["mask"], record_of(path, "mask"))


def _check_sizes(pair: Pair) -> None:
    size = pair.size
    if min(size) < SMALLEST:
        raise InputError(
            f"maps of {size[0]}x{size[1]} (height x width)",
            f"at least {SMALLEST}x{SMALLEST}: SSIM has a window",
            "compare larger maps",
        )
    files: Sequence[MapFile | None] = (
        *(subject.open(kind) for kind in pair.kinds for subject in (pair.truth, pair.predicted)),
        *(pair.shared(kind) for kind in SHARED),
        pair.mask,
    )
    for file in files:
        if file is not None and file.size != size:
            raise InputError(
                f"{file.path} of {file.size[0]}x{file.size[1]} (height x width)",
                f"the size of {pair.truth.open(pair.kinds[0]).path}: {size[0]}x{size[1]}",
                "predict at that size, or add the map again with `realface add ... --resample`: "
                "scores of maps that were resampled are scores of the resampling too",
            )


def _check_space(predicted: MapFile, truth: MapFile) -> None:
    """One space, and vectors in it: an offset is no normal."""
    if predicted.record.space == truth.record.space == "tangent":
        return
    predicted.require_object_space()
    truth.require_object_space()
