"""Stitch full-size maps from windows: any callable, any number of maps in and out."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from realface.errors import FailureError, InputError, is_out_of_memory
from realface.tiling.disagreement import Disagreement, DisagreementMeter
from realface.tiling.join import Join, Sink
from realface.tiling.plan import Plan
from realface.tiling.slots import Slots
from realface.tiling.windows import Span

log = logging.getLogger(__name__)

WindowFunction = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]
"""Maps by name in, maps by name out, each ``(B, C, h, w)``, same height and width."""

Progress = Callable[[int, int], None]
"""Called with the number of windows done and their total."""

Place = tuple[int, int]
"""Row and column of a window in its plan."""


class Source(Protocol):
    """Where an input map comes from, a window at a time."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the map [px]."""

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """Read a window, on a thread of its own; ``stitch`` only reads what it is given.

        Returns:
            ``(C, height, width)`` float32 on the CPU, its upper left pixel at ``(y, x)``.
        """


@dataclass(frozen=True)
class Stitched:
    """What stitching took, and how well its windows agreed.

    Attributes:
        disagreement: By output, how far neighbouring windows differ where they are cross-faded.
        windows: Number of windows computed.
        blank: Number of windows without a texel that counts, which were not computed.
        kept: Number of windows that an earlier run had finished.
        seconds: Wall time, reading and writing included [s].
        computing: Of which ``fn`` took [s].
        before: By output, how they had differed in a run before, where their offsets were solved
            from it.
    """

    disagreement: dict[str, Disagreement]
    windows: int
    blank: int
    kept: int
    seconds: float
    computing: float
    before: Mapping[str, Disagreement] = field(default_factory=dict)

    def __str__(self) -> str:
        count = "1 window" if self.windows == 1 else f"{self.windows} windows"
        count += ", twice," if self.before else ""
        lines = [f"{count} in {self.seconds:.1f} s, {self.computing:.1f} s of it in the network"]
        if self.blank:
            lines[0] += f"; {self.blank} without a texel of the mask were not computed"
        if self.kept:
            lines[0] += f"; {self.kept} were there from an earlier run"
        for name, one in self.disagreement.items():
            if name in self.before:
                lines.append(f"{name}: overlapping windows differed by {self.before[name].levels}")
                lines[-1] += f", with offsets solved by {one.levels}" if one.values else ""
            elif one.values:
                lines.append(f"{name}: overlapping windows differ by {one}")
        return "\n".join(lines)


@torch.no_grad()
def stitch(
    fn: WindowFunction,
    source: Mapping[str, Source],
    sink: Mapping[str, Sink],
    plan: Plan,
    *,
    device: torch.device | str = "cpu",
    counted: str | None = None,
    blank: WindowFunction | None = None,
    done: Callable[[Span, Span], bool] | None = None,
    rows: range | None = None,
    progress: Progress | None = None,
) -> Stitched:
    """Run ``fn`` on overlapping windows and join what it returns into full-size maps.

    Windows run row by row, left to right, ``plan.batch`` at once, under ``torch.inference_mode``;
    meanwhile the next ones are read and the ones before are written, each on a thread of its own.
    Of each window the plan's kept part goes to the sinks, each pixel once: as it is, or, within the
    plan's ramps, as the sum of neighbours weighted in float32, whatever ``fn``'s dtype. Where
    memory runs out, batches are halved.

    Args:
        fn: Takes the sources' windows by name, ``(B, C, h, w)`` float32 on ``device``, and
            returns at least the sinks' names, each ``(B, C, h, w)`` with any number of channels.
            Inputs are its own until it returns. Its outputs are only read. ``B`` is smaller in the
            last batch.
        source: Input maps by name, all of the plan's size.
        sink: Where the output maps go, by name; other outputs of ``fn`` are dropped.
        plan: Windows, from ``plan.plan`` or ``plan.exact_plan``.
        device: Where ``fn`` runs.
        counted: Name of a source of one channel: disagreement is measured where it is above
            0.5, so that an output which is constant elsewhere does not dilute it; None:
            everywhere.
        blank: Takes the place of ``fn``, on the CPU, for windows whose ``counted`` is nowhere
            above 0.5; None: ``fn`` runs on all.
        done: Whether all that is kept of a window, rows and columns of the map, is in every
            sink from an earlier run; such windows are left out.
        rows: The rows of windows to run, one after the other; None: all.
        progress: Called after each batch with the windows done and their total.

    Returns:
        Disagreement of the windows, their numbers and the time.

    Raises:
        InputError: If a source has another size or dtype than it should, or ``fn`` lacks an
            output or returns another size.
        FailureError: If ``fn`` returns NaN or infinity; names the output and the window.
    """
    _check_sizes(source, plan)
    work = _Work(fn, source, sink, plan, torch.device(device), counted, blank)
    started = time.perf_counter()
    running = range(len(plan.rows)) if rows is None else rows
    places = [(row, column) for row in running for column in range(len(plan.columns))]
    down, across = plan.kept_rows, plan.kept_columns
    left = [at for at in places if done is None or not done(down[at[0]], across[at[1]])]
    kept = len(places) - len(left)
    for finished in work.run(left, plan.batch):
        if progress is not None:
            progress(kept + finished, len(places))
    disagreement = {name: meter.result() for name, meter in work.meters.items()}
    seconds = time.perf_counter() - started
    return Stitched(
        disagreement, len(left) - work.blanks, work.blanks, kept, seconds, work.computing
    )


