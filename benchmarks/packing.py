"""How long a set of RealFaceDB's size takes to pack: minutes, memory, and what a kill costs.

    python benchmarks/packing.py [--patches 1500] [--workers N] [--source DIR] [--scratch DIR]

Without ``--source`` it makes 512x512 8-bit PNG of RealFaceDB's five types, five files a patch, from
procedural faces. A few windows (``--windows``) are made and their files copied under other names
until there are enough: decoding and encoding cost what they cost on patches that differ, but the
search for near-duplicates finds the copies at once and compares less than it would.

`realface pack` runs as a program of its own; memory is the proportional share (PSS) of all its
processes together, read from /proc, so this runs on Linux alone. Then it is killed (SIGKILL) half
way and started again: the bytes must be the same. Beside it, on one process, the plain loops that
people write: the PNG files as they are into `webdataset.ShardWriter`, and the same with each file
decoded and encoded again by OpenCV. They check nothing, look for no duplicates and derive no
``shape_normals``.
"""

import argparse
import hashlib
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import webdataset

from realface.data.procedural import draw_window
from realface.maps.files import write_image
from realface.maps.io import encode
from realface.maps.kinds import KINDS
from realface.maps.record import default_record
from realface.synthetic import ProceduralSubject

TYPES = {
    "diffuse_albedo": "DiffuseAlbedo",
    "diffuse_normals": "DiffuseNormals",
    "specular_albedo": "SpecularAlbedo",
    "specular_normals": "SpecularNormals",
    "shape": "Shape",
}
HEIGHT, WIDTH, PATCH = 4096, 6144, 512
MILLIMETRES = 90.0  # per unit of shape, as RealFaceDB's is taken
POLL = 0.2  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=1500, help="of five files each")
    parser.add_argument("--windows", type=int, default=48, help="different ones among them")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--codec", default="png")
    parser.add_argument("--source", type=Path, help="a folder of patches to take instead")
    parser.add_argument("--scratch", type=Path, help="where there is room for three times the set")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.scratch) as name:
        folder = Path(name)
        source = given.source or make_source(folder / "source", given.patches, given.windows)
        files = [path for path in source.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
        print(f"{len(files)} files, {size / 1e9:.2f} GB\n")
        print(f"{'':34} {'minutes':>8} {'files/s':>8} {'GB':>6} {'peak MB':>8}")
        out = folder / "packed"
        seconds, peak = watch(start(source, out, given.workers, given.codec))
        line(f"realface pack, {given.workers} workers, {given.codec}", seconds, files, out, peak)
        same = killed_and_resumed(source, folder / "again", given, out) == digest(out)
        for title, convert in (("plain loop, bytes as they are", bytes_of),
                               ("plain loop, decoded and encoded", coded_again)):  # fmt: skip
            began = time.perf_counter()
            plain_loop(source, folder / "plain", convert)
            line(title, time.perf_counter() - began, files, folder / "plain", None)
            shutil.rmtree(folder / "plain")
        print(f"\nkilled half way and resumed: {'the same bytes' if same else 'OTHER BYTES'}")
    return 0 if same else 1


def make_source(folder: Path, patches: int, windows: int) -> Path:
    """Patches of procedural faces as 8-bit PNG, by type; copies of the first ``windows``."""
    for kind in TYPES.values():
        (folder / kind).mkdir(parents=True)
    for number in range(patches):
        if number < windows:
            write_patch(folder, number)
        else:
            for kind in TYPES.values():
                first = folder / kind / f"{number % windows:04d}.png"
                shutil.copyfile(first, folder / kind / f"{number:04d}.png")
    return folder


def write_patch(folder: Path, number: int) -> None:
    window = draw_window(random.Random(number), (HEIGHT, WIDTH), PATCH, 0.9)
    maps = ProceduralSubject(number).maps(HEIGHT, WIDTH, window)
    maps["shape"] = (maps["shape"] / MILLIMETRES).clamp(-1, 1)
    for kind, name in TYPES.items():
        record = default_record(kind, "patch.png", PATCH, PATCH, 8)
        pixels = encode(maps[kind], KINDS[kind], record, np.dtype("u1"))
        write_image(folder / name / f"{number:04d}.png", pixels)


def start(source: Path, out: Path, workers: int, codec: str) -> subprocess.Popen:
    program = "import sys; from realface.cli.main import main; main(sys.argv[1:])"
    flags = ["--workers", str(workers), "--codec", codec]
    return subprocess.Popen(
        [sys.executable, "-c", program, "pack", source, out, *flags],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def watch(process: subprocess.Popen) -> tuple[float, float]:
    """Seconds until a program ends, and the largest memory [MB] of all its processes."""
    began, peak = time.perf_counter(), 0
    while process.poll() is None:
        peak = max(peak, sum(proportional_size(number) for number in tree(process.pid)))
        time.sleep(POLL)
    if process.returncode:
        raise SystemExit(f"pack ended with {process.returncode}")
    return time.perf_counter() - began, peak / 1e3


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for number in found:
        found += children.get(number, [])
    return found


def proportional_size(number: int) -> int:
    """Memory of a process [kB]; pages that several share count in parts."""
    try:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def killed_and_resumed(
    source: Path, out: Path, given: argparse.Namespace, whole: Path
) -> dict[str, str]:
    """Hashes of what a run leaves that was killed after half the shards of ``whole``."""
    process = start(source, out, given.workers, given.codec)
    unfinished = out.with_name(f".{out.name}.partial")
    shards = len(list(whole.glob("*.tar")))
    while len(list(unfinished.glob("*/*.tar.json"))) < max(1, shards // 2):
        if process.poll() is not None:
            raise SystemExit("pack ended before it could be killed")
        time.sleep(POLL / 10)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again, peak = watch(start(source, out, given.workers, given.codec))
    line("the same, killed half way: the rest", again, [], out, peak)
    return digest(out)


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def coded_again(path: Path) -> bytes:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return cv2.imencode(".png", pixels)[1].tobytes()


def plain_loop(source: Path, out: Path, convert) -> None:
    out.mkdir()
    kinds = sorted(path for path in source.iterdir() if path.is_dir())
    pattern = str(out / "train-%06d.tar")
    with webdataset.ShardWriter(pattern, maxcount=64, verbose=0) as writer:
        for path in sorted(kinds[0].iterdir()):
            members = {f"{kind.name}.png": convert(kind / path.name) for kind in kinds}
            writer.write({"__key__": path.stem, **members})


def line(title: str, seconds: float, files: list[Path], out: Path, peak: float | None) -> None:
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e9
    a_second = f"{len(files) / seconds:8.1f}" if files else f"{'':8}"
    memory = "" if peak is None else f"{peak:8.0f}"
    print(f"{title:34} {seconds / 60:8.2f} {a_second} {size:6.2f} {memory}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
