"""Subjects whose texels are of another size than training's: run at training's, and brought back.

A network knows pores and wrinkles by their size in texels. A map that is coarser is enlarged
before, a finer one reduced; what the networks make is brought back to the subject's own size.
"""

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from realface.errors import InputError
from realface.geometry.measure import millimetres_per_texel, millimetres_per_unit_from_width
from realface.maps.files import disk_failure
from realface.maps.io import MapFile
from realface.maps.record import MapRecord, default_record
from realface.maps.resampled import bounded, resample_window
from realface.maps.subject import Subject
from realface.maps.writers import Compression, open_writer
from realface.pipeline.outside import ORIGIN, RIM, Outside, fill_outside
from realface.pipeline.results import Done, read_done, write_done, write_subject
from realface.pipeline.stages import in_order
from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)

Scale = Literal["auto", "none"]
"""``auto``: run at the size of texel that the networks were trained at; ``none``: as it is."""

FOLDER = "at_trained_texel"
"""Within the output: the maps as the networks made them."""

TOLERANCE = 1.25
"""Texels that differ from training's by no more than this factor are left as they are."""

MOST_ENLARGED, MOST_REDUCED, LARGEST_SIDE = 4.0, 8.0, 8192
"""Of a side, and the side itself [px]: beyond these a subject is run as it is."""

_BAND = 256  # rows that are brought back at once


@dataclass(frozen=True)
class TexelSize:
    """How large a subject's texels are, beside training's.

    Attributes:
        texel: Of the subject [mm].
        trained: Of the first translator that knows [mm].
        size: ``(height, width)`` to run at [px]; None: as it is.
        refused: Why it is run as it is although texels differ; empty: it is not so.
    """

    texel: float
    trained: float
    size: tuple[int, int] | None
    refused: str = ""

    def __str__(self) -> str:
        about = f"{self.texel:.3g} mm a texel, trained at {self.trained:.3g}"
        if self.size is None:
            return f"texel       {about}: run as it is"
        return "texel       {}: run at {}x{} (height x width), maps brought back".format(
            about, *self.size
        )


def texel_size(
    subject: Subject,
    translators: Mapping[str, TrainedTranslator],
    texel: float | None = None,
    scale: Scale = "auto",
) -> TexelSize | None:
    """Measure a subject and choose the size to run it at.

    Args:
        subject: With a shape, unless ``texel`` is given.
        translators: By the map that they make.
        texel: Of the subject, where it is known better [mm]; None: measured.
        scale: Whether it may be run at another size.

    Returns:
        None where the subject or every translator does not know its texels.

    Raises:
        InputError: If the mask is empty, or the shape has no width.
    """
    descriptors = [translator.descriptor for translator, _ in in_order(translators)]
    known = [one.millimetres_per_texel for one in descriptors if one.millimetres_per_texel]
    if not known or (texel is None and "shape" not in subject):
        return None
    texel = texel or _measured(subject)
    ratio = texel / known[0]
    if scale == "none" or 1 / TOLERANCE <= ratio <= TOLERANCE:
        return TexelSize(texel, known[0], None)
    multiple = math.lcm(*(one.multiple_of for one in descriptors))
    height, width = (_rounded(side * ratio, multiple) for side in subject.size())
    refused = ""
    if ratio > MOST_ENLARGED:
        refused = f"enlarged {ratio:.3g} times, and {MOST_ENLARGED:g} is the most"
    elif ratio < 1 / MOST_REDUCED:
        refused = f"reduced {1 / ratio:.3g} times, and {MOST_REDUCED:g} is the most"
    elif max(height, width) > LARGEST_SIDE and ratio > 1:
        refused = f"{height}x{width}, and a side of {LARGEST_SIDE} is the most"
    return TexelSize(texel, known[0], None if refused else (height, width), refused)


def tell(found: TexelSize | None) -> None:
    """Say what texels of another size mean."""
    if found is None:
        log.info("texels' size is not known, of the subject or of the networks: run as it is")
    elif found.refused:
        log.warning(
            "a texel has %.3g mm and the networks were trained at %.3g; it is not resampled, since "
            "it would be %s: expect detail of the wrong size. If the size is wrong, give --texel",
            found.texel,
            found.trained,
            found.refused,
        )
    elif found.size is not None:
        finer = found.texel < found.trained
        log.warning(
            "a texel has %.3g mm and the networks were trained at %.3g: run at %dx%d (height x "
            "width), maps are brought back to the subject's size, %s",
            found.texel,
            found.trained,
            *found.size,
            "without detail that is finer than the networks know"
            if finer
            else "and detail finer than its texels is the networks' own",
        )