class _Work:
    """What a batch of windows goes through, and what is summed up over them."""

    def __init__(
        self,
        fn: WindowFunction,
        source: Mapping[str, Source],
        sink: Mapping[str, Sink],
        plan: Plan,
        device: torch.device,
        counted: str | None,
        blank: WindowFunction | None,
    ) -> None:
        self.fn, self.source, self.plan, self.device = fn, source, plan, device
        self.counted, self.blank = counted, blank
        self.joins = {name: Join(name, one, plan) for name, one in sink.items()}
        self.meters = {name: DisagreementMeter(plan) for name in sink}
        self.blanks, self.computing = 0, 0.0
        pinned = device.type == "cuda"
        self._read_into = {name: Slots(pinned) for name in source}
        self._keep_in: dict[tuple[str, int], Slots] = defaultdict(Slots)
        self._rows, self._columns = plan.kept_rows, plan.kept_columns

    def run(self, places: Sequence[Place], batch: int) -> Iterator[int]:
        """All windows, in batches; yields how many are computed."""
        first = 0
        ahead: Future[dict[str, Tensor]] | None = None
        behind: Future[None] | None = None
        with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
            while first < len(places):
                now = places[first : first + batch]
                inputs = ahead.result() if ahead else self._read(now)
                following = places[first + len(now) : first + len(now) + batch]
                ahead = reader.submit(self._read, following) if following else None
                try:
                    kept, counts = self._compute(now, inputs)
                except (RuntimeError, MemoryError) as error:
                    if batch == 1 or not is_out_of_memory(error):
                        raise
                    # Both use memory that the next attempt takes again.
                    pending: list[Future[Any]] = [one for one in (ahead, behind) if one is not None]
                    wait(pending)
                    batch, ahead = batch // 2, None
                    log.warning("out of memory: going on with batches of %d windows", batch)
                    continue
                del inputs
                if behind is not None:
                    behind.result()
                behind = writer.submit(self._join, now, kept, counts)
                first += len(now)
                yield first
            if behind is not None:
                behind.result()

    def _read(self, places: Sequence[Place]) -> dict[str, Tensor]:
        """Copy windows of the sources into batches: ``fn`` may write into them."""
        return {name: self._read_one(name, one, places) for name, one in self.source.items()}

    def _read_one(self, name: str, source: Source, places: Sequence[Place]) -> Tensor:
        window, batch = self.plan.window, None
        for index, (row, column) in enumerate(places):
            values = source.read(self.plan.rows[row][0], self.plan.columns[column][0], *window)
            channels = values.shape[0] if batch is None else batch.shape[1]
            if values.dtype != torch.float32 or tuple(values.shape) != (channels, *window):
                raise InputError(
                    f"source {name} gave a window of {values.dtype}, {tuple(values.shape)}",
                    f"torch.float32, (channels, {window[0]}, {window[1]}), "
                    "the same channels each time",
                    "mend the source's read()",
                )
            if batch is None:
                batch = self._read_into[name].next(len(places), *values.shape)
            batch[index] = values
        assert batch is not None  # a batch holds at least one window
        return batch

    def _compute(
        self, places: Sequence[Place], inputs: dict[str, Tensor]
    ) -> tuple[list[dict[str, Tensor]], list[Tensor | None]]:
        """What is kept of some windows, checked, and which of its texels count."""
        # Before ``fn`` runs, which may write into its inputs.
        counts = None if self.counted is None else inputs[self.counted][:, 0] > 0.5
        full = [
            index
            for index in range(len(places))
            if self.blank is None or counts is None or bool(counts[index].any())
        ]
        kept: list[dict[str, Tensor]] = [{} for _ in places]
        for indices, function, device in self._parts(len(places), full):
            outputs = self._predict(function, _select(inputs, indices), device)
            for name, values in outputs.items():
                _check_shape(name, values, (len(indices), *self.plan.window))
                for position, index in enumerate(indices):
                    crop = values[position][(slice(None), *self._kept(places[index]))]
                    # A copy, since ``fn`` may use its output's memory again.
                    copy = self._keep_in[name, index].next(*crop.shape).copy_(crop)
                    _check_finite(name, copy, places[index], self.plan)
                    kept[index][name] = copy
        self.blanks += len(places) - len(full)
        if counts is None:
            return kept, [None] * len(places)
        return kept, [counts[index][self._kept(at)] for index, at in enumerate(places)]

    def _parts(
        self, windows: int, full: Sequence[int]
    ) -> Iterator[tuple[Sequence[int], WindowFunction, torch.device]]:
        """Which windows of a batch go through which function, where."""
        if full:
            yield full, self.fn, self.device
        empty = [index for index in range(windows) if index not in full]
        if empty and self.blank is not None:
            yield empty, self.blank, torch.device("cpu")

    @torch.inference_mode()
    def _predict(
        self, function: WindowFunction, inputs: dict[str, Tensor], device: torch.device
    ) -> dict[str, Tensor]:
        """Run a function on ``device``; its wanted outputs, there."""
        started = time.perf_counter()
        outputs = function(
            {name: values.to(device, non_blocking=True) for name, values in inputs.items()}
        )
        missing = [name for name in self.joins if name not in outputs]
        if missing:
            raise InputError(
                f"the function returned {', '.join(sorted(outputs)) or 'nothing'}",
                f"an output for each sink; there is none for {', '.join(missing)}",
                "ask only for maps that the function makes",
            )
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if function is self.fn:
            self.computing += time.perf_counter() - started
        return {name: outputs[name] for name in self.joins}

    def _kept(self, at: Place) -> tuple[slice, slice]:
        """What is kept of a window, within it."""
        spans = (
            (self.plan.rows[at[0]], self._rows[at[0]]),
            (self.plan.columns[at[1]], self._columns[at[1]]),
        )
        down, across = (slice(first - start, last - start) for (start, _), (first, last) in spans)
        return down, across

    def _join(
        self,
        places: Sequence[Place],
        kept: Sequence[dict[str, Tensor]],
        counts: Sequence[Tensor | None],
    ) -> None:
        """Measure and join some windows, on a thread of its own."""
        for at, made, counting in zip(places, kept, counts, strict=True):
            for name, values in made.items():
                self.meters[name].add(*at, values, counting)
                self.joins[name].add(*at, values)


