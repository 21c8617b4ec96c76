"""Normal maps between object and tangent space, and between green directions.

A frame is the pair (tangent, normal) of unit vectors with a handedness; the bitangent is
``handedness * cross(normal, tangent)`` and points up the map, towards increasing v, so that a
tangent-space map is +Y up (OpenGL) by construction.
"""

import torch
from torch import Tensor

from realface.maps.encoding import unit


def flip_green(normals: Tensor) -> Tensor:
    """Swap OpenGL (+Y up) and DirectX (+Y down): y of ``(..., 3, H, W)`` is negated."""
    x, y, z = normals.unbind(dim=-3)
    return torch.stack((x, -y, z), dim=-3)


def bitangents(tangents: Tensor, normals: Tensor, handedness: Tensor) -> Tensor:
    """Third vector of the frame, unit length, ``(..., 3, H, W)``; handedness is +1 or -1."""
    return handedness * torch.linalg.cross(normals, tangents, dim=-3)


def level_tangents(normals: Tensor) -> Tensor:
    r"""Tangents of the frame that the shortest turn from +z to each normal makes of the axes.

    :math:`t = (1 - x^2 / (1 + z),\; -xy / (1 + z),\; -x)`; the handedness is +1 and the bitangent
    is what the turn makes of y (Duff et al., "Building an orthonormal basis, revisited", JCGT
    6(1), 2017). The frame needs no UV chart, changes as smoothly as the normals, and turns and is
    mirrored with a face about the axis of view. Only at -z, behind the head, does it jump.

    Args:
        normals: Unit vectors, object space, ``(..., 3, H, W)``.

    Returns:
        Unit vectors orthogonal to ``normals``, same shape.
    """
    x, y, z = normals.unbind(dim=-3)
    # Behind, 1 + z cancels out: (x^2 + y^2) / (1 - z) is the same.
    behind = (1 - z) / (x * x + y * y).clamp(min=1e-20)
    inverse = torch.where(z < 0, behind, 1 / (1 + z.clamp(min=0)))
    return torch.stack((1 - x * x * inverse, -x * y * inverse, -x), dim=-3)


def tangent_to_object(
    vectors: Tensor, tangents: Tensor, normals: Tensor, handedness: Tensor
) -> Tensor:
    """Rotate tangent-space normals into object space, ``(..., 3, H, W)``, unit length.

    Args:
        vectors: Tangent-space unit vectors: x along the tangent, y along the bitangent.
        tangents: Object-space unit vectors, orthogonal to ``normals``.
        normals: Object-space unit vectors of the frame, the shape's own.
        handedness: ``(..., 1, H, W)``, +1 or -1.
    """
    x, y, z = (vectors.narrow(-3, i, 1) for i in range(3))
    return unit(x * tangents + y * bitangents(tangents, normals, handedness) + z * normals)


def object_to_tangent(
    vectors: Tensor, tangents: Tensor, normals: Tensor, handedness: Tensor
) -> Tensor:
    """Rotate object-space normals into the frame: the inverse of `tangent_to_object`."""
    frame = (tangents, bitangents(tangents, normals, handedness), normals)
    return unit(torch.cat([(vectors * axis).sum(-3, keepdim=True) for axis in frame], dim=-3))


def offset_to_object(vectors: Tensor, normals: Tensor) -> Tensor:
    """AvatarMe's additive "tangent" normals to object space: ``unit(N + (x, y, 0))``.

    The x and y of the map are added to the base normal, z is ignored and nothing is rotated
    (pytorch3d-me, ``renderer/mesh/shading.py``, tangent mode). Not a tangent frame: see
    `tangent_to_object` for that.
    """
    offset = torch.cat((vectors.narrow(-3, 0, 2), torch.zeros_like(vectors.narrow(-3, 2, 1))), -3)
    return unit(normals + offset)


def object_to_offset(vectors: Tensor, normals: Tensor) -> Tensor:
    """Object-space normals as AvatarMe's additive x, y offset on ``normals``.

    The z of the result is what makes the stored vector unit length. The offset is measured in
    the plane of the base normal's z: ``n / n_z * N_z - N``; exact for `offset_to_object` where
    both normals face the viewer (positive z).
    """
    scale = normals.narrow(-3, 2, 1) / vectors.narrow(-3, 2, 1).clamp(min=1e-6)
    offset = (vectors * scale - normals).narrow(-3, 0, 2)
    z = (1 - offset.square().sum(-3, keepdim=True)).clamp(min=0).sqrt()
    return torch.cat((offset, z), dim=-3)
