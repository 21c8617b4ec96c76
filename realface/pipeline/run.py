"""One stage over a map: statistics, margin, windows, and smaller windows where memory is short."""

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from realface.errors import InputError, is_out_of_memory
from realface.maps.kinds import KINDS
from realface.maps.writers import MapWriter
from realface.networks.receptive import margin_for
from realface.pipeline.chain import Chain, Precision
from realface.pipeline.outside import ORIGIN, Outside, blank_map, fill_outside
from realface.pipeline.stages import Stage
from realface.pipeline.statistics import Mode, frozen_statistics
from realface.tiling.bands import stitch_on
from realface.tiling.engine import Progress, Source, Stitched, WindowFunction
from realface.tiling.join import Sink
from realface.tiling.offsets import NoSink, OffsetSource, window_offsets
from realface.tiling.pad import cropped
from realface.tiling.plan import Plan
from realface.tiling.surround import Surrounded
from realface.tiling.windows import Span, next_multiple

log = logging.getLogger(__name__)

Tolerance = Literal["exact", "16-bit", "8-bit"]
"""What windows may differ by from the whole image: rounding alone, or a level of so many bits."""

_LEVELS: dict[Tolerance, float] = {"16-bit": 2 / 65535, "8-bit": 2 / 255}
"""In the networks' range, which is 2 wide."""

_MOST_WINDOWS = 4096  # more of them would be of a few pixels

_OFFSETS = "offsets"
"""Name of the source that tells a window its albedos' offsets."""

Sinks = Callable[[], AbstractContextManager[Mapping[str, MapWriter]]]
"""Opens the stage's maps for writing."""


