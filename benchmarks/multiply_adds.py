"""What generators cost: multiply-adds for each pixel, parameters, reach, time.

    python benchmarks/multiply_adds.py [--side 512] [--runs 5] [--threads N] [--without-times]

pix2pixHD's two generators as published, with the local one that AvatarMe uses (ngf 32, 3 local
blocks), are the peers of our default. Multiply-adds are half of what torch's `FlopCounterMode`
counts, over all pixels of the input at full resolution; it counts convolutions and matrix products
alone, which here are all but a few in a thousand: norms, gates and activations are left out for
all. Margins are measured (`realface.networks.receptive.measured_margin`; of instance norm's
networks with the norms left out, which couple the whole window).

Times are the least of the runs, on the CPU, for a forward pass without
gradients and for one with a backward pass: seconds by the clock, and those of all cores together,
which a busy machine changes less (with OMP_WAIT_POLICY=PASSIVE: threads then do not count as they
wait).
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from realface.networks.generator import Generator, GlobalGenerator, LocalGenerator, UNet
from realface.networks.norms import without_norms
from realface.networks.receptive import measured_margin

CHANNELS = {"in_channels": 4, "out_channels": 3}
"""Of de-lighting: texture and depth to diffuse albedo."""

PEER = "pix2pixHD local, ngf 32"
NETWORKS: dict[str, Callable[[], Generator]] = {
    PEER: lambda: LocalGenerator(**CHANNELS, base_channels=32, local_blocks=3),
    "pix2pixHD global, ngf 64": lambda: GlobalGenerator(**CHANNELS, base_channels=64),
    "ours, unet": lambda: UNet(**CHANNELS),
}


def multiply_adds(generator: Generator, side: int) -> float:
    """For each pixel of a square input."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(torch.zeros(1, CHANNELS["in_channels"], side, side, device="meta"))
    return counter.get_total_flops() / 2 / side**2


def least_seconds(run: Callable[[], object], runs: int) -> tuple[float, float]:
    """By the clock, and of all cores together."""
    run()
    taken = []
    for _ in range(runs):
        start, busy = time.perf_counter(), time.process_time()
        run()
        taken.append((time.perf_counter() - start, time.process_time() - busy))
    return min(clock for clock, _ in taken), min(cores for _, cores in taken)


def times(generator: Generator, side: int, runs: int) -> list[float]:
    """Seconds for a megapixel: forward, with a backward pass; each by the clock and of cores."""
    inputs = 2 * torch.rand(1, CHANNELS["in_channels"], side, side) - 1

    def forward() -> Tensor:
        with torch.inference_mode():
            return generator(inputs)

    def both() -> None:
        generator(inputs).square().mean().backward()

    megapixels = side**2 / 1e6
    taken = (*least_seconds(forward, runs), *least_seconds(both, runs))
    return [seconds / megapixels for seconds in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="of the input [px]")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--without-times", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(
        f"{'generator':26}{'multiply-adds/px':>17}{'fewer':>8}{'parameters':>12}{'margin':>8}"
        f"{'s/Mpx':>8}{'cores':>8}{'backward':>10}{'cores':>8}   ({given.threads} threads)"
    )
    peer = 0.0
    for name, build in NETWORKS.items():
        with torch.device("meta"):
            count = multiply_adds(build(), given.side)
        peer = count if name == PEER else peer
        generator = build()
        with without_norms(generator):
            margin = measured_margin(generator)
        size = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
        print(f"{name:26}{count:17,.0f}{peer / count:7.1f}x{size:10.2f} M{margin:5} px", end="")
        if not given.without_times:
            forward, cores, both, both_cores = times(generator, given.side, given.runs)
            print(f"{forward:8.2f}{cores:8.2f}{both:10.2f}{both_cores:8.2f}", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
