"""Procedural subjects as subject folders."""

from pathlib import Path

from realface.maps.files import whole_folder
from realface.maps.record import SubjectRecord
from realface.maps.subject import save_map
from realface.synthetic.subject import ProceduralSubject

_BITS = {"mask": 8}  # the others: 16


def write_subject(seed: int, folder: Path, height: int, width: int) -> None:
    """Write all maps of one subject; the folder is either whole or absent.

    Args:
        seed: Of the subject.
        folder: New or empty folder.
        height: Of the maps [px].
        width: Of the maps [px].

    Raises:
        InputError: If the folder holds something, or the size is not 3:2.
        FailureError: If the disk refuses.
    """
    about: SubjectRecord | None = SubjectRecord(
        millimetres_per_unit=1.0,
        source="realface synth",
        licence="CC0-1.0",
        seed=seed,
    )
    maps = ProceduralSubject(seed).maps(height, width)
    with whole_folder(folder) as partial:
        for kind, values in maps.items():
            save_map(partial, kind, values, bits=_BITS.get(kind, 16), about=about)
            about = None  # in the json from here on
