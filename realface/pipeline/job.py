"""One subject through its translators, in order, each stitched over the whole map."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from realface.errors import FailureError, InputError, is_out_of_memory
from realface.geometry.placement import PlacedShape, Placement, place
from realface.maps.files import disk_failure
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord, default_record
from realface.maps.subject import Subject
from realface.maps.writers import Compression, MapWriter, open_writer
from realface.networks.channels import DELIT_TEXTURE, WHOLE_TEXTURE
from realface.pipeline.chain import Chain, Precision
from realface.pipeline.outside import ORIGIN, RIM, Outside
from realface.pipeline.results import (
    Done,
    check_output,
    made_from,
    read_done,
    remove_map,
    write_done,
    write_subject,
)
from realface.pipeline.run import StageRun, Tolerance
from realface.pipeline.stages import (
    Offsets,
    Stage,
    chains,
    check_choices,
    given_kinds,
    lay_windows,
    offset_kinds,
)
from realface.pipeline.statistics import Mode
from realface.pipeline.texel_size import TOLERANCE
from realface.pipeline.tuning import batch_timer, feasible, first_plan
from realface.pipeline.whole_face import READ, DelitTexture, factor_for, whole_face_of, whole_light
from realface.shading.capture import squeezed
from realface.tiling.engine import Source, Stitched
from realface.tiling.pad import padded
from realface.tiling.plan import Plan
from realface.tiling.squeeze import Squeezed
from realface.tiling.tune import fastest
from realface.tiling.windows import Box
from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)

Format = Literal["tif", "png", "exr"]
Progress = Callable[[str, int, int], None]
"""Called with the map's kind, the windows done and their total."""

BITS: dict[Format, tuple[int, ...]] = {"tif": (8, 16), "png": (8, 16), "exr": (16, 32)}
"""What each format can hold, per channel."""

_BAND = 256  # px; a mask is read by so many rows, so that memory does not follow the map


