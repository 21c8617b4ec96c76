"""Triangle meshes with texture coordinates, and how they are read."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realface.errors import InputError
from realface.geometry.frames import smooth_normals, unit

_log = logging.getLogger(__name__)

SUFFIXES = (".obj", ".ply", ".glb", ".gltf")
"""Mesh files that are read."""

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh; vertices are split where UVs or normals are.

    Attributes:
        positions: ``(V, 3)`` object space: x to image right, y up, z to the viewer.
        triangles: ``(F, 3)`` vertex indices, counter-clockwise seen from outside.
        uvs: ``(V, 2)``, v upward; the map covers the unit square.
        normals: ``(V, 3)`` unit vectors, object space.
    """

    positions: Float
    triangles: Int
    uvs: Float
    normals: Float


def load_mesh(
    path: Path | str,
    tile: tuple[int, int] = (0, 0),
    parts: Sequence[str] | None = None,
    flip_v: bool = False,
) -> Mesh:
    """Read one UV tile of a mesh file.

    Normals are the file's own where it has them; otherwise smooth, and continuous across UV
    seams and tiles. What is left out is logged.

    Args:
        path: OBJ, PLY, GLB or glTF, with texture coordinates.
        tile: UDIM tile (u, v) to keep; it is moved to the unit square.
        parts: Names of the parts (OBJ materials, glTF meshes) to keep, first one on top where
            they overlap in UV; ``None`` keeps all, in the file's order.
        flip_v: Mirror v; for files written against their format's rule.

    Returns:
        The mesh.

    Raises:
        InputError: If the file is missing, unreadable, of another type, or has no triangles,
            no texture coordinates, no such part, nothing in the tile, or values that are not
            finite.
    """
    path = Path(path)
    named = _select_parts(_read_parts(path), parts, path)
    meshes = [_assemble(geometry, matrix, path, flip_v) for _, geometry, matrix in named]
    if not any(len(mesh.triangles) for mesh in meshes):
        raise InputError(
            f"{path} has no triangles", "a triangle mesh", "export the surface, not its points"
        )
    whole = _fill_normals(_join(meshes))
    owner = np.repeat(np.arange(len(named)), [len(mesh.triangles) for mesh in meshes])
    kept = _in_tile(whole, tile)
    counts = np.bincount(owner[kept], minlength=len(named))
    for (name, _, _), count in zip(named, counts, strict=True):
        if len(named) > 1 and count:
            _log.info("%s: part %s has %d triangles in tile %s", path.name, name, count, tile)
    try:
        return select_tile(whole, *tile)
    except InputError as error:
        raise InputError(f"{path}: {error.given}", error.expected, error.remedy) from None


def select_tile(mesh: Mesh, u: int, v: int) -> Mesh:
    """Keep the triangles of one UDIM tile and move it to the unit square.

    A triangle belongs to the tile that holds the mean of its UVs.

    Args:
        mesh: The mesh; not changed.
        u: Tile to the right of the unit square.
        v: Tile above the unit square.

    Returns:
        A mesh with the same vertices that are still used, in the same order.

    Raises:
        InputError: If no triangle lies in the tile.
    """
    kept = _in_tile(mesh, (u, v))
    if not kept.any():
        tiles = np.unique(_tiles(mesh), axis=0)[:10]
        raise InputError(
            f"no triangle in UV tile ({u}, {v})",
            "one of the tiles " + ", ".join(f"({a}, {b})" for a, b in tiles),
            "name one of these tiles",
        )
    if not kept.all():
        _log.warning(
            "%d of %d triangles lie in UV tiles other than (%d, %d) and were left out",
            np.count_nonzero(~kept),
            len(kept),
            u,
            v,
        )
    used, triangles = np.unique(mesh.triangles[kept], return_inverse=True)
    return Mesh(
        mesh.positions[used],
        triangles.reshape(-1, 3).astype(np.int64),
        mesh.uvs[used] - (u, v),
        mesh.normals[used],
    )


def _tiles(mesh: Mesh) -> Int:
    """``(F, 2)`` UDIM tile of each triangle."""
    return np.floor(mesh.uvs[mesh.triangles].mean(axis=1)).astype(np.int64)


def _in_tile(mesh: Mesh, tile: tuple[int, int]) -> NDArray[np.bool_]:
    return (_tiles(mesh) == tile).all(axis=1)


