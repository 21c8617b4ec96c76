"""One map, one set of norm statistics: windows of an instance-norm network that agree.

Such a network normalises by its window's own mean and variance, so windows differ in tone, and
fading them into each other smears the difference without removing it. Here the statistics are
gathered over the map first, then frozen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from realface.networks.channels import WHOLE_TEXTURE
from realface.networks.generator import Generator
from realface.networks.moments import Moments
from realface.networks.norms import InstanceNorm, instance_norms, release
from realface.networks.statistics_field import Position, StatisticsField
from realface.tiling.engine import Source, WindowFunction
from realface.tiling.plan import Plan, plan
from realface.tiling.windows import Span, next_multiple
from realface.weights import TrainedTranslator

Mode = Literal["live", "exact", "thumbnail", "pooled", "patch"]

POSITION = "position"
"""Name of the source that tells a window where it lies."""

PATCH = 512
"""Side of a training patch [px], at whose scale ``patch`` takes statistics."""

Progress = Callable[[int, int], None]
See = Callable[[InstanceNorm, Tensor], None]


@contextmanager
def frozen_statistics(
    translator: TrainedTranslator,
    sources: Mapping[str, Source],
    laid: Plan,
    mode: Mode,
    *,
    device: torch.device | str = "cpu",
    counted: str | None = None,
    patch: int = PATCH,
    progress: Progress | None = None,
) -> Iterator[tuple[WindowFunction, dict[str, Source]]]:
    """Freeze a translator's norms for one map; they are their windows' own again at the end.

    ::

        with frozen_statistics(translator, sources, plan, "thumbnail") as (fn, sources):
            stitch(fn, sources, sinks, plan)

    - ``live``: nothing is gathered, each window takes its own.
    - ``exact``: the whole image's own, norm after norm: all windows run up to the first norm, then
      with that one frozen up to the second, and so on. Costs half as many runs of the map as there
      are norms, about; equal to rounding where the plan's margin is the network's.
    - ``thumbnail``: those of the map at half its size, run in one piece; the usual choice. A
      quarter of the map's pixels, but all at once: memory follows the map. Near the whole image's
      where the network is trained (`benchmarks/norm_statistics.py`), not with random weights.
    - ``pooled``: those of one run of live windows, pooled over what is kept of them.
    - ``patch``: those of live patches of the training's size, interpolated between their centres:
      not the whole image's, but what the network was trained with.

    Args:
        translator: On ``device``. One without instance norms is left as it is.
        sources: Its maps by kind, and ``mask`` where there is one, as for `stitch`.
        laid: The windows; a ramp is taken as a cut in its middle.
        mode: How the statistics are gathered.
        device: Where the network runs.
        counted: Name of a source of one channel: only texels where it is above 0.5 count; None:
            all, as in a run in one piece.
        patch: Side of a training patch [px].
        progress: Called with the windows done and their total.

    Yields:
        What to stitch: the function and its sources. In mode ``patch`` these have one more, which
        tells the function where its windows lie.

    Raises:
        FailureError: If features are NaN or infinite, or no texel counts.
    """
    generator = translator.generator
    inputs = _Inputs(translator, dict(sources), replace(laid, ramp=0), device, counted, progress)
    fn: WindowFunction = translator
    made = dict(sources)
    try:
        if instance_norms(generator) and mode != "live":
            with torch.no_grad():
                position = _GATHER[mode](inputs, patch)
            if position is not None:
                fn, made[POSITION] = _Placed(translator, position), _Origins(laid.size)
        yield fn, made
    finally:
        release(generator)


class _Batch(NamedTuple):
    """Some windows of a row.

    Attributes:
        row: Index of the row.
        columns: Indices of the columns.
        channels: The network's input, ``(B, C, h, w)``.
        counted: Which texels count, ``(B, h, w)`` boolean; None: all.
    """

    row: int
    columns: range
    channels: Tensor
    counted: Tensor | None


@dataclass(frozen=True)
class _Inputs:
    """A network's input over a map, by windows that are cut."""

    translator: TrainedTranslator
    sources: dict[str, Source]
    plan: Plan
    device: torch.device | str
    counted: str | None
    progress: Progress | None

    @property
    def generator(self) -> Generator:
        return self.translator.generator

    def batches(self, done: int = 0, total: int | None = None) -> Iterator[_Batch]:
        """All windows; ``done`` of ``total`` were before."""
        for row in range(len(self.plan.rows)):
            for first in range(0, len(self.plan.columns), self.plan.batch):
                columns = range(first, min(first + self.plan.batch, len(self.plan.columns)))
                yield self._batch(row, columns)
                done += len(columns)
                if self.progress is not None:
                    self.progress(done, total or self.plan.windows)

    def _batch(self, row: int, columns: range) -> _Batch:
        maps = {kind: self._read(one, row, columns) for kind, one in self.sources.items()}
        interface = self.translator.descriptor.interface
        counted = None if self.counted is None else maps[self.counted][:, 0] > 0.5
        return _Batch(row, columns, interface.read(maps, interface.frame(maps)), counted)

    def _read(self, source: Source, row: int, columns: range) -> Tensor:
        y = self.plan.rows[row][0]
        windows = [source.read(y, self.plan.columns[x][0], *self.plan.window) for x in columns]
        return torch.stack(windows).to(self.device)

    def kept(self, batch: _Batch) -> Iterator[tuple[Span, Span]]:
        """Rows and columns of the map that are kept of each window of a batch [px]."""
        for column in batch.columns:
            yield self.plan.kept_rows[batch.row], self.plan.kept_columns[column]

    def parts(self, batch: _Batch, values: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Of each window what is kept, ``(C, h, w)``, and which of it counts.

        Args:
            batch: The windows.
            values: Of them, at the stride of any layer, ``(B, C, h, w)``.
        """
        stride = self.plan.window[0] // values.shape[2]
        top = self.plan.rows[batch.row][0]
        for index, (rows, columns) in enumerate(self.kept(batch)):
            left = self.plan.columns[batch.columns[index]][0]
            box = tuple(
                slice((start - origin) // stride, (stop - origin) // stride)
                for (start, stop), origin in ((rows, top), (columns, left))
            )
            counted = None if batch.counted is None else _strided(batch.counted[index], stride)
            yield values[index][:, *box], None if counted is None else counted[box]


def _exact(inputs: _Inputs, patch: int) -> None:
    """Norm after norm, each over what the frozen ones before it make of every window."""
    order = _order(inputs.generator)
    for index, norm in enumerate(order):
        moments = Moments()
        done, total = index * inputs.plan.windows, len(order) * inputs.plan.windows
        for batch in inputs.batches(done, total):
            features = _features(inputs.generator, norm, batch.channels)
            _add(moments, inputs.parts(batch, features))
        norm.statistics = moments.result()


def _pooled(inputs: _Inputs, patch: int) -> None:
    """One run of live windows."""
    moments = {norm: Moments() for norm in instance_norms(inputs.generator)}
    for batch in inputs.batches():

        def see(norm: InstanceNorm, features: Tensor, batch: _Batch = batch) -> None:
            _add(moments[norm], inputs.parts(batch, features))

        with _seeing(inputs.generator, see):
            inputs.generator(batch.channels)
    for norm, gathered in moments.items():
        norm.statistics = gathered.result()


def _thumbnail(inputs: _Inputs, patch: int) -> None:
    """The map at half its size: each norm is frozen by the first features that it sees."""
    small, counted = _halved(inputs)

    def see(norm: InstanceNorm, features: Tensor) -> None:
        stride = small.shape[2] // features.shape[2]
        moments = Moments()
        _add(moments, [(features[0], None if counted is None else _strided(counted, stride))])
        norm.statistics = moments.result()

    with _seeing(inputs.generator, see):
        inputs.generator(small)


def _patch(inputs: _Inputs, patch: int) -> Position:
    """Live patches over the map, each norm's statistics in a table."""
    grid = inputs.plan
    inputs = replace(
        inputs,
        plan=plan(
            grid.size, window=patch, overlap=0, multiple_of=grid.multiple_of, batch=grid.batch
        ),
    )
    tables: dict[InstanceNorm, list[Moments]] = {}
    strides: dict[InstanceNorm, int] = {}
    for batch in inputs.batches():

        def see(norm: InstanceNorm, features: Tensor, batch: _Batch = batch) -> None:
            strides[norm] = batch.channels.shape[2] // features.shape[2]
            for part in inputs.parts(batch, features):
                moments = Moments()
                _add(moments, [part])
                tables.setdefault(norm, []).append(moments)

        with _seeing(inputs.generator, see):
            inputs.generator(batch.channels)
    position = Position()
    for norm, table in tables.items():
        norm.statistics = _field(table, inputs.plan, strides[norm], position)
    return position


_GATHER: dict[str, Callable[[_Inputs, int], Position | None]] = {
    "exact": _exact,
    "thumbnail": _thumbnail,
    "pooled": _pooled,
    "patch": _patch,
}


@dataclass(frozen=True)
class _Placed:
    """A translator whose statistics depend on where its windows lie."""

    translator: TrainedTranslator
    position: Position

    def __call__(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        corners = maps[POSITION][:, :, 0, 0].tolist()
        self.position.origins = [(int(y), int(x)) for y, x in corners]
        return self.translator({kind: one for kind, one in maps.items() if kind != POSITION})


@dataclass(frozen=True)
class _Origins:
    """A source that tells where a window lies: its upper left corner, in every texel."""

    size: tuple[int, int]

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        return torch.tensor([y, x]).float()[:, None, None].expand(2, height, width)


@dataclass(frozen=True)
class _InOnePiece:
    """The whole texture as a run in one piece sees it: at the map's size, each texel in place."""

    source: Source

    @property
    def size(self) -> tuple[int, int]:
        return self.source.size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        whole = self.source.read(0, 0, *self.size)
        return whole[:, y : y + height, x : x + width]


class _ReachedError(Exception):
    """Ends a run of a network at the layer in question."""


def _order(generator: Generator) -> list[InstanceNorm]:
    """Its norms as they are run, which need not be as they were built."""
    order: list[InstanceNorm] = []
    weight = next(generator.parameters())
    side, channels = generator.minimum_size, generator.arguments["in_channels"]
    with _seeing(generator, lambda norm, features: order.append(norm)):
        generator(weight.new_zeros(1, channels, side, side))
    return order


def _features(generator: Generator, norm: InstanceNorm, channels: Tensor) -> Tensor:
    """What reaches a norm; the layers behind it are not run."""
    reached: list[Tensor] = []

    def stop(module: nn.Module, arguments: tuple[Tensor]) -> None:
        reached.append(arguments[0])
        raise _ReachedError

    handle = norm.register_forward_pre_hook(stop)
    try:
        generator(channels)
    except _ReachedError:
        pass
    finally:
        handle.remove()
    return reached[0]


@contextmanager
def _seeing(generator: Generator, see: See) -> Iterator[None]:
    """Show the input of every norm, before it is normalised."""
    with ExitStack() as hooks:
        for norm in instance_norms(generator):
            handle = norm.register_forward_pre_hook(lambda module, given: see(module, given[0]))
            hooks.callback(handle.remove)
        yield


def _add(moments: Moments, parts: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    for values, counted in parts:
        moments.add(values if counted is None else values[:, counted])


def _strided(counted: Tensor, stride: int) -> Tensor:
    """``(h, w)`` at a layer's stride: the texel in the middle of each feature."""
    return counted[stride // 2 :: stride, stride // 2 :: stride]


def _halved(inputs: _Inputs) -> tuple[Tensor, Tensor | None]:
    """The network's input at about half the map's size, ``(1, C, h, w)``, and what of it counts.

    Nearest-exact, of channels made at full size: a mean would take away the detail that the
    variances hold, and the frame of tangent space is a matter of texels.
    """
    squeezed = inputs.sources.get(WHOLE_TEXTURE)
    if squeezed is not None:
        inputs = replace(inputs, sources={**inputs.sources, WHOLE_TEXTURE: _InOnePiece(squeezed)})
    down, across = (_picked(side, inputs.generator) for side in inputs.plan.size)
    size, channels = (len(down), len(across)), inputs.generator.arguments["in_channels"]
    small = torch.empty(1, channels, *size, device=inputs.device)
    counted = torch.ones(size, dtype=torch.bool, device=inputs.device)
    for batch in inputs.batches():
        for part, (rows, columns) in zip(
            inputs.parts(batch, batch.channels), inputs.kept(batch), strict=True
        ):
            (to_y, from_y), (to_x, from_x) = _within(down, rows), _within(across, columns)
            small[0, :, to_y, to_x] = part[0][:, from_y][:, :, from_x]
            if part[1] is not None:
                counted[to_y, to_x] = part[1][from_y][:, from_x]
    return small, counted if inputs.counted is not None else None


def _picked(side: int, generator: Generator) -> Tensor:
    """The texels of an axis that make its half: as many as the network can read."""
    wanted = next_multiple(side // 2, generator.multiple_of)
    length = min(max(wanted, generator.minimum_size), side)
    return ((torch.arange(length) + 0.5) * side / length).long()


def _within(picked: Tensor, kept: Span) -> tuple[slice, Tensor]:
    """Where the picked texels that lie in a span go, and where in the span they are."""
    first, last = torch.searchsorted(picked, torch.tensor(kept)).tolist()
    return slice(first, last), picked[first:last] - kept[0]


def _field(table: list[Moments], laid: Plan, stride: int, position: Position) -> StatisticsField:
    """A field from a table, row by row as windows run; where nothing counts, the map's own."""
    over_all = Moments()
    for moments in table:
        over_all.merge(moments)
    cells = [(moments if moments.count else over_all).result() for moments in table]
    shape = len(laid.rows), len(laid.columns)
    mean, variance = (
        torch.stack([getattr(cell, name) for cell in cells], dim=1).unflatten(1, shape)
        for name in ("mean", "variance")
    )
    y, x = (
        torch.tensor([(start + stop) / 2 for start, stop in spans], dtype=torch.float64)
        for spans in (laid.rows, laid.columns)
    )
    return StatisticsField(mean, variance, y, x, stride, position)
