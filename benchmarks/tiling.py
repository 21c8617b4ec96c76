"""Stitching engines side by side: time, pixels computed, error against the whole image, memory.

    python benchmarks/tiling.py [--height 4096] [--width 6144] [--window 1536] [--overlap 0.25]
        [--network identity small strided] [--engine ours ...] [--rounds 3] [--peers FOLDER]
        [--malloc kept default]

Each engine runs in a process of its own, from a map in memory to a map in memory, ``--rounds``
times in turn; medians are printed. ``ours`` is the default for networks whose windows agree: exact
windows of at most the same area. ``ours tuned`` measures window sizes first, outside the clock, as
`infer.py` does. ``ours hann``/``ours gaussian`` cross-fade at the peers' window and overlap. The
peers are those that are installed (``pip install --no-deps monai tiler pytorch-toolbelt``, or
``--target FOLDER`` and ``--peers FOLDER``), and nnU-Net's way restated: Gaussian weights, evenly
spread starts off any grid, float16 sums. All engines, the peers too, run as `infer.py` sets the C
library's memory up (`realface.host_memory`), or as it is by default, which they are measured by in
turn with ``--malloc kept default``. ``abut`` is the floor: windows side by side, wrong at
their borders.

Networks have random weights: ``identity``; ``small``, six 3x3 convolutions of 16 channels, which
reach 6 px; ``wide``, the same behind a 53-tap filter, which reach 32 px; ``strided``, down and up
by 2, on a grid of 2; ``global``, pix2pixHD's global generator with 16 base channels and statistics
frozen on one crop, cut with 256 px of its 323 px margin, what one 16-bit level needs (give it
``--window 3072 --engine ours abut``: with the peers it takes an hour).

Before each table stands what the network alone takes for the map's area, by windows without a
margin of the size that suits it best; ``of its own`` is an engine's time over that.

Error is the largest and the mean difference from the network's result on the whole image; seam is
the mean step across the windows' borders over the whole image's there. Memory is the process's peak
above interpreter, torch and network, with both maps in it.
"""

import argparse
import importlib
import importlib.util
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch
from memory_peak import memory_now, memory_peak
from torch import Tensor, nn

from realface.host_memory import keep_freed_memory, share_one_arena
from realface.networks.generator import GlobalGenerator
from realface.networks.norms import ChannelStatistics, InstanceNorm, instance_norms
from realface.pipeline.tuning import SIDES
from realface.tiling.engine import stitch
from realface.tiling.plan import exact_plan, plan
from realface.tiling.tensors import TensorSink, TensorSource
from realface.tiling.tune import fastest

Network = Callable[[Tensor], Tensor]
Windows = list[tuple[int, int, int, int]]


class Case(NamedTuple):
    """What an engine is asked to do."""

    network: str
    window: int
    overlap: float
    size: tuple[int, int]
    malloc: str = "kept"


class Made(NamedTuple):
    """What it did: the map ``(3, H, W)`` and the windows whose borders may show."""

    values: Tensor
    windows: Windows


class Measured(NamedTuple):
    """One round of an engine: seconds in all and in the network, pixels computed, bytes."""

    seconds: float
    network: float
    pixels: int
    peak: int
    largest: float
    mean: float
    seam: float


# Networks.


def small(depth: int = 6, channels: int = 16) -> nn.Sequential:
    """3x3 convolutions with zero padding."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))


def wide() -> nn.Sequential:
    """Reaches 32 px: 26 by a separable 53-tap filter, 6 by the small network."""
    filters = [nn.Conv2d(3, 3, (53, 1), padding=(26, 0)), nn.Conv2d(3, 3, (1, 53), padding=(0, 26))]
    return nn.Sequential(*filters, *small())


def strided() -> nn.Sequential:
    """Reflect-padded 7x7, down by 2, two convolutions, up by 2, 7x7."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, padding=3, padding_mode="reflect"), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
        nn.Conv2d(8, 3, 7, padding=3, padding_mode="reflect"), nn.Tanh(),
    )  # fmt: skip


