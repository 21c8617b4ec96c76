"""Mesh with UVs to maps: shape, normals, tangents and mask."""

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realface.errors import InputError
from realface.geometry.frames import corner_tangents
from realface.geometry.mesh import Mesh
from realface.geometry.normals import unit_or
from realface.geometry.padding import pad_islands
from realface.geometry.rasterise import Raster, rasterise

_log = logging.getLogger(__name__)

_TEXELS_AT_ONCE = 1 << 19  # bounds the memory of interpolation
_SHORTEST_SQUARE = 1e-12  # of a tangent, once laid flat, that still has a direction
_UP, _ASIDE = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)


def bake(mesh: Mesh, height: int, width: int, padding: int = 8) -> dict[str, Tensor]:
    """Lay a mesh out over its UVs.

    Positions, normals and tangents are interpolated linearly between corners, then normals and
    tangents are brought back to unit length and tangents made orthogonal to normals. Where
    triangles overlap in UV the first in the mesh is kept, and the number of texels is logged.

    Args:
        mesh: The mesh; its UVs are read within the unit square.
        height: Rows of the maps [texels].
        width: Columns of the maps [texels].
        padding: Rim around islands that is filled from inside them [texels]; not in ``mask``.

    Returns:
        float32 maps, object space: ``shape`` ``(3, H, W)`` in the mesh's units;
        ``shape_normals`` and ``tangents`` ``(3, H, W)``, unit everywhere; ``handedness``
        ``(1, H, W)``, +1 or -1: the bitangent, toward growing v, is handedness * cross(normal,
        tangent); ``mask`` ``(1, H, W)``, 1 on the mesh. Beyond the rim shape is 0, normals are
        (0, 0, 1), tangents (1, 0, 0).

    Raises:
        InputError: If a number makes no sense, or no texel is covered.
    """
    for name, value, least in (("height", height, 1), ("width", width, 1), ("padding", padding, 0)):
        if value < least:
            raise InputError(f"{name} {value}", f"at least {least}", "correct the flag")
    raster = rasterise(mesh.uvs, mesh.triangles, height, width)
    covered = torch.from_numpy(raster.index >= 0)
    if not covered.any():
        raise InputError(
            f"a mesh that covers nothing of a map of {height}x{width} (height x width)",
            "UVs that lay triangles over the centres of texels",
            "check the mesh's UVs, or ask for a larger map",
        )
    _report(raster, int(covered.sum()))
    mask = covered[None].float()
    maps = {"shape": torch.zeros(3, height, width), "handedness": torch.ones(1, height, width)}
    for name, vector in (("shape_normals", _UP), ("tangents", _ASIDE)):
        maps[name] = torch.tensor(vector)[:, None, None].repeat(1, height, width)
    _interpolate(mesh, raster, maps)

    for name in ("shape", "shape_normals", "tangents", "handedness"):
        maps[name] = pad_islands(maps[name], mask, padding)
    maps["handedness"] = torch.where(maps["handedness"] < 0, -1.0, 1.0)
    _make_frames(maps["shape_normals"], maps["tangents"])
    return {**maps, "mask": mask}


def _report(raster: Raster, covered: int) -> None:
    """Log coverage, and overlaps where there are any."""
    _log.info("%.1f %% of the map is covered", 100 * covered / raster.index.size)
    if raster.overlaps:
        _log.warning(
            "%.2g %% of the map (%d texels) is covered more than once; the first triangle in the "
            "mesh was kept. If parts of the mesh share UVs, name the parts to keep",
            100 * raster.overlaps / raster.index.size,
            raster.overlaps,
        )


def _interpolate(mesh: Mesh, raster: Raster, maps: dict[str, Tensor]) -> None:
    """Write the mesh's values at the covered texels into ``maps``."""
    tangents, handedness = corner_tangents(mesh.positions, mesh.uvs, mesh.normals, mesh.triangles)
    corners = np.concatenate(
        [mesh.positions[mesh.triangles], mesh.normals[mesh.triangles], tangents], axis=2
    )
    width = raster.index.shape[1]
    strip = max(1, _TEXELS_AT_ONCE // width)
    for top in range(0, len(raster.index), strip):
        rows, columns = np.nonzero(raster.index[top : top + strip] >= 0)
        if not len(rows):
            continue
        rows += top
        triangles = raster.index[rows, columns].astype(np.int64)
        values = _mix(corners, triangles, raster.weights(triangles, rows, columns))
        texels = torch.from_numpy(rows * width + columns)
        for i, name in enumerate(("shape", "shape_normals", "tangents")):
            for axis in range(3):
                maps[name][axis].view(-1)[texels] = torch.from_numpy(values[3 * i + axis])
        maps["handedness"].view(-1)[texels] = torch.from_numpy(handedness[triangles])


def _mix(
    corners: NDArray[np.float64], triangles: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Corner values ``(F, 3, K)`` at ``(N,)`` triangles, weighted by ``(N, 3)``: ``(K, N)``."""
    mixed = sum(
        corners[:, corner].take(triangles, axis=0) * weights[:, corner, None] for corner in range(3)
    )
    return np.ascontiguousarray(np.asarray(mixed).T, dtype=np.float32)


def _make_frames(normals: Tensor, tangents: Tensor) -> None:
    """Make normals unit, tangents unit and orthogonal to them; in place, ``(3, H, W)`` each."""
    strip = max(1, _TEXELS_AT_ONCE // normals.shape[2])
    for normal, tangent in zip(normals.split(strip, 1), tangents.split(strip, 1), strict=True):
        normal.copy_(unit_or(normal, _UP))
        flat = tangent - normal * (normal * tangent).sum(0, keepdim=True)
        lost = (flat * flat).sum(0, keepdim=True) < _SHORTEST_SQUARE
        flat = torch.where(lost, _any_perpendicular(normal), flat)
        tangent.copy_(unit_or(flat, _ASIDE))


def _any_perpendicular(normal: Tensor) -> Tensor:
    """A unit vector orthogonal to each unit vector of ``(3, H, W)``.

    Duff et al., "Building an Orthonormal Basis, Revisited", JCGT 6(1), 2017.
    """
    x, y, z = normal
    sign = torch.where(z < 0, -1.0, 1.0)
    scale = -1 / (sign + z)
    return torch.stack([1 + sign * x * x * scale, sign * x * y * scale, -sign * x])
