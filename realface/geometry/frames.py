"""Smooth normals and tangents of a triangle mesh."""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_SLIVER = 1e-10  # a triangle with less area, in squares of its edges, has no direction
_WELD = 1e-7  # positions closer than this share of the mesh's extent are one point


def smooth_normals(positions: Float, triangles: Int) -> Float:
    """Vertex normals, continuous where vertices of equal position are split by a UV seam.

    Mean of the faces' normals weighted by the angle at the corner: Thürmer and Wüthrich,
    "Computing Vertex Normals from Polygonal Facets", Journal of Graphics Tools 3(1), 1998.
    Where the welded faces cancel out (a sheet with two sides), each side keeps its own normal.

    Args:
        positions: ``(V, 3)`` object space.
        triangles: ``(F, 3)`` counter-clockwise seen from outside.

    Returns:
        ``(V, 3)`` unit vectors; (0, 0, 1) for vertices that no triangle with area uses.
    """
    corners = positions[triangles]
    weighted = corner_angles(corners)[..., None] * unit(_area_vectors(corners))[:, None]
    extent = float(np.ptp(positions, axis=0).max()) if len(positions) else 0.0
    welded = weld(np.rint(positions / (extent * _WELD or 1.0)))
    together = _gather(weighted, welded[triangles], len(positions))[welded]
    alone = _gather(weighted, triangles, len(positions))
    cancelled = np.linalg.norm(together, axis=1) < 1e-6
    normals = unit(np.where(cancelled[:, None], alone, together))
    normals[np.linalg.norm(normals, axis=1) < 0.5] = (0.0, 0.0, 1.0)
    return normals


def corner_tangents(
    positions: Float, uvs: Float, normals: Float, triangles: Int
) -> tuple[Float, NDArray[np.float32]]:
    r"""Smooth tangents at the corners of each triangle, and the handedness of its UVs.

    The tangent is :math:`\partial p / \partial u`, laid into the plane of the vertex normal and
    averaged, weighted by corner angle, over the triangles that meet in position and UV and have
    the same handedness: the scheme of MikkTSpace (Mikkelsen, "Simulation of Wrinkled Surfaces
    Revisited", 2008), so that mirrored halves which share vertices do not cancel out.

    Args:
        positions: ``(V, 3)`` object space.
        uvs: ``(V, 2)``, v upward.
        normals: ``(V, 3)`` unit vertex normals.
        triangles: ``(F, 3)``.

    Returns:
        ``(F, 3, 3)`` tangents by triangle and corner, unit or zero where UVs have no area;
        ``(F,)`` handedness h, +1 or -1: the bitangent toward growing v is h * cross(normal,
        tangent).
    """
    corners, coordinates, across = positions[triangles], uvs[triangles], normals[triangles]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (u1, v1) = (coordinates[:, 1] - coordinates[:, 0]).T
    (u2, v2) = (coordinates[:, 2] - coordinates[:, 0]).T
    area = u1 * v2 - u2 * v1
    along_u = np.sign(area)[:, None] * (edge1 * v2[:, None] - edge2 * v1[:, None])
    faces = _area_vectors(corners)
    along_u *= (np.abs(faces).sum(axis=1) > 0)[:, None]
    outward = (faces * across.sum(axis=1)).sum(axis=1) >= 0
    handedness = np.where((area >= 0) == outward, 1.0, -1.0).astype(np.float32)

    flat = along_u[:, None] - across * (along_u[:, None] * across).sum(axis=2, keepdims=True)
    weighted = unit(flat) * corner_angles(corners)[..., None]
    key = 2 * weld(np.concatenate([positions, uvs], axis=1))[triangles]
    key += (handedness > 0)[:, None]
    return unit(_gather(weighted, key, 2 * len(positions)))[key], handedness


def corner_angles(corners: Float) -> Float:
    """Interior angles [rad] of triangles ``(F, 3, 3)`` at their corners ``(F, 3)``; 0 if flat."""
    ahead = unit(np.roll(corners, -1, axis=1) - corners)
    back = unit(np.roll(corners, 1, axis=1) - corners)
    return np.arccos(np.clip((ahead * back).sum(axis=2), -1, 1))


def _area_vectors(corners: Float) -> Float:
    """Cross products ``(F, 3)`` of the triangles' edges; zero for slivers, whose are rounding."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    crossed = np.cross(edge1, edge2)
    edges = (edge1**2).sum(axis=1) + (edge2**2).sum(axis=1)
    crossed[np.linalg.norm(crossed, axis=1) <= _SLIVER * edges] = 0.0
    return crossed


def unit(vectors: Float) -> Float:
    """Vectors ``(..., 3)`` scaled to length one; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def weld(rows: Float) -> Int:
    """For each row of ``(V, K)`` the number, below V, of its group of equal rows."""
    _, group = np.unique(rows + 0.0, axis=0, return_inverse=True)  # + 0.0: no negative zero
    return group.reshape(-1).astype(np.int64)


def _gather(values: Float, keys: Int, size: int) -> Float:
    """Sum ``(F, 3, 3)`` corner vectors by ``(F, 3)`` keys into ``(size, 3)``."""
    flat = keys.reshape(-1)
    parts = [np.bincount(flat, values[..., axis].reshape(-1), size) for axis in range(3)]
    return np.stack(parts, axis=1)