def global_generator() -> nn.Module:
    """pix2pixHD's, narrow, with the statistics of one crop."""
    made = GlobalGenerator(3, 3, base_channels=16).eval()

    def freeze(norm: InstanceNorm, given: tuple[Tensor]) -> None:
        (features,) = given
        norm.statistics = ChannelStatistics(features.mean((0, 2, 3)), features.var((0, 2, 3)))

    hooks = [norm.register_forward_pre_hook(freeze) for norm in instance_norms(made)]
    with torch.no_grad():
        made(face_like(512, 512)[None])
    for hook in hooks:
        hook.remove()
    return made


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "identity": (nn.Identity, 0, 1),
    "small": (small, 6, 1),
    "wide": (wide, 32, 1),
    "strided": (strided, 18, 2),
    "global": (global_generator, 256, 16),
}
"""Each with its margin and its stride [px]."""


def network(name: str) -> nn.Module:
    """With weights that keep the signal's scale."""
    torch.manual_seed(0)
    made = NETWORKS[name][0]().eval().requires_grad_(False)
    if name == "global":
        return made
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            fan = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.weight.numel()
            shared = layer.weight.shape[1] * 4 if isinstance(layer, nn.ConvTranspose2d) else 1
            nn.init.normal_(layer.weight, std=math.sqrt(2 * shared / fan))
    return made


class Clock:
    """A network that knows how long it ran and on how many pixels."""

    def __init__(self, inner: Network) -> None:
        self.inner, self.seconds, self.pixels = inner, 0.0, 0

    def __call__(self, x: Tensor) -> Tensor:
        """``(B, 3, h, w)`` in and out; a copy, since some engines write into it."""
        started = time.perf_counter()
        with torch.no_grad():
            made = self.inner(x)
        if made is x:
            made = x.clone()
        self.seconds += time.perf_counter() - started
        self.pixels += x.shape[0] * x.shape[-2] * x.shape[-1]
        return made


def face_like(height: int, width: int) -> Tensor:
    """A smooth shade with grain that grows across it, ``(3, H, W)`` in [0, 1]."""
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)
    grain = torch.Generator().manual_seed(0)
    channels = [
        0.45 - 0.08 * c + 0.12 * torch.cos(2.1 * x + c) * torch.cos(1.7 * y)
        + (0.01 + 0.02 * (1 + x)) * torch.randn(height, width, generator=grain)
        for c in range(3)
    ]  # fmt: skip
    return torch.stack(channels).clamp_(0, 1)


# Engines.


def ours(case: Case, x: Tensor, net: Network, form: str) -> Made:
    """`realface.tiling`."""
    _, margin, stride = NETWORKS[case.network]
    size, window = case.size, case.window
    overlap = int(window * case.overlap)
    if form == "exact":
        laid = exact_plan(size, margin=margin, window=window, multiple_of=stride)
    elif form == "tuned":
        laid = tuned(case)
    else:
        inside = max(0, overlap - 2 * margin)
        laid = plan(size, window=window, overlap=overlap, ramp=inside or None, fade=form,
                    multiple_of=stride)  # fmt: skip
    sink = TensorSink(size)
    stitch(lambda maps: {"out": net(maps["in"])}, {"in": TensorSource(x)}, {"out": sink}, laid)
    rows, columns = laid.kept_rows, laid.kept_columns
    return Made(sink.values, [(*row, *column) for row in rows for column in columns])


_TUNED = {}


def tuned(case: Case):
    """The plan that `infer.py` would choose; measured once."""
    if case.network not in _TUNED:
        _, margin, stride = NETWORKS[case.network]
        net = network(case.network)

        def seconds(laid) -> float:
            x = torch.rand(1, 3, *laid.window)
            started = time.perf_counter()
            with torch.inference_mode():
                net(x)
            return time.perf_counter() - started

        plans = [
            exact_plan(case.size, margin=margin, window=side, multiple_of=stride) for side in SIDES
        ]
        _TUNED[case.network] = fastest(plans, seconds)[0]
        print(f"    tuned for {case.network}: windows of {_TUNED[case.network].window}", flush=True)
    return _TUNED[case.network]


