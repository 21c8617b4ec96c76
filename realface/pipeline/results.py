"""The output folder: whose maps it holds, which are finished, and what may not be written over."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from realface.errors import InputError
from realface.maps.files import SUFFIXES, whole_file
from realface.maps.kinds import KINDS
from realface.maps.record import FILE_NAME, MapRecord, SubjectRecord, read_record, write_record

log = logging.getLogger(__name__)

DONE_NAME = "infer.json"
"""What was made from what: the same command goes on from here."""


@dataclass(frozen=True)
class Done:
    """A finished map.

    Attributes:
        job: Fingerprint of the job that made it; empty while it is being made anew.
        reads: The maps of the same output folder that it was made from.
    """

    job: str
    reads: tuple[str, ...]


def check_output(output: Path, subject: Path) -> None:
    """Refuse an output folder that holds anything but earlier results of the same subject.

    Raises:
        InputError: With what it holds.
    """
    expected, remedy = "a folder of its own for the results", "name a new --output folder"
    if output.resolve() == subject.resolve():
        raise InputError(f"--output {output}, the subject's own folder", expected, remedy)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output}, which is a file", expected, remedy)
    earlier = _read_subject(output)
    if earlier is not None:
        if earlier != subject.resolve().as_posix():
            raise InputError(f"--output {output}, which holds maps of {earlier}", expected, remedy)
    elif output.is_dir():
        names = (FILE_NAME, *(f"{kind}{suffix}" for kind in KINDS for suffix in SUFFIXES))
        found = next((name for name in names if (output / name).exists()), None)
        if found is not None:
            raise InputError(
                f"--output {output} with a {found} that infer did not make", expected, remedy
            )


def read_done(output: Path) -> dict[str, Done]:
    """The finished maps by kind; empty where nothing can be read."""
    try:
        maps = json.loads((output / DONE_NAME).read_text(encoding="utf-8"))["maps"]
        return {kind: Done(one["job"], tuple(one["reads"])) for kind, one in dict(maps).items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read_subject(output: Path) -> str | None:
    """Whose maps an earlier run made; None where there was none."""
    try:
        return str(json.loads((output / DONE_NAME).read_text(encoding="utf-8"))["subject"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_done(output: Path, subject: Path, done: Mapping[str, Done]) -> None:
    """Note the finished maps.

    Raises:
        FailureError: If the disk refuses; the note before stays.
    """
    maps = {kind: asdict(one) for kind, one in done.items()}
    text = json.dumps({"subject": subject.resolve().as_posix(), "maps": maps}, indent=2) + "\n"
    with whole_file(output / DONE_NAME) as partial:
        partial.write_text(text, encoding="utf-8")


def made_from(kind: str, done: Mapping[str, Done]) -> list[str]:
    """The finished maps that were made from a map, by way of others too."""
    found = [kind]
    for one in found:
        found += [name for name, about in done.items() if one in about.reads and name not in found]
    return found[1:]


def remove_map(output: Path, kind: str) -> None:
    """Take a map out of the folder: its entry first, so that none names a missing file.

    Raises:
        OSError: If the disk refuses.
    """
    there = read_record(output) if (output / FILE_NAME).exists() else SubjectRecord()
    if kind not in there.maps:
        return
    path = output / there.maps[kind].file
    kept = {name: one for name, one in there.maps.items() if name != kind}
    write_record(output, replace(there, maps=kept))
    path.unlink(missing_ok=True)
    log.warning("%s removed: it was made from a map that is now made anew", path)


def write_subject(output: Path, source: SubjectRecord, kind: str, record: MapRecord) -> None:
    """Enter a finished map in the folder's ``subject.json``; one of another size is dropped."""
    there = read_record(output) if (output / FILE_NAME).exists() else SubjectRecord()
    kept = {
        name: one
        for name, one in there.maps.items()
        if one.size == record.size and (output / one.file).is_file()
    }
    fresh = SubjectRecord(
        maps=kept,
        millimetres_per_unit=source.millimetres_per_unit,
        source=source.source,
        licence=source.licence,
        expires=source.expires,
        seed=source.seed,
    )
    write_record(output, fresh.with_map(kind, record))
