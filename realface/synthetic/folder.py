"""Procedural subjects as subject folders."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from realface.maps.files import whole_folder
from realface.maps.record import SubjectRecord
from realface.maps.subject import save_map
from realface.synthetic.flaws import FLAWS, apply_flaws, check_flaws
from realface.synthetic.subject import ProceduralSubject


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
        InputError: If the folder holds something, the size is not 3:2, or a flaw is unknown.
        FailureError: If the disk refuses.
    """
    check_flaws(flaws, tuple(FLAWS))
    about = SubjectRecord(
        millimetres_per_unit=1.0,
        source="realface synth",
        licence="CC0-1.0",
        seed=seed,
    )
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
