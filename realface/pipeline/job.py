"""One subject through its translators, in order, each stitched over the whole map."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from realface.errors import FailureError, InputError, is_out_of_memory
from realface.geometry.placement import PlacedShape, Placement, place
from realface.maps.files import disk_failure
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord, default_record
from realface.maps.subject import Subject
from realface.maps.writers import Compression, open_writer
from realface.networks.channels import WHOLE_TEXTURE
from realface.pipeline.results import (
    Done,
    check_output,
    made_from,
    read_done,
    remove_map,
    write_done,
    write_subject,
)
from realface.pipeline.stages import Stage, given_kinds, in_order, lay_windows
from realface.shading.capture import squeezed
from realface.tiling.engine import Source, Stitched, stitch
from realface.tiling.pad import cropped, padded
from realface.tiling.squeeze import Squeezed
from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)

Format = Literal["tif", "png", "exr"]
Progress = Callable[[str, int, int], None]
"""Called with the map's kind, the windows done and their total."""

BITS: dict[Format, tuple[int, ...]] = {"tif": (8, 16), "png": (8, 16), "exr": (16, 32)}
"""What each format can hold, per channel."""

_SCALE_TOLERANCE = 1.5  # texel sizes further apart than this look different to a network


class Job:
    """Everything checked, nothing computed.

    Args:
        subject: Its maps; those that a translator in the job makes are not read from it.
        translators: By the map that they make; one that makes several may be there for each.
        window: Largest side of a window [px].
        overlap: Least overlap of neighbouring windows [px].
        batch: Windows computed at once.
        pad: Pad a map whose size does not fit the network, and crop the result.

    Raises:
        InputError: If a map is missing, damaged, of another size or space, or the size does not
            fit the network.
    """

    def __init__(
        self,
        subject: Subject,
        translators: Mapping[str, TrainedTranslator],
        *,
        window: int = 1536,
        overlap: int = 384,
        batch: int = 1,
        pad: bool = False,
    ) -> None:
        self.subject, self.pad = subject, pad
        self.size = subject.size()
        ordered = in_order(translators)
        self._files = self._open(translators)
        self.stages = [self._stage(*one, window, overlap, batch) for one in ordered]
        self._placement = self._place([translator for translator, _ in ordered])

    def _open(self, translators: Mapping[str, TrainedTranslator]) -> dict[str, MapFile]:
        mask = ("mask",) if "mask" in self.subject else ()
        files = {kind: self.subject.open(kind) for kind in (*given_kinds(translators), *mask)}
        for file in files.values():
            file.require_object_space()
        if "mask" not in files:
            log.info("%s: no mask, every texel is taken as valid", self.subject.folder)
        elif not (files["mask"].whole() > 0.5).any():
            raise InputError(
                f"{files['mask'].path}, which leaves no texel",
                "a mask that is white where the face is",
                "check the mask, or leave it out",
            )
        return files

    def _stage(
        self,
        translator: TrainedTranslator,
        outputs: tuple[str, ...],
        window: int,
        overlap: int,
        batch: int,
    ) -> Stage:
        mask = ("mask",) if "mask" in self._files else ()
        kinds = (*mask, *translator.kinds)
        try:
            laid = lay_windows(
                self.size,
                translator,
                kinds,
                window=window,
                overlap=overlap,
                batch=batch,
                pad=self.pad,
            )
        except InputError as error:
            given = f"{self.subject.folder}: {error.given}"
            raise InputError(given, error.expected, error.remedy) from error
        return Stage(translator, outputs, laid, kinds)

    def _place(self, translators: Sequence[TrainedTranslator]) -> Placement | None:
        """Of the shape, where a translator reads it; warns where texels are of another size."""
        if "shape" not in self._files:
            return None
        given = self.subject.record.millimetres_per_unit
        placement = place(self._files["shape"], self._files.get("mask"), given)
        texel = placement.millimetres_per_texel
        for translator in translators:
            trained = translator.descriptor.millimetres_per_texel
            if trained and not 1 / _SCALE_TOLERANCE < texel / trained < _SCALE_TOLERANCE:
                log.warning(
                    "%s was trained at %.3g mm per texel, this subject has %.3g: expect detail of "
                    "the wrong size",
                    translator.descriptor.translator,
                    trained,
                    texel,
                )
        return placement

    def __str__(self) -> str:
        lines = [f"subject     {self.subject.folder}"]
        for stage in self.stages:
            reads = ", ".join(stage.inputs)
            lines += [
                "",
                f"{stage.title} from {reads}, by {stage.translator.source}",
                str(stage.plan),
            ]
        return "\n".join(lines)

    def run(
        self,
        output: Path,
        *,
        device: torch.device | str = "cpu",
        form: Format = "tif",
        bits: int = 16,
        compression: Compression = "zlib",
        progress: Progress | None = None,
    ) -> dict[str, Stitched]:
        """Stitch every map into a new subject folder.

        Each map is written under a temporary name and renamed when it is whole; a map that an
        earlier run of the same job finished is kept. ``subject.json`` names the finished ones,
        marked as derived. Where a map is made anew by another job than before, the folder's maps
        that were made from the old one are removed with their entries: they no longer go with it.

        Args:
            output: The folder.
            device: Where the networks run.
            form: File format of the maps.
            bits: Per channel: 8 or 16, for EXR 16 (half) or 32.
            compression: Of TIFF.
            progress: Called after each batch of windows.

        Returns:
            By stage, how its windows agreed; without the maps that were kept.

        Raises:
            InputError: If the output folder holds maps that this job did not make, or the format
                cannot hold so many bits.
            FailureError: If the disk refuses, memory runs out, or a network returns NaN.
        """
        check_format(form, bits)
        check_output(output, self.subject.folder)
        results: dict[str, Stitched] = {}
        try:
            output.mkdir(parents=True, exist_ok=True)
            done = read_done(output)
            made: dict[str, Path] = {}
            for stage in self.stages:
                paths = {kind: output / f"{kind}.{form}" for kind in stage.outputs}
                records = {
                    kind: self._record(kind, path.name, bits) for kind, path in paths.items()
                }
                mark = self._fingerprint(stage, records, compression)
                before = {kind: done[kind] for kind in stage.outputs if kind in done}
                same = [kind for kind, one in before.items() if one.job == mark]
                if len(same) == len(paths) and all(path.is_file() for path in paths.values()):
                    for path in paths.values():
                        log.info("%s is there already, made by the same job", path)
                else:
                    # First disowned, so that a broken run leaves no claim on an old file.
                    done |= {kind: replace(one, job="") for kind, one in before.items()}
                    write_done(output, self.subject.folder, done)
                    results[stage.title] = self._stitch(
                        stage, paths, records, made, device, compression, progress
                    )
                    for kind in set(paths).difference(same):
                        for late in made_from(kind, done):
                            remove_map(output, late)
                            del done[late]
                for kind, record in records.items():
                    write_subject(output, self.subject.record, kind, record)
                    done[kind] = Done(mark, tuple(one for one in stage.inputs if one in made))
                write_done(output, self.subject.folder, done)
                made |= paths
        except OSError as error:
            raise disk_failure(output, error) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise FailureError(
                f"out of memory on {device}: {(str(error).splitlines() or ['no details'])[0]}",
                "memory for a batch of windows",
                "give a smaller --batch, with which finished maps are kept, a smaller --window or "
                "another --device",
            ) from error
        return results

    def _stitch(
        self,
        stage: Stage,
        paths: Mapping[str, Path],
        records: Mapping[str, MapRecord],
        made: Mapping[str, Path],
        device: torch.device | str,
        compression: Compression,
        progress: Progress | None,
    ) -> Stitched:
        sources = {kind: self._source(kind, stage, records, made) for kind in stage.inputs}
        translator = stage.translator.to(device)

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(stage.title, done, total)

        try:
            with ExitStack() as writers:
                sinks = {
                    kind: cropped(
                        writers.enter_context(open_writer(path, kind, records[kind], compression)),
                        self.size,
                    )
                    for kind, path in paths.items()
                }
                return stitch(
                    lambda maps: blank_outside(translator(maps), maps.get("mask")),
                    sources,
                    sinks,
                    stage.plan,
                    device=device,
                    counted="mask" if "mask" in stage.inputs else None,
                    progress=report,
                )
        finally:
            stage.translator.to("cpu")

    def _source(
        self,
        kind: str,
        stage: Stage,
        records: Mapping[str, MapRecord],
        made: Mapping[str, Path],
    ) -> Source:
        source: Source
        if kind in made:
            bits = next(iter(records.values())).bits
            entry = self._record(kind, made[kind].name, bits)
            source = MapFile(made[kind], KINDS[kind], entry)
        elif kind == WHOLE_TEXTURE:
            return Squeezed(self._whole_texture, stage.plan.size, squeezed)
        elif kind == "shape" and self._placement is not None:
            source = PlacedShape(self._files[kind], self._placement)
        else:
            source = self._files[kind]
        return padded(source, stage.plan.multiple_of) if self.pad else source

    def _whole_texture(self) -> Tensor:
        """``(3, H, W)``, black outside the mask, as in training."""
        texture = self._files["texture"].whole()
        return texture * (self._files["mask"].whole() > 0.5) if "mask" in self._files else texture

    def _record(self, kind: str, file: str, bits: int) -> MapRecord:
        return replace(default_record(kind, file, *self.size, bits), derived=True)

    def _fingerprint(
        self, stage: Stage, records: Mapping[str, MapRecord], compression: Compression
    ) -> str:
        """Of everything that the map depends on; files by name, size and time.

        How many windows are computed at once is left out: a smaller batch goes on from here.
        """
        files = [self._files[kind].path for kind in sorted(self._files)]
        upstream = [one.translator.source for one in self.stages[: self.stages.index(stage) + 1]]
        stamps = [
            (path.resolve().as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
            for path in (*files, *upstream)
        ]
        windows = stage.plan.size, stage.plan.rows, stage.plan.columns
        text = repr((stamps, windows, records, compression, self.pad, self._placement))
        return hashlib.sha256(text.encode()).hexdigest()


def check_format(form: Format, bits: int) -> None:
    """Refuse a bit depth that a format cannot hold.

    Raises:
        InputError: With what it can hold.
    """
    if bits not in BITS[form]:
        held = " or ".join(map(str, BITS[form]))
        raise InputError(
            f"{form} at {bits} bits",
            f"{held} bits per channel for {form}",
            f"choose {held}, or another format",
        )


def blank_outside(maps: Mapping[str, Tensor], mask: Tensor | None) -> dict[str, Tensor]:
    """Maps ``(B, C, H, W)`` with albedo 0 and normals (0, 0, 1) outside the mask."""
    if mask is None:
        return dict(maps)
    blanked = {}
    for kind, values in maps.items():
        blank = torch.zeros_like(values)
        if KINDS[kind].encoding == "unit_vector":
            blank[:, 2] = 1
        blanked[kind] = torch.where(mask > 0.5, values, blank)
    return blanked