def abut(case: Case, x: Tensor, net: Network) -> Made:
    """Windows side by side: the least that any engine computes."""
    out, windows = torch.empty(x.shape), regular(case, overlap=0.0)
    for top, bottom, left, right in windows:
        out[:, top:bottom, left:right] = net(x[None, :, top:bottom, left:right])[0]
    return Made(out, windows)


def monai(case: Case, x: Tensor, net: Network, mode: str) -> Made:
    """MONAI's SlidingWindowInferer."""
    from monai.inferers import SlidingWindowInferer

    side = (case.window, case.window)
    infer = SlidingWindowInferer(side, sw_batch_size=1, overlap=case.overlap, mode=mode)
    with torch.no_grad():
        return Made(infer(x[None], net)[0], regular(case))


def toolbelt(case: Case, x: Tensor, net: Network) -> Made:
    """pytorch-toolbelt's ImageSlicer and TileMerger, from their file: the package asks for more."""
    found = importlib.util.find_spec("pytorch_toolbelt")
    folder = Path(found.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("tiles", folder / "inference" / "tiles.py")
    tiles = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiles)
    image, step = x.permute(1, 2, 0).numpy(), int(case.window * (1 - case.overlap))
    side = (case.window, case.window)
    slicer = tiles.ImageSlicer(image.shape, side, (step, step), weight="pyramid")
    merger = tiles.TileMerger(slicer.target_shape, 3, slicer.weight, device="cpu")
    for tile, box in slicer.iter_split(image):
        merger.integrate_batch(net(torch.from_numpy(tile.transpose(2, 0, 1).copy())[None]), [box])
    top, left = slicer.margin_top, slicer.margin_left
    merged = merger.merge_()[:, top : top + case.size[0], left : left + case.size[1]]
    boxes = [(y - top, y + h - top, x - left, x + w - left) for x, y, w, h in slicer.crops]
    return Made(merged, boxes)


def tiler(case: Case, x: Tensor, net: Network) -> Made:
    """The tiler package with a Hann window and the frame padding that it documents."""
    import numpy as np
    from tiler import Merger, Tiler

    overlap, image = int(case.window * case.overlap), x.numpy()
    cut = Tiler(
        data_shape=image.shape, tile_shape=(3, case.window, case.window),
        overlap=(0, overlap, overlap), channel_dimension=0, mode="reflect",
    )  # fmt: skip
    shape, padding = cut.calculate_padding()
    cut.recalculate(data_shape=shape)
    image = np.pad(image, padding, mode="reflect")
    merger = Merger(cut, window="hann", save_visits=False)
    for index, tile in cut(image):
        merger.add(index, net(torch.from_numpy(np.ascontiguousarray(tile))[None])[0].numpy())
    merged = torch.from_numpy(merger.merge(extra_padding=padding))
    boxes = [cut.get_tile_bbox(index, with_channel_dim=True) for index in range(len(cut))]
    (_, _), (top, _), (left, _) = padding
    return Made(merged, [
        (int(a[1]) - top, int(b[1]) - top, int(a[2]) - left, int(b[2]) - left) for a, b in boxes
    ])  # fmt: skip


