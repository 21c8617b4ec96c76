"""Procedural subjects as subject folders: their names, their seeds, what is recorded of them."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from realface.errors import InputError
from realface.maps.files import whole_folder
from realface.maps.record import SubjectRecord
from realface.maps.subject import save_map
from realface.synthetic.flaws import FLAWS, apply_flaws, check_flaws
from realface.synthetic.subject import ProceduralSubject

_SEEDS = range(2**31)  # noise keeps 31 bits of a seed: beyond, subjects would share it


def subject_name(seed: int) -> str:
    """The name of a procedural subject's folder, and of the subject in shards."""
    return f"synthetic-{seed:06d}"


def check_seeds(first: int, count: int = 1) -> None:
    """Refuse seeds of subjects that are negative or that noise cannot tell apart.

    Args:
        first: Seed of the first subject.
        count: Of subjects, one seed after the other; at least 1.

    Raises:
        InputError: If one of them is not in [0, 2^31).
    """
    last = first + count - 1
    if first not in _SEEDS or last not in _SEEDS:
        raise InputError(
            f"seed {first}" if count == 1 else f"seeds {first} to {last}",
            f"0 to {_SEEDS[-1]}",
            "start from another seed, or make fewer subjects",
        )


def about_subject(seed: int, flaws: Sequence[str] = ()) -> SubjectRecord:
    """What ``subject.json`` says of a procedural subject, but for its maps.

    Args:
        seed: Of the subject.
        flaws: Names of `FLAWS`, in any order.

    Raises:
        InputError: If the seed is out of range, or a flaw is unknown.
    """
    check_seeds(seed)
    check_flaws(flaws, tuple(FLAWS))
    return SubjectRecord(
        millimetres_per_unit=1.0,
        source="realface synth",
        licence="CC0-1.0",
        seed=seed,
        flaws=tuple(name for name in FLAWS if name in flaws),
    )


def write_subject(
    seed: int, folder: Path, height: int, width: int, flaws: Sequence[str] = ()
) -> None:
    """Write all maps of one subject; the folder is either whole or absent.

    Args:
        seed: Of the subject.
        folder: New or empty folder.
        height: Of the maps [px].
        width: Of the maps [px].
        flaws: Of captures, to put on the maps: names of `FLAWS`.

    Raises:
        InputError: As `about_subject`, or if the folder holds something or the size is not 3:2.
        FailureError: If the disk refuses.
    """
    about = about_subject(seed, flaws)
    maps = ProceduralSubject(seed).maps(height, width)
    save_subject(folder, apply_flaws(maps, flaws, [seed]), about)


def save_subject(
    folder: Path, maps: dict[str, Tensor], about: SubjectRecord, *, derived: bool = False
) -> None:
    """Save maps by kind as a new subject folder: 16 bits, the mask 8; whole or not at all.

    Args:
        folder: New or empty folder.
        maps: ``(C, H, W)`` by kind.
        about: What ``subject.json`` says besides.
        derived: The maps were computed from something captured.
    """
    first: SubjectRecord | None = about
    with whole_folder(folder) as partial:
        for kind, values in maps.items():
            bits = 8 if kind == "mask" else 16
            save_map(partial, kind, values, bits=bits, derived=derived, about=first)
            first = None  # in the json from here on