class Job:
    """Everything checked, nothing computed.

    Args:
        subject: Its maps; those that a translator in the job makes are not read from it.
        translators: By the map that they make; one that makes several may be there for each. The
            whole-face stage by `realface.networks.channels.WHOLE_LIGHT`, where it is read.
        fused: Run all translators on each window, one after the other, instead of one after the
            other on the map: inputs are read once, intermediate maps stay in memory and are not
            rounded to files' bits; windows carry the sum of the margins.
        outside: What maps hold where the mask is not set.
        statistics: Of instance norms: over the map, see `realface.pipeline.statistics`, so that
            windows agree; ``live``: each window's own.
        tolerance: A margin with which windows differ by no more from the whole image, measured
            when the stage runs; ``exact``: by rounding alone.
        offsets: Whether windows' offsets are solved, see `Offsets`.
        **layout: As `lay_windows`: ``window``, ``overlap``, ``blend``, ``margin``, ``batch``,
            ``pad``.

    Raises:
        InputError: If a map is missing, damaged, of another size or space, the size does not fit
            the network, or choices do not go together.
    """

    def __init__(
        self,
        subject: Subject,
        translators: Mapping[str, TrainedTranslator],
        *,
        fused: bool = False,
        outside: Outside = "constant",
        statistics: Mode = "thumbnail",
        tolerance: Tolerance = "exact",
        offsets: Offsets = "auto",
        **layout: Any,
    ) -> None:
        self.subject, self._layout = subject, layout
        self.outside: Outside = outside
        self.statistics: Mode = statistics
        self.tolerance: Tolerance = tolerance
        self.offsets: Offsets = offsets
        self.pad = bool(layout.get("pad", False))
        self.size = subject.size()
        ordered = chains(translators, fused)
        check_choices(ordered, statistics, tolerance, offsets)
        read = [kind for one in ordered for kind in one.kinds]
        self._whole_face = whole_face_of(translators, read)
        self._delit: DelitTexture | None = None
        given = (*given_kinds(translators), *(READ if DELIT_TEXTURE in read else ()))
        self._files = self._open(given, ordered)
        self.stages = [self._stage(chain) for chain in ordered]
        self._placement = self._place(
            [translator for chain in ordered for translator, _ in chain.links]
        )

    def _open(self, given: Sequence[str], ordered: Sequence[Chain]) -> dict[str, MapFile]:
        mask = ("mask",) if "mask" in self.subject else ()
        origins = [kind for chain in ordered for kind in self._origins(chain)]
        kinds = dict.fromkeys((*given, *origins, *mask))
        files = {kind: self.subject.open(kind) for kind in kinds}
        self._box = _valid_box(files["mask"]) if mask else None
        for file in files.values():
            file.require_object_space()
        if "mask" not in files:
            log.info("%s: no mask, every texel is taken as valid", self.subject.folder)
        elif self._box is None:
            raise InputError(
                f"{files['mask'].path}, which leaves no texel",
                "a mask that is white where the face is",
                "check the mask, or leave it out",
            )
        return files

    def _origins(self, chain: Chain) -> list[str]:
        """What is read only because it fills the outside."""
        if self.outside != "input" or "mask" not in self.subject:
            return []
        wanted = (ORIGIN.get(kind) for kind in chain.outputs)
        return [kind for kind in wanted if kind is not None]

    def _stage(self, chain: Chain) -> Stage:
        mask = ("mask",) if "mask" in self._files else ()
        inputs = tuple(dict.fromkeys((*mask, *chain.kinds, *self._origins(chain))))
        agree = not chain.spatial_statistics or self.statistics != "live"
        lay = partial(self._lay, chain, inputs, agree)
        laid = first_plan(lay, self._layout.get("window"))
        solved = offset_kinds(self.offsets, chain, laid, agree)
        return Stage(chain, laid, inputs, agree, offsets=solved)

    def _lay(self, chain: Chain, inputs: tuple[str, ...], agree: bool, **changed: Any) -> Plan:
        # Norms' statistics are those of all windows.
        within = None if chain.spatial_statistics else self._box
        layout = {"within": within, **self._layout, **changed}
        if self.outside == "padded":
            margin = layout.get("margin")
            layout["margin"] = (chain.margin if margin is None else margin) + RIM
        try:
            return lay_windows(self.size, chain, inputs, agree=agree, **layout)
        except InputError as error:
            given = f"{self.subject.folder}: {error.given}"
            raise InputError(given, error.expected, error.remedy) from error

    def _place(self, translators: Sequence[TrainedTranslator]) -> Placement | None:
        """Of the shape, where a translator reads it; warns where texels are of another size."""
        if "shape" not in self._files:
            return None
        given = self.subject.record.millimetres_per_unit
        placement = place(self._files["shape"], self._files.get("mask"), given)
        texel = placement.millimetres_per_texel
        for translator in translators:
            trained = translator.descriptor.millimetres_per_texel
            if trained and not 1 / TOLERANCE <= texel / trained <= TOLERANCE:
                log.warning(
                    "%s was trained at %.3g mm per texel, this subject has %.3g: expect detail of "
                    "the wrong size",
                    translator.descriptor.translator,
                    trained,
                    texel,
                )
        return placement

    def tune(self, device: str, precision: Precision = "float32") -> None:
        """Choose each stage's windows by measuring a few on the device, on made-up maps.

        Where windows are cut to agree, the size with the least time for the whole map is taken;
        otherwise, and where the sizes are given, time is only measured. Windows that do not fit
        into memory are not taken; where none does, `run` will halve them.

        Raises:
            InputError: If no size fits.
        """
        self.stages = [self._tuned(stage, device, precision) for stage in self.stages]

    def _tuned(self, stage: Stage, device: str, precision: Precision) -> Stage:
        plans = [stage.plan]
        if stage.agree and not stage.plan.ramp and "window" not in self._layout:
            lay = partial(self._lay, stage.chain, stage.inputs, stage.agree)
            plans = feasible(lambda window: lay(window=window))
        stage.chain.to(device)
        try:
            plan, seconds = fastest(plans, batch_timer(stage, device, precision))
        finally:
            stage.chain.to("cpu")
        return replace(stage, plan=plan, seconds=seconds if isfinite(seconds) else None)

    def __str__(self) -> str:
        stages = ["\n".join([str(stage), *self._before(stage)]) for stage in self.stages]
        times = [stage.total_seconds for stage in self.stages]
        known = [time for time in times if time is not None]
        if len(known) == len(times) > 1:
            stages.append(f"in all      about {sum(known):.0f} s in the networks")
        height, width = self.size
        about = f"subject     {self.subject.folder}, {height}x{width} (height x width)"
        return "\n\n".join([about, *stages])

    def _before(self, stage: Stage) -> Iterator[str]:
        """What a stage does before its windows run, and is not in its time."""
        if stage.agree and stage.chain.spatial_statistics:
            yield f"statistics  of the map's norms ({self.statistics}) are gathered before"
        if stage.agree and self.tolerance != "exact" and stage.plan.windows > 1:
            yield f"tolerance   one {self.tolerance} level; the margin for it is measured before"

    def run(
        self,
        output: Path,
        *,
        device: str = "cpu",
        form: Format = "tif",
        bits: int = 16,
        compression: Compression = "zlib",
        precision: Precision = "float32",
        progress: Progress | None = None,
    ) -> dict[str, Stitched]:
        """Stitch every map into a new subject folder.

        Each map is written under a temporary name and renamed when it is whole; a map that an
        earlier run of the same job finished is kept, and of a TIFF map that it did not finish
        the tiles that are whole. ``subject.json`` names the finished ones,
        marked as derived. Where a map is made anew by another job than before, the folder's maps
        that were made from the old one are removed with their entries: they no longer go with it.

        Args:
            output: The folder.
            device: Where the networks run; several with commas between share each map, where
                its windows are cut.
            form: File format of the maps.
            bits: Per channel: 8 or 16, for EXR 16 (half) or 32.
            compression: Of TIFF.
            precision: Of the networks' inner layers.
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
                mark = self._fingerprint(stage, records, compression, precision)
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
                        stage, paths, records, made, mark, device, compression, precision, progress
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
        mark: str,
        device: str,
        compression: Compression,
        precision: Precision,
        progress: Progress | None,
    ) -> Stitched:
        """Stitch one stage into its files."""
        sources = {
            kind: self._source(kind, stage, records, made, device.split(",")[0])
            for kind in stage.inputs
        }

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(stage.title, done, total)

        @contextmanager
        def sinks() -> Iterator[dict[str, MapWriter]]:
            with ExitStack() as stack:
                yield {
                    kind: stack.enter_context(
                        open_writer(path, kind, records[kind], compression, job=mark)
                    )
                    for kind, path in paths.items()
                }

        run = StageRun(
            stage,
            sources,
            self.size,
            lambda stage, **changed: self._lay(stage.chain, stage.inputs, stage.agree, **changed),
            devices=device.split(","),
            outside=self.outside,
            statistics=self.statistics,
            tolerance=self.tolerance,
            precision=precision,
            progress=report,
        )
        return run.into(sinks)

    def _source(
        self,
        kind: str,
        stage: Stage,
        records: Mapping[str, MapRecord],
        made: Mapping[str, Path],
        device: str,
    ) -> Source:
        source: Source
        if kind in made:
            bits = next(iter(records.values())).bits
            entry = self._record(kind, made[kind].name, bits)
            source = MapFile(made[kind], KINDS[kind], entry)
        elif kind == WHOLE_TEXTURE:
            return Squeezed(self._whole_texture, stage.plan.size, squeezed)
        elif kind == DELIT_TEXTURE:
            source = self._delit_texture(device)
        elif kind == "shape" and self._placement is not None:
            source = PlacedShape(self._files[kind], self._placement)
        else:
            source = self._files[kind]
        return padded(source, stage.plan.multiple_of) if self.pad else source

    def _delit_texture(self, device: str) -> DelitTexture:
        """By the whole-face stage, whose light is found once."""
        if self._delit is None:
            assert self._placement is not None
            kinds = [kind for kind in (*READ, "mask") if kind in self._files]
            sources: dict[str, Source] = {kind: self._files[kind] for kind in kinds}
            sources["shape"] = PlacedShape(self._files["shape"], self._placement)
            stage = self._whole_face
            trained = stage.descriptor.millimetres_per_texel if stage else None
            factor = factor_for(self.size, self._placement.millimetres_per_texel, trained)
            light = whole_light(stage, sources, factor, device)
            log.info("whole face: light found at %dx%d", *light.shape[1:])
            self._delit = DelitTexture(
                self._files["texture"], self._files["shape_normals"], light, factor
            )
        return self._delit

    def _whole_texture(self) -> Tensor:
        """``(3, H, W)``, black outside the mask, as in training."""
        texture = self._files["texture"].whole()
        return texture * (self._files["mask"].whole() > 0.5) if "mask" in self._files else texture

    def _record(self, kind: str, file: str, bits: int) -> MapRecord:
        return replace(default_record(kind, file, *self.size, bits), derived=True)

    def _fingerprint(
        self,
        stage: Stage,
        records: Mapping[str, MapRecord],
        compression: Compression,
        precision: Precision,
    ) -> str:
        """Of everything that the map depends on; files by name, size and time.

        Windows that give the whole image's result may be others the next time, and of any kind
        fewer may be computed at once.
        """
        files = [self._files[kind].path for kind in sorted(self._files)]
        choices = (self.pad, self.outside, self.statistics, self.tolerance)
        upstream = [
            source
            for one in self.stages[: self.stages.index(stage) + 1]
            for source in one.chain.sources
        ]
        if self._whole_face is not None:
            upstream.append(self._whole_face.source)
        stamps = [
            (path.resolve().as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
            for path in (*files, *upstream)
        ]
        plan = stage.plan
        windows: tuple[Any, ...] = (plan.rows, plan.columns, plan.ramp, plan.fade)
        pooled = self.statistics == "pooled" and stage.chain.spatial_statistics
        if stage.exact and not pooled:  # pooled statistics are those of these windows
            windows = ("exact",)
        if stage.offsets:
            windows += ("offsets", *stage.offsets)
        text = repr(
            (stamps, plan.size, windows, records, compression, precision, choices,
             self._placement)
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()


def _valid_box(mask: MapFile) -> Box | None:
    """From the first row and column that have a texel to the last; None: there is none."""
    height, width = mask.size
    rows = torch.zeros(height, dtype=torch.bool)
    columns = torch.zeros(width, dtype=torch.bool)
    for y in range(0, height, _BAND):
        valid = mask.read(y, 0, min(_BAND, height - y), width)[0] > 0.5
        rows[y : y + _BAND] = valid.any(1)
        columns |= valid.any(0)
    if not rows.any():
        return None
    (top, bottom), (left, right) = (one.nonzero()[[0, -1], 0].tolist() for one in (rows, columns))
    return (top, bottom + 1), (left, right + 1)


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
