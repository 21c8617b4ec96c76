"""How fast procedural subjects are made: patches a second, and a whole subject.

    python benchmarks/procedural.py [--device cuda] [--patch 512] [--seconds 10] [--subject]

The stream makes 512x512 patches with all eight maps, each of another face, as training does; on a
CPU with one thread in one process and in two. ``--subject`` adds a whole 6144x4096 subject, made
but not written, on two threads. On a GPU the first batches compile, and are not timed.
Beside the clock stands the processor's own time, which other programs on the machine change little.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import sys
import time

import torch

from realface.data.procedural import TRAINING_SUBJECTS, draw_batch, make_batch
from realface.synthetic import ProceduralSubject

WIDTH, HEIGHT = 6144, 4096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--patch", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each line")
    parser.add_argument("--subject", action="store_true", help="also a whole subject")
    given = parser.parse_args()
    on_cpu = torch.device(given.device).type == "cpu"
    print(f"{device_name(given.device)}, torch {torch.__version__}")
    print(f"{given.patch}x{given.patch}, eight maps, {WIDTH}x{HEIGHT} a subject\n")
    print(f"{'batch':>5} {'processes':>9} {'patches/s':>10} {'CPU s a patch':>14}")
    lines = [(1, 1), (8, 1), (1, 2), (8, 2)] if on_cpu else [(1, 1), (8, 1), (64, 1)]
    for batch, processes in lines:
        a_second, cpu = in_processes(processes, given.device, batch, given.patch, given.seconds)
        print(f"{batch:5} {processes:9} {a_second:10.2f} {cpu:14.3f}", flush=True)
    if given.subject:
        torch.set_num_threads(2)
        start, cpu = time.perf_counter(), time.process_time()
        ProceduralSubject(0).maps(HEIGHT, WIDTH, device=given.device)
        synchronise(given.device)
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"\na whole subject: {spent:.1f} s, {cpu:.1f} s of the processor")
    return 0


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def in_processes(
    count: int, device: str, batch: int, patch: int, seconds: float
) -> tuple[float, float]:
    """Patches a second over processes of one thread side by side, and CPU seconds for each."""
    work = [(rank, device, batch, patch, seconds) for rank in range(count)]
    if count == 1:
        return rate(*work[0])
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        rates = pool.starmap(rate, work)
    return sum(one[0] for one in rates), sum(one[1] for one in rates) / count


def rate(rank: int, device: str, batch: int, patch: int, seconds: float) -> tuple[float, float]:
    torch.set_num_threads(1)

    def make(step: int) -> None:
        words = f"benchmark {rank} {step}"
        make_batch(draw_batch(words, TRAINING_SUBJECTS, batch, patch, (WIDTH,) * 2, 0.5), device)

    for step in range(1 if device == "cpu" else 5):
        make(-1 - step)
    synchronise(device)
    start, cpu = time.perf_counter(), time.process_time()
    for step in itertools.count():
        make(step)
        if device == "cpu" or step % 8 == 7:
            synchronise(device)
            spent = time.perf_counter() - start
            if spent > seconds:
                made = (step + 1) * batch
                return made / spent, (time.process_time() - cpu) / made


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
