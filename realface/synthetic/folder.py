"""Procedural subjects as subject folders."""

from pathlib import Path

from realface.maps.record import SubjectRecord
from realface.maps.subject import save_map
from realface.synthetic.subject import ProceduralSubject

_BITS = {"mask": 8}  # the others: 16


def write_subject(seed: int, folder: Path, height: int, width: int) -> None:
    """Write all maps of one subject.

    Args:
        seed: Of the subject.
        folder: New subject folder.
        height: Of the maps [px].
        width: Of the maps [px].

    Raises:
        FailureError: If the disk refuses.
    """
    about: SubjectRecord | None = SubjectRecord(
        millimetres_per_unit=1.0,
        source="realface synth",
        licence="CC0-1.0",
        seed=seed,
    )
    for kind, values in ProceduralSubject(seed).maps(height, width).items():
        save_map(folder, kind, values, bits=_BITS.get(kind, 16), about=about)
        about = None  # in the json from here on