def bring_back(
    subject: Subject,
    kinds: Sequence[str],
    output: Path,
    *,
    form: str,
    bits: int,
    compression: Compression,
    outside: Outside,
) -> None:
    """Resample maps from `FOLDER` within the output into the output, by bands of rows.

    A map that is there and was brought back from the same file is kept.

    Args:
        subject: At its own size.
        kinds: Of the maps.
        output: Where they go.
        form: Suffix of their files.
        bits: Per channel.
        compression: Of TIFF.
        outside: What they hold where the subject's mask is not set; the maps in `FOLDER` are
            padded there.

    Raises:
        FailureError: If the disk refuses.
    """
    made, size, done = Subject(output / FOLDER), subject.size(), read_done(output)
    mask = subject.open("mask") if "mask" in subject else None
    try:
        for kind in kinds:
            source, path = made.open(kind), output / f"{kind}.{form}"
            origin = subject.open(ORIGIN[kind]) if outside == "input" and kind in ORIGIN else None
            record = replace(default_record(kind, path.name, *size, bits), derived=True)
            mark = _mark(
                source, [one for one in (mask, origin) if one], record, compression, outside
            )
            if path.is_file() and kind in done and done[kind].job == mark:
                log.info("%s is there already, from the same map", path)
                continue
            with open_writer(path, kind, record, compression) as writer:
                for y in range(0, size[0], _BAND):
                    rows = min(_BAND, size[0] - y)
                    writer.write(y, 0, _band(source, size, y, rows, mask, origin, outside))
            write_subject(output, subject.record, kind, record)
            done[kind] = Done(mark, ())
            write_done(output, subject.folder, done)
    except OSError as error:
        raise disk_failure(output, error) from error


def _band(
    source: MapFile,
    size: tuple[int, int],
    y: int,
    rows: int,
    mask: MapFile | None,
    origin: MapFile | None,
    outside: Outside,
) -> Tensor:
    """Rows of a map at the subject's size, with what is asked for outside its mask."""
    top, bottom = max(0, y - RIM), min(size[0], y + rows + RIM)  # rims reach in from neighbours
    box = top, 0, bottom - top, size[1]
    kind = source.kind.name
    values = bounded(resample_window(source.read, source.size, size, *box), source.kind)
    if mask is not None:
        maps = {"mask": mask.read(*box)[None]}
        if origin is not None:
            maps[ORIGIN[kind]] = origin.read(*box)[None]
        values = fill_outside({kind: values[None]}, maps, outside)[kind][0]
    return values[:, y - top : y - top + rows]


def _mark(
    source: MapFile,
    others: Sequence[MapFile],
    record: MapRecord,
    compression: Compression,
    outside: Outside,
) -> str:
    """Of everything that a map that is brought back depends on."""
    stats = [(one.path.resolve().as_posix(), one.path.stat()) for one in (source, *others)]
    stamps = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    text = repr(("brought back", stamps, record, compression, outside))
    return hashlib.sha256(text.encode()).hexdigest()


def of_texel(subject: Subject, texel: float) -> Subject:
    """The subject whose shape has the unit that makes its texels so large [mm].

    Raises:
        InputError: As `texel_size`.
    """
    if "shape" not in subject:
        return subject
    return subject.of_scale(texel / _measured(subject.of_scale(1.0)))


def _measured(subject: Subject) -> float:
    positions = subject.open("shape").whole()
    mask = subject.open("mask").whole() if "mask" in subject else None
    if mask is not None and mask.shape[-2:] != positions.shape[-2:]:
        raise InputError(
            f"{subject.folder}: a mask of another size than its shape",
            "maps of one size",
            "add the mask again with `realface add ... --resample`",
        )
    valid = positions.new_ones(positions[:1].shape) if mask is None else mask
    scale = subject.record.millimetres_per_unit
    if scale is None:
        scale = millimetres_per_unit_from_width(positions, valid)
    return millimetres_per_texel(positions, valid, scale)


def _rounded(side: float, multiple: int) -> int:
    """To the nearest multiple, which a network can read without padding."""
    return max(1, round(side / multiple)) * multiple


def kinds_made(translators: Mapping[str, TrainedTranslator]) -> list[str]:
    """The maps that the translators make, in order."""
    return [kind for _, kinds in in_order(translators) for kind in kinds]