def nnunet(case: Case, x: Tensor, net: Network) -> Made:
    """nnU-Net's way: evenly spread and rounded starts, Gaussian weights, sums in float16."""
    window = case.window
    position = torch.arange(window) - (window - 1) / 2
    one = torch.exp(-(position**2) / (2 * (window / 8) ** 2))
    weight = (one[:, None] * one * 10).half()
    weight.clamp_(min=float(weight[weight > 0].min()))
    sums, counts = (torch.zeros(n, *case.size, dtype=torch.half) for n in (3, 1))
    starts = []
    for size in case.size:
        count = 1 + math.ceil((size - window) / (window * (1 - case.overlap)))
        step = (size - window) / max(count - 1, 1)
        starts.append([round(step * index) for index in range(count)])
    windows = [(y, y + window, x, x + window) for y in starts[0] for x in starts[1]]
    for top, bottom, left, right in windows:
        made = net(x[None, :, top:bottom, left:right])[0].half()
        sums[:, top:bottom, left:right] += made * weight
        counts[:, top:bottom, left:right] += weight
    return Made((sums / counts).float(), windows)


ENGINES: dict[str, tuple[Callable[[Case, Tensor, Network], Made], str | None]] = {
    "ours": (lambda *a: ours(*a, "exact"), None),
    "ours tuned": (lambda *a: ours(*a, "tuned"), None),
    "ours hann": (lambda *a: ours(*a, "hann"), None),
    "ours gaussian": (lambda *a: ours(*a, "gaussian"), None),
    "abut": (abut, None),
    "MONAI gaussian": (lambda *a: monai(*a, "gaussian"), "monai"),
    "MONAI constant": (lambda *a: monai(*a, "constant"), "monai"),
    "toolbelt pyramid": (toolbelt, "pytorch_toolbelt"),
    "tiler hann": (tiler, "tiler"),
    "nnU-Net's way": (nnunet, None),
}
"""Each with the package that it needs."""


def regular(case: Case, overlap: float | None = None) -> Windows:
    """Windows at a fixed step, the last ones shifted back to the edge."""
    share = case.overlap if overlap is None else overlap
    step = int(case.window * (1 - share))
    down, across = ([*range(0, size - case.window, step), size - case.window] for size in case.size)
    side = case.window
    return [(y, y + side, x, x + side) for y in down for x in across]


# Measuring.


def seam(made: Made, whole: Tensor) -> float:
    """Mean step across the windows' borders, over the whole image's there."""
    height, width = whole.shape[1:]
    rows = sorted({e for top, bottom, _, _ in made.windows for e in (top, bottom)})
    columns = sorted({e for *_, left, right in made.windows for e in (left, right)})

    def step(values: Tensor) -> float:
        total, count = 0.0, 0
        for axis, lines, size in ((1, rows, height), (2, columns, width)):
            for line in lines:
                if 0 < line < size:
                    difference = values.select(axis, line) - values.select(axis, line - 1)
                    total, count = total + float(difference.abs().sum()), count + difference.numel()
        return total / max(count, 1)

    reference = step(whole)
    return step(made.values) / reference if reference else 1.0


def work(engine: str, case: Case, folder: Path, peers: str | None, connection: Connection) -> None:
    """Runs an engine each time that it is asked to, in this process."""
    if peers:
        sys.path.append(peers)
    if case.malloc == "kept":
        share_one_arena()
        keep_freed_memory()
    x = torch.load(folder / "map.pt", mmap=True)["map"].clone()
    net, run = network(case.network), ENGINES[engine][0]
    if engine == "ours tuned":
        tuned(case)
    held = memory_now() - x.numel() * 4
    while connection.recv():
        clock = Clock(net)
        started = time.perf_counter()
        made = run(case, x, clock)
        seconds = time.perf_counter() - started
        peak = memory_peak() - held
        whole = torch.load(folder / "whole.pt", mmap=True)["whole"]
        difference = (made.values - whole).abs_()
        mean = float(difference.double().mean())
        connection.send(
            Measured(seconds, clock.seconds, clock.pixels, peak, float(difference.max()), mean,
                     seam(made, whole))
        )  # fmt: skip
        del made, whole, difference