def _select(inputs: dict[str, Tensor], indices: Sequence[int]) -> dict[str, Tensor]:
    """Some windows of a batch; the batch itself where that is all of them."""
    windows = len(next(iter(inputs.values()))) if inputs else 0
    if len(indices) == windows:
        return inputs
    return {name: values[list(indices)] for name, values in inputs.items()}


def _check_sizes(source: Mapping[str, Source], plan: Plan) -> None:
    for name, one in source.items():
        if tuple(one.size) != tuple(plan.size):
            raise InputError(
                f"source {name} is {one.size[0]}x{one.size[1]} (height x width)",
                f"the size of the plan, {plan.size[0]}x{plan.size[1]}, for every source",
                "resample the map to the size of the others, or plan for its size",
            )


def _check_shape(name: str, batch: Tensor, expected: tuple[int, int, int]) -> None:
    windows, height, width = expected
    if batch.ndim != 4 or (batch.shape[0], *batch.shape[2:]) != expected:
        raise InputError(
            f"the function returned {name} of shape {tuple(batch.shape)}",
            f"({windows}, channels, {height}, {width}), the windows' own size",
            "use a function that keeps height and width, on windows that suit its stride",
        )


def _check_finite(name: str, values: Tensor, at: Place, plan: Plan) -> None:
    # Both carry a NaN on, so this is one pass and no mask.
    low, high = torch.aminmax(values)
    if not (torch.isfinite(low) and torch.isfinite(high)):
        y, x, (height, width) = plan.rows[at[0]][0], plan.columns[at[1]][0], plan.window
        raise FailureError(
            f"{name} holds NaN or infinity in the window at y={y}, x={x}, "
            f"height={height}, width={width}",
            "finite values from the network everywhere",
            "look for NaN in the input maps there and in the weights; "
            "where the network runs in half precision, run it in float32",
        )
