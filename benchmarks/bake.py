"""Seconds to lay a mesh out over its UVs: index, all attributes, files written.

    python benchmarks/bake.py [MESH] [--height 4096 --width 6144] [--repeats 3]

Without a mesh, a sphere of 120,050 triangles. Beside it the nearest peer on a CPU: Embree's rays on
the UV plane (`pip install embreex`), which find the triangle and nothing more; left out, with a
word, where it is not installed.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from realface.geometry.bake import bake
from realface.geometry.mesh import Mesh, load_mesh
from realface.geometry.rasterise import rasterise
from realface.maps.subject import save_map


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mesh", type=Path, nargs="?")
    parser.add_argument("--height", type=int, default=4096)
    parser.add_argument("--width", type=int, default=6144)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    mesh = load_mesh(given.mesh) if given.mesh else sphere(245)
    size = given.height, given.width
    print(f"{len(mesh.triangles)} triangles, {size[0]}x{size[1]} (height x width)")

    def write() -> None:
        with tempfile.TemporaryDirectory() as folder:
            maps = bake(mesh, *size)
            for kind in ("shape", "shape_normals", "mask"):
                save_map(Path(folder), kind, maps[kind], bits=8 if kind == "mask" else 16)

    jobs: dict[str, Callable[[], object]] = {
        "rasterise: triangle of each texel": lambda: rasterise(mesh.uvs, mesh.triangles, *size),
        "bake: positions, normals, tangents, handedness, mask, padded": lambda: bake(mesh, *size),
        "bake, and shape, shape_normals and mask written": write,
    }
    try:
        from embreex.mesh_construction import TriangleMesh  # noqa: F401
    except ImportError:
        print("Embree is not installed: no peer")
    else:
        jobs["Embree: triangle of each texel"] = lambda: embree(mesh, *size)
    print("| what | median s |\n|---|---|")
    for name, job in jobs.items():
        print(f"| {name} | {seconds(job, given.repeats):.2f} |", flush=True)


def seconds(job: Callable[[], object], repeats: int) -> float:
    """Median duration of a job."""
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def sphere(side: int) -> Mesh:
    """A sphere without its poles, ``2 * side**2`` triangles, over most of the unit square."""
    v, u = np.meshgrid(*2 * [np.linspace(0, 1, side + 1)], indexing="ij")
    polar, turn = (0.05 + 0.9 * (1 - v)) * np.pi, 2 * np.pi * u
    normals = np.stack(
        [np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], axis=-1
    ).reshape(-1, 3)
    uvs = 0.02 + 0.96 * np.stack([u, v], axis=-1).reshape(-1, 2)
    corner = np.arange(side * (side + 1)).reshape(side, side + 1)[:, :-1].reshape(-1, 1)
    quads = corner + np.array([0, 1, side + 2, side + 1])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return Mesh(100 * normals, triangles, uvs, normals)


def embree(mesh: Mesh, height: int, width: int) -> None:
    """Cast one ray a texel at the triangles laid flat, in strips."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    flat = np.pad(mesh.uvs, ((0, 0), (0, 1))).astype(np.float32)
    TriangleMesh(scene, flat, mesh.triangles.astype(np.int32))
    u = (np.arange(width, dtype=np.float32) + 0.5) / width
    down = np.tile(np.float32([0, 0, -1]), (width * 64, 1))
    for top in range(0, height, 64):
        rows = np.arange(top, min(top + 64, height), dtype=np.float32)
        origins = np.ones((len(rows), width, 3), np.float32)
        origins[..., 0], origins[..., 1] = u, 1 - (rows[:, None] + 0.5) / height
        scene.run(origins.reshape(-1, 3), down[: len(rows) * width])


if __name__ == "__main__":
    main()