def _read_parts(path: Path) -> list[tuple[str, Any, Float]]:
    """Name, trimesh geometry and ``(4, 4)`` placement of each part, in the file's order."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"mesh {path}", f"a file of type {' '.join(SUFFIXES)}", "convert it to one of these"
        )
    if not path.is_file():
        raise InputError(f"mesh {path}", "an existing file", "check the path")
    import trimesh  # takes a third of a second: only who reads a mesh pays

    try:
        loaded = trimesh.load(path, process=False)
    except Exception as error:  # trimesh's readers raise whatever their parsers do
        raise InputError(
            f"mesh {path} cannot be read: {type(error).__name__}: {error}",
            f"a complete {path.suffix} file",
            "open it in a mesh editor and export it again",
        ) from error
    if not isinstance(loaded, trimesh.Scene):
        return [(path.stem, loaded, np.eye(4))]
    nodes = [(loaded.graph[node], node) for node in loaded.graph.nodes_geometry]
    parts = [(name, loaded.geometry[name], matrix) for (matrix, name), _ in nodes]
    order = list(loaded.geometry)
    if path.suffix.lower() == ".obj":
        order.reverse()  # trimesh takes an OBJ's materials from the last to the first
    return sorted(parts, key=lambda part: order.index(part[0]))


def _select_parts(
    named: list[tuple[str, Any, Float]], parts: Sequence[str] | None, path: Path
) -> list[tuple[str, Any, Float]]:
    if parts is None:
        return named
    names = [name for name, _, _ in named]
    missing = [part for part in parts if part not in names]
    if missing or not parts:
        raise InputError(
            f"{path} has no part named {', '.join(missing) or '(none was named)'}",
            "among its parts: " + ", ".join(names),
            "name one of these, or none to keep all",
        )
    return [entry for part in parts for entry in named if entry[0] == part]


def _assemble(geometry: Any, matrix: Float, path: Path, flip_v: bool) -> Mesh:
    """A trimesh geometry as a placed Mesh; its normals are NaN where the file has none."""
    faces = getattr(geometry, "faces", None)
    if faces is None or not len(faces):
        empty = np.zeros((0, 3))
        return Mesh(empty, np.zeros((0, 3), dtype=np.int64), np.zeros((0, 2)), empty)
    uvs = getattr(geometry.visual, "uv", None)
    if uvs is None:
        raise InputError(
            f"{path} has triangles without texture coordinates (UVs)",
            "a UV for each corner of each triangle",
            "unwrap the mesh, or export it with UVs, or name the parts that have them",
        )
    positions, uvs = np.asarray(geometry.vertices, np.float64), np.asarray(uvs, np.float64)[:, :2]
    if not (np.isfinite(positions).all() and np.isfinite(uvs).all()):
        raise InputError(
            f"{path} has positions or UVs that are not finite", "numbers", "export it again"
        )
    given = "vertex_normals" in geometry._cache  # the only place where trimesh tells
    normals = np.asarray(geometry.vertex_normals if given else np.full_like(positions, np.nan))
    linear = matrix[:3, :3]
    return Mesh(
        positions @ linear.T + matrix[:3, 3],
        np.asarray(faces, np.int64)[:, :: -1 if np.linalg.det(linear) < 0 else 1],
        np.stack([uvs[:, 0], 1 - uvs[:, 1]], axis=1) if flip_v else uvs,
        unit(normals @ np.linalg.inv(linear)),
    )


def _join(meshes: list[Mesh]) -> Mesh:
    """One mesh of several, in order."""
    offsets = np.cumsum([0, *(len(mesh.positions) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.positions for mesh in meshes]),
        np.concatenate([m.triangles + o for m, o in zip(meshes, offsets[:-1], strict=True)]),
        np.concatenate([mesh.uvs for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
    )


def _fill_normals(mesh: Mesh) -> Mesh:
    """Compute the normals that the file does not have (NaN, or zero)."""
    missing = ~(np.linalg.norm(mesh.normals, axis=1) > 0.5)
    if not missing.any():
        return mesh
    smooth = smooth_normals(mesh.positions, mesh.triangles)
    return replace(mesh, normals=np.where(missing[:, None], smooth, mesh.normals))
