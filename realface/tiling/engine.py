"""Stitch full-size maps from windows: any callable, any number of maps in and out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from realface.errors import FailureError, InputError
from realface.tiling.band import Band, Sink
from realface.tiling.disagreement import Disagreement, DisagreementMeter
from realface.tiling.plan import Plan

WindowFunction = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]
"""Maps by name in, maps by name out, each ``(B, C, h, w)``, same height and width."""

Progress = Callable[[int, int], None]
"""Called with the number of windows done and their total."""


class Source(Protocol):
    """Where an input map comes from, a window at a time."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the map [px]."""

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """Read a window; ``stitch`` only reads what it is given.

        Returns:
            ``(C, height, width)`` float32 on the CPU, its upper left pixel at ``(y, x)``.
        """


@dataclass(frozen=True)
class Stitched:
    """What stitching took, and how well its windows agreed.

    Attributes:
        disagreement: By output, how far neighbouring windows differ where they overlap.
        windows: Number of windows computed.
        seconds: Wall time, reading and writing included [s].
    """

    disagreement: dict[str, Disagreement]
    windows: int
    seconds: float

    def __str__(self) -> str:
        count = "1 window" if self.windows == 1 else f"{self.windows} windows"
        lines = [f"{count} in {self.seconds:.1f} s"]
        for name, one in self.disagreement.items():
            if one.values:
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
    progress: Progress | None = None,
) -> Stitched:
    """Run ``fn`` on overlapping windows and blend what it returns into full-size maps.

    Windows run row by row, left to right, ``plan.batch`` of a row at once, under
    ``torch.inference_mode``. Predictions are blended with the weights of ``blend.axis_weights``
    in float32 on the CPU, whatever ``fn``'s dtype. Sinks get full-width bands from top to bottom,
    each row once; if the work breaks off, the rows below are missing.

    Args:
        fn: Takes the sources' windows by name, ``(B, C, h, w)`` float32 on ``device``, and
            returns at least the sinks' names, each ``(B, C, h, w)`` with any number of channels.
            Its outputs are only read. ``B`` is smaller in the last batch of a row.
        source: Input maps by name, all of the plan's size.
        sink: Where the output maps go, by name; other outputs of ``fn`` are dropped.
        plan: Windows, from ``plan.plan``.
        device: Where ``fn`` runs.
        counted: Name of a source of one channel: disagreement is measured where it is above
            0.5, so that an output which is constant elsewhere does not dilute it; None:
            everywhere.
        progress: Called after each batch with the windows done and their total.

    Returns:
        Disagreement of the windows, their number and the time.

    Raises:
        InputError: If a source has another size or dtype than it should, or ``fn`` lacks an
            output or returns another size.
        FailureError: If ``fn`` returns NaN or infinity; names the output and the window.
    """
    _check_sizes(source, plan)
    started = time.perf_counter()
    bands = {name: Band(name, one, plan) for name, one in sink.items()}
    meters = {name: DisagreementMeter(plan) for name in sink}
    done = 0
    for row in range(len(plan.rows)):
        for columns in _batches(plan):
            # In a function of its own, so that a batch is gone before the next one is read.
            _add_batch(fn, source, row, columns, plan, device, counted, bands, meters)
            done += len(columns)
            if progress is not None:
                progress(done, plan.windows)
        for band in bands.values():
            band.finish(row)
    disagreement = {name: meter.result() for name, meter in meters.items()}
    return Stitched(disagreement, plan.windows, time.perf_counter() - started)


def _batches(plan: Plan) -> Iterator[range]:
    """Columns of one row of windows, ``plan.batch`` at a time."""
    for first in range(0, len(plan.columns), plan.batch):
        yield range(first, min(first + plan.batch, len(plan.columns)))


def _add_batch(
    fn: WindowFunction,
    source: Mapping[str, Source],
    row: int,
    columns: Sequence[int],
    plan: Plan,
    device: torch.device | str,
    counted: str | None,
    bands: Mapping[str, Band],
    meters: Mapping[str, DisagreementMeter],
) -> None:
    """Read, predict, check, measure and sum some windows of a row."""
    inputs = {name: _read(name, one, row, columns, plan) for name, one in source.items()}
    # Before ``fn`` runs, which may write into its inputs.
    counts = [None] * len(columns) if counted is None else list(inputs[counted][:, 0] > 0.5)
    outputs = _predict(fn, inputs, list(bands), device)
    for name, batch in outputs.items():
        _check_shape(name, batch, (len(columns), *plan.window))
        for column, values, counting in zip(columns, batch, counts, strict=True):
            _check_finite(name, values, row, column, plan)
            meters[name].add(row, column, values, counting)
            bands[name].add(row, column, values)


def _read(name: str, source: Source, row: int, columns: Sequence[int], plan: Plan) -> Tensor:
    """Copy windows of one source into a batch: ``fn`` may write into it, the source stays."""
    y, batch = plan.rows[row][0], None
    for index, column in enumerate(columns):
        values = source.read(y, plan.columns[column][0], *plan.window)
        channels = values.shape[0] if batch is None else batch.shape[1]
        if values.dtype != torch.float32 or tuple(values.shape) != (channels, *plan.window):
            raise InputError(
                f"source {name} gave a window of {values.dtype}, {tuple(values.shape)}",
                f"torch.float32, (channels, {plan.window[0]}, {plan.window[1]}), "
                "the same channels each time",
                "mend the source's read()",
            )
        if batch is None:
            batch = torch.empty(len(columns), *values.shape)
        batch[index] = values
    if batch is None:
        raise ValueError("a batch holds at least one window")
    return batch


@torch.inference_mode()
def _predict(
    fn: WindowFunction,
    inputs: Mapping[str, Tensor],
    wanted: Sequence[str],
    device: torch.device | str,
) -> dict[str, Tensor]:
    """Run ``fn`` on ``device``; its wanted outputs as float32 on the CPU."""
    outputs = fn({name: values.to(device) for name, values in inputs.items()})
    missing = [name for name in wanted if name not in outputs]
    if missing:
        raise InputError(
            f"the function returned {', '.join(sorted(outputs)) or 'nothing'}",
            f"an output for each sink; there is none for {', '.join(missing)}",
            "ask only for maps that the function makes",
        )
    return {name: outputs[name].to(device="cpu", dtype=torch.float32) for name in wanted}


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


def _check_finite(name: str, values: Tensor, row: int, column: int, plan: Plan) -> None:
    # Both carry a NaN on, so this is one pass and no mask.
    low, high = torch.aminmax(values)
    if not (torch.isfinite(low) and torch.isfinite(high)):
        y, x, (height, width) = plan.rows[row][0], plan.columns[column][0], plan.window
        raise FailureError(
            f"{name} holds NaN or infinity in the window at y={y}, x={x}, "
            f"height={height}, width={width}",
            "finite values from the network everywhere",
            "look for NaN in the input maps there and in the weights; "
            "where the network runs in half precision, run it in float32",
        )
