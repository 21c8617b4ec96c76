"""Files in, files out: memory and time of stitching beside a raw copy of the same bytes.

    python benchmarks/streaming.py [--size 4096x6144 65536x6144 16384x24576] [--window 512 1536]
        [--network identity light] [--compression none zlib zstd] [--rounds 1]

A 16-bit tiled TIFF is read by windows, goes through a network (``identity``, or ``light``: one 3x3
convolution, so with a margin of 1 px) and is written as a 16-bit tiled TIFF, each time in a process
of its own. Memory is the process's peak above interpreter, libraries and network. The peer is a raw
copy: reading the input's bytes and writing the output's, in pieces of 16 MiB, without and with
waiting for the disk, for which the writer waits before a map gets its name.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import tifffile  # noqa: F401 - loaded before memory is counted, as the codecs are
import torch
from memory_peak import memory_now, memory_peak
from torch import nn

from realface.host_memory import keep_freed_memory, share_one_arena
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS
from realface.maps.record import default_record
from realface.maps.writers import open_writer
from realface.tiling.engine import stitch
from realface.tiling.plan import exact_plan

_CODECS = imagecodecs.deflate_encode, imagecodecs.zstd_encode, imagecodecs.delta_encode
_KIND = "diffuse_albedo"
_PIECE = 16 << 20
NETWORKS = {"identity": (nn.Identity, 0), "light": (lambda: nn.Conv2d(3, 3, 3, padding=1), 1)}


class Measured(NamedTuple):
    """Bytes above the network, seconds in all and in the network, seconds of raw copies."""

    peak: int
    seconds: float
    network: float
    raw: float
    raw_synced: float


def write_input(path: Path, size: tuple[int, int]) -> None:
    """Skin-like tones with grain, by windows: no map of this size is ever in memory."""
    grain = 0.02 * torch.randn(3, 512, 512, generator=torch.Generator().manual_seed(0))
    base = torch.tensor([0.75, 0.55, 0.45]).view(3, 1, 1)
    with open_writer(path, _KIND, default_record(_KIND, path.name, *size, 16), "none") as writer:
        for y in range(0, size[0], 512):
            for x in range(0, size[1], 512):
                tone = base + 0.1 * torch.sin(torch.tensor(x / 900 + y / 700))
                part = (tone + grain).clamp(0, 1)[:, : size[0] - y, : size[1] - x]
                writer.write(y, x, part)


def work(folder: Path, size, window: int, network: str, compression: str, pipe: Connection) -> None:
    """One run in this process."""
    share_one_arena()  # both as infer.py does
    keep_freed_memory()
    made, margin = NETWORKS[network]
    torch.manual_seed(0)
    net = made().eval()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 1 / 27)
    source, target = folder / "in.tif", folder / "out.tif"
    laid = exact_plan(size, margin=margin, window=window)
    held = memory_now()
    started = time.perf_counter()
    file = MapFile(source, KINDS[_KIND], default_record(_KIND, source.name, *size, 16))
    record = default_record(_KIND, target.name, *size, 16)
    with open_writer(target, _KIND, record, compression) as writer:
        done = stitch(lambda maps: {"out": net(maps["in"])}, {"in": file}, {"out": writer}, laid)
    seconds = time.perf_counter() - started
    peak = memory_peak() - held
    raw, synced = (copy(source, target, folder / "raw", sync) for sync in (False, True))
    pipe.send(Measured(peak, seconds, done.computing, raw, synced))


def copy(source: Path, target: Path, scratch: Path, sync: bool) -> float:
    """Reads as many bytes as the input has and writes as many as the output has [s]."""
    left = target.stat().st_size
    started = time.perf_counter()
    with source.open("rb") as read, scratch.open("wb") as write:
        while piece := read.read(_PIECE):
            write.write(piece[:left])
            left -= min(left, len(piece))
        if left:
            write.write(bytes(left))
        write.flush()
        if sync:
            os.fsync(write.fileno())
    seconds = time.perf_counter() - started
    scratch.unlink()
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["4096x6144"], help="height x width")
    parser.add_argument("--window", nargs="+", type=int, default=[512, 1536])
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=["identity"])
    parser.add_argument("--compression", nargs="+", default=["none", "zlib", "zstd"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="for the files; as a rule the system's own")
    given = parser.parse_args()
    print("| map | window | network | compression | MiB | s | in the network | raw copy | synced |"
          "\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    context = multiprocessing.get_context("spawn")
    for text in given.size:
        size = tuple(int(side) for side in text.split("x"))
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            folder = Path(name)
            write_input(folder / "in.tif", size)
            for window in given.window:
                for network in given.network:
                    for compression in given.compression:
                        rounds = []
                        for _ in range(given.rounds):
                            mine, theirs = context.Pipe()
                            process = context.Process(
                                target=work,
                                args=(folder, size, window, network, compression, theirs),
                            )
                            process.start()
                            rounds.append(mine.recv())
                            process.join()
                        peak = max(one.peak for one in rounds)
                        times = [statistics.median(all_) for all_ in zip(*rounds, strict=True)][1:]
                        print(f"| {text} | {window} | {network} | {compression} "
                              f"| {peak / 2**20:.0f} | "
                              + " | ".join(f"{one:.2f}" for one in times) + " |",
                              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