class StageRun:
    """A stage on its way.

    Args:
        stage: What runs, and by which windows.
        sources: Its inputs by kind.
        size: ``(height, width)`` of the map without padding [px].
        lay: From ``margin``, ``window`` and ``batch``, each if changed, to the stage's windows.
        devices: Where it runs; several share the map by bands, where windows are cut.
        outside: What maps hold where the mask is not set.
        statistics: Of instance norms.
        tolerance: Of the windows' margin.
        precision: Of the networks' inner layers.
        progress: Called with the windows done and their total.
    """

    def __init__(
        self,
        stage: Stage,
        sources: Mapping[str, Source],
        size: tuple[int, int],
        lay: Callable[..., Plan],
        *,
        devices: Sequence[str],
        outside: Outside,
        statistics: Mode,
        tolerance: Tolerance,
        precision: Precision,
        progress: Progress,
    ) -> None:
        self._stage, self._sources, self._size, self._lay = stage, sources, size, lay
        self._outside: Outside = outside
        self._statistics: Mode = statistics
        self._tolerance: Tolerance = tolerance
        self._precision: Precision = precision
        self._progress = progress
        self._devices = list(devices)
        placed = statistics == "patch" and stage.chain.spatial_statistics
        if len(devices) > 1 and (stage.plan.ramp or placed):
            log.warning(
                "%s: runs on %s alone, since its windows depend on others", stage.title, devices[0]
            )
            del self._devices[1:]

    def into(self, sinks: Sinks) -> Stitched:
        """Stitch the stage's maps; where a single window is too large for memory, smaller ones."""
        chain = self._stage.chain
        chain.to(self._devices[0])
        try:
            with self._agreeing() as (chain, sources):
                stage = self._within_tolerance(sources)
                workers = self._workers(chain)
                while True:
                    try:
                        return self._stitch(stage, workers, sources, sinks)
                    except (RuntimeError, MemoryError) as error:
                        smaller = self._smaller(stage) if is_out_of_memory(error) else None
                        if smaller is None:
                            raise
                        stage = smaller
                        window = stage.plan.window
                        log.warning("out of memory: going on with windows of %dx%d", *window)
        finally:
            self._stage.chain.to("cpu")

    @contextmanager
    def _agreeing(self) -> Iterator[tuple[Chain, Mapping[str, Source]]]:
        """The chain and its sources with one set of statistics over the map, where it has any."""
        chain = self._stage.chain
        if not (chain.spatial_statistics and self._stage.agree):
            yield chain, self._sources
            return
        ((translator, _),) = chain.links
        log.info("%s: gathering the norms' statistics (%s)", self._stage.title, self._statistics)
        with frozen_statistics(
            translator, self._sources, self._stage.plan, self._statistics, device=self._devices[0]
        ) as (fn, sources):
            yield Chain(chain.links, [fn]), sources

    def _within_tolerance(self, sources: Mapping[str, Source]) -> Stage:
        """The stage with the margin that the tolerance asks for, measured on two strips."""
        stage = self._stage
        if self._tolerance == "exact" or not stage.agree or stage.plan.windows == 1:
            return stage
        ((translator, _),) = stage.chain.links
        interface, generator = translator.descriptor.interface, translator.generator
        size, side = stage.plan.size, generator.minimum_size
        long = 2 * (next_multiple(generator.receptive_margin, generator.multiple_of) + side)
        margins = [0]
        for height, width in ((side, min(long, size[1])), (min(long, size[0]), side)):
            y, x = ((whole - part) // 2 for whole, part in zip(size, (height, width), strict=True))
            maps = {
                kind: sources[kind].read(y, x, height, width)[None].to(self._devices[0])
                for kind in stage.inputs
            }
            channels = interface.read(maps, interface.frame(maps))
            margins.append(margin_for(generator, channels, _LEVELS[self._tolerance]))
        margin = min(max(margins) + interface.frame_reach, stage.chain.margin)
        log.info(
            "%s: borders reach %d px in, %d px to a level of %s",
            stage.title, stage.chain.margin, margin, self._tolerance,
        )  # fmt: skip
        return replace(stage, plan=self._lay(stage, margin=margin))

    def _workers(self, chain: Chain) -> list[tuple[WindowFunction, str]]:
        """The chain's function on each device."""
        chains = [chain, *(copy.deepcopy(chain) for _ in self._devices[1:])]
        for one, device in zip(chains[1:], self._devices[1:], strict=True):
            one.to(device)
        return [
            (partial(self._run, one), device)
            for one, device in zip(chains, self._devices, strict=True)
        ]

    def _run(self, chain: Chain, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        offsets = maps.pop(_OFFSETS, None)
        made = chain(maps, self._precision)
        if offsets is not None:
            each = offsets.split([KINDS[kind].channels for kind in self._stage.offsets], dim=1)
            made |= {
                kind: made[kind] + one for kind, one in zip(self._stage.offsets, each, strict=True)
            }
        return fill_outside(made, maps, self._outside)

    def _blank(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        return {kind: blank_map(kind, maps, self._outside) for kind in self._stage.outputs}

    def _stitch(
        self,
        stage: Stage,
        workers: Sequence[tuple[WindowFunction, str]],
        sources: Mapping[str, Source],
        sinks: Sinks,
    ) -> Stitched:
        masked = "mask" in stage.inputs
        about: dict[str, Any] = {
            "counted": "mask" if masked else None,
            "blank": self._blank if masked else None,
        }
        progress, measured = self._progress, None
        if stage.offsets:
            log.info("%s: solving the windows' offsets", stage.title)
            measured = stitch_on(
                workers,
                sources,
                {kind: NoSink() for kind in stage.offsets},
                stage.plan,
                progress=lambda done, total: self._progress(done, 2 * total),
                **about,
            )
            sources = {**sources, _OFFSETS: _solved(measured, stage)}
            progress = _second_half(self._progress)
        with sinks() as writers:
            stitched = stitch_on(
                workers,
                sources,
                {kind: self._sink(kind, one, stage.plan) for kind, one in writers.items()},
                stage.plan,
                done=partial(_all_have, list(writers.values()), self._size, stage.plan),
                progress=progress,
                **about,
            )
        return stitched if measured is None else _together(measured, stitched)

    def _sink(self, kind: str, writer: MapWriter, plan: Plan) -> Sink:
        """A stage's map, whose rim without a texel of the mask no window covers."""

        def fill(y: int, x: int, height: int, width: int) -> Tensor:
            maps = {"mask": torch.zeros(1, 1, height, width)}
            origin = ORIGIN.get(kind)
            if self._outside == "input" and origin is not None:
                maps[origin] = self._sources[origin].read(y, x, height, width)[None]
            return blank_map(kind, maps, self._outside)[0]

        return Surrounded(cropped(writer, self._size), plan, fill)

    def _smaller(self, stage: Stage) -> Stage | None:
        """The stage with windows of half the side, where they give the same maps."""
        plan = stage.plan
        if not stage.agree or plan.ramp or plan.windows * 4 > _MOST_WINDOWS:
            return None
        window = int((plan.window[0] * plan.window[1]) ** 0.5 / 2)
        try:
            return replace(stage, plan=self._lay(stage, window=window, batch=1))
        except InputError:
            return None


def _solved(measured: Stitched, stage: Stage) -> OffsetSource:
    """The offsets of all albedos, one after the other in its channels."""
    each = [
        window_offsets(measured.disagreement[kind]).expand(-1, -1, KINDS[kind].channels)
        for kind in stage.offsets
    ]
    return OffsetSource(stage.plan, torch.cat(each, dim=2))


def _second_half(progress: Progress) -> Progress:
    return lambda done, total: progress(total + done, 2 * total)


def _together(measured: Stitched, stitched: Stitched) -> Stitched:
    """Of a run that measured and the one that stitched."""
    return replace(
        stitched,
        seconds=measured.seconds + stitched.seconds,
        computing=measured.computing + stitched.computing,
        before=measured.disagreement,
    )


def _all_have(
    writers: Sequence[MapWriter], size: tuple[int, int], plan: Plan, rows: Span, columns: Span
) -> bool:
    """Whether an earlier run has left what goes with a window's kept part in all of them."""
    rows, columns = plan.reach(rows, columns)
    height, width = min(rows[1], size[0]) - rows[0], min(columns[1], size[1]) - columns[0]
    if height <= 0 or width <= 0:  # of the padding alone
        return True
    return all(one.has(rows[0], columns[0], height, width) for one in writers)
