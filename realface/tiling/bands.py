"""One map on several devices, each with a band of its own."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from realface.errors import InputError
from realface.tiling.engine import Progress, Source, Stitched, WindowFunction, stitch
from realface.tiling.join import Sink
from realface.tiling.plan import Plan


def stitch_on(
    workers: Sequence[tuple[WindowFunction, torch.device | str]],
    source: Mapping[str, Source],
    sink: Mapping[str, Sink],
    plan: Plan,
    *,
    progress: Progress | None = None,
    **rest: Any,
) -> Stitched:
    """Stitch a map on one device or several at once, a band of rows of windows each.

    Bands need nothing of each other where windows are cut; the rows at their borders are read
    twice.

    Args:
        workers: A function and its device, for each band; no more run than there are rows.
        source: As for ``stitch``; read from several threads at once.
        sink: Likewise; written to by one thread at a time.
        plan: Windows; for several workers, windows that are cut.
        progress: Likewise.
        **rest: As for ``stitch``.

    Returns:
        Of all bands together; ``computing`` is the longest of them [s].

    Raises:
        InputError: If windows are cross-faded and workers several; and as ``stitch``.
        FailureError: As ``stitch``; of the first band that fails, when all have ended.
    """
    if len(workers) == 1:
        ((fn, device),) = workers
        return stitch(fn, source, sink, plan, device=device, progress=progress, **rest)
    if plan.ramp:
        raise InputError(
            f"{len(workers)} devices, and windows that are cross-faded over {plan.ramp} px",
            "windows that are cut, where several devices share a map",
            "give one --device, or --blend cut",
        )
    lock, done = threading.Lock(), [0] * len(workers)
    locked = {name: _Locked(one, lock) for name, one in sink.items()}

    def band(index: int, rows: range) -> Stitched:
        def report(finished: int, _: int) -> None:
            with lock:
                done[index] = finished
                if progress is not None:
                    progress(sum(done), plan.windows)

        fn, device = workers[index]
        return stitch(fn, source, locked, plan, device=device, rows=rows, progress=report, **rest)

    bands = _bands(len(plan.rows), len(workers))
    with ThreadPoolExecutor(len(bands), "band") as pool:
        futures = [pool.submit(band, index, rows) for index, rows in enumerate(bands)]
    return _together([future.result() for future in futures])


class _Locked:
    def __init__(self, sink: Sink, lock: threading.Lock) -> None:
        self._sink, self._lock = sink, lock

    def write(self, y: int, x: int, values: Tensor) -> None:
        with self._lock:
            self._sink.write(y, x, values)


def _bands(rows: int, count: int) -> list[range]:
    """Rows in as equal contiguous parts as they allow, none empty."""
    edges = [rows * index // count for index in range(count + 1)]
    return [range(first, last) for first, last in pairwise(edges) if first < last]


def _together(parts: Sequence[Stitched]) -> Stitched:
    return Stitched(
        disagreement=parts[0].disagreement,  # windows that are cut have none
        windows=sum(part.windows for part in parts),
        blank=sum(part.blank for part in parts),
        kept=sum(part.kept for part in parts),
        seconds=max(part.seconds for part in parts),
        computing=max(part.computing for part in parts),
    )