def compare(engines: Sequence[str], case: Case, rounds: int, folder: Path, peers: str | None):
    """Every engine's rounds, in turn."""
    context = multiprocessing.get_context("spawn")
    running = {}
    found: dict[str, list[Measured]] = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            if engine not in running:
                mine, theirs = context.Pipe()
                process = context.Process(
                    target=work, args=(engine, case, folder, peers, theirs), daemon=True
                )
                process.start()
                running[engine] = mine
            running[engine].send(True)
            found[engine].append(running[engine].recv())
    for pipe in running.values():
        pipe.send(False)
    return found


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=4096)
    parser.add_argument("--width", type=int, default=6144)
    parser.add_argument("--window", type=int, default=1536)
    parser.add_argument("--overlap", type=float, default=0.25, help="of the peers and of blends")
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=list(NETWORKS)[:4])
    parser.add_argument("--engine", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--malloc", nargs="+", choices=["kept", "default"], default=["kept"])
    parser.add_argument("--peers", help="folder that holds the peers' packages")
    given = parser.parse_args()
    if given.peers:
        sys.path.append(given.peers)
    engines = [
        name
        for name in given.engine
        if ENGINES[name][1] is None or importlib.util.find_spec(ENGINES[name][1])
    ]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; not installed: "
          f"{', '.join(sorted(set(given.engine) - set(engines))) or 'none'}")  # fmt: skip
    import tempfile

    size = (given.height, given.width)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save({"map": face_like(*size)}, folder / "map.pt")
        for net in given.network:
            process = multiprocessing.get_context("spawn").Process(
                target=write_whole, args=(net, folder)
            )
            process.start()
            process.join()
            for malloc in given.malloc:
                case = Case(net, given.window, given.overlap, size, malloc)
                own = alone(case)
                report(case, own, compare(engines, case, given.rounds, folder, given.peers))


def own_time(case: Case, connection: Connection) -> None:
    """Sends what the network alone takes for the map's area [s], and its window's side [px]."""
    if case.malloc == "kept":
        keep_freed_memory()
    net, found = network(case.network), []
    for side in SIDES:
        x, times = torch.rand(1, 3, side, side), []
        with torch.inference_mode():
            for _ in range(1 + max(5, round(8 * (512 / side) ** 2))):
                started = time.perf_counter()
                net(x)
                times.append(time.perf_counter() - started)
        area = case.size[0] * case.size[1] / side**2
        found.append((statistics.median(times[1:]) * area, side))
    connection.send(min(found))


def alone(case: Case) -> tuple[float, int]:
    """`own_time` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=own_time, args=(case, theirs))
    process.start()
    seconds, side = mine.recv()
    process.join()
    return seconds, side


def write_whole(net: str, folder: Path) -> None:
    """The reference, in a process of its own: it takes gigabytes."""
    x = torch.load(folder / "map.pt")["map"]
    with torch.inference_mode():
        torch.save({"whole": network(net)(x[None])[0].clone()}, folder / "whole.pt")


def report(case: Case, own: tuple[float, int], found: dict[str, list[Measured]]) -> None:
    """One row for each engine."""
    area = case.size[0] * case.size[1]
    print(f"\n{case.network}, {case.size[0]}x{case.size[1]}, window {case.window}, "
          f"overlap {case.overlap:.0%} where blended, malloc {case.malloc}")  # fmt: skip
    print(f"the network alone: {own[0]:.2f} s, windows of {own[1]}\n")
    columns = ("engine", "s", "of its own", "stitching s", "computed", "MiB", "largest error",
               "mean error", "seam")  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for engine, rounds in found.items():
        middle = [statistics.median(values) for values in zip(*rounds, strict=True)]
        seconds, inside, pixels, _, largest, mean, step = middle
        peak = max(one.peak for one in rounds[:1])
        cells = [engine, f"{seconds:.2f}", f"{seconds / own[0]:.2f}"]
        cells += [f"{seconds - inside:.3f}", f"{pixels / area:.3f}"]
        cells += [f"{peak / 2**20:.0f}", f"{largest:.1e}", f"{mean:.1e}", f"{step:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
