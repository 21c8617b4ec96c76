"""The kinds of map, and what each one means: the only table of its sort in the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the table is read where torch would be slow to import
    from torch import Tensor

Encoding = Literal["srgb", "linear", "unit_vector", "position"]
Space = Literal["object", "tangent", "offset"]
Green = Literal["gl", "dx"]


@dataclass(frozen=True)
class MapKind:
    """What a map holds in memory, whatever its file looked like.

    Attributes:
        name: The kind's one name, in code, files and flags.
        channels: Channels in memory.
        encoding: ``srgb`` or ``linear``: values in [0, 1]; ``unit_vector``: unit vectors in
            [-1, 1]; ``position``: object-space coordinates in the subject's units.
        meaning: One line for people.
    """

    name: str
    channels: int
    encoding: Encoding
    meaning: str

    @property
    def is_vector(self) -> bool:
        """Whether it turns with the plane of its map, see `moved`."""
        return self.encoding in ("unit_vector", "position")

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """Encodings in which a file may hold it."""
        return (self.encoding,) if self.is_vector else ("srgb", "linear")

    def moved(self, values: Tensor, matrix: Tensor) -> Tensor:
        """What texels hold once they have been moved within the plane of the map.

        The map's columns run along x and its rows against y, so a turn or mirror of the image is
        one of the face about object z: vectors follow it, colours stay. That holds in tangent
        space too, whose tangents lie along the columns and move with them.

        Args:
            values: ``(..., C, H, W)``, whose texels are already where they belong.
            matrix: Orthogonal, ``(2, 2)`` or ``(B, 2, 2)``: what was at (x, y) is at
                ``matrix @ (x, y)``.
        """
        if not self.is_vector:
            return values
        # No matrix product: it may be rounded to TF32 or bfloat16.
        a, b, c, d = matrix.flatten(-2)[..., None, None].unbind(-3)
        x, y, _ = values.unbind(-3)
        moved = values.clone()
        moved.select(-3, 0).copy_(a * x + b * y)
        moved.select(-3, 1).copy_(c * x + d * y)
        return moved


_ALL = (
    MapKind("texture", 3, "srgb", "captured map, light baked in"),
    MapKind("diffuse_albedo", 3, "srgb", "colour of the light scattered below the surface"),
    MapKind("specular_albedo", 1, "linear", "strength of the light reflected at the surface"),
    MapKind("diffuse_normals", 3, "unit_vector", "normals that the scattered light sees"),
    MapKind("specular_normals", 3, "unit_vector", "normals that the reflected light sees"),
    MapKind("shape", 3, "position", "object-space position of the surface at each texel"),
    MapKind("shape_normals", 3, "unit_vector", "normals of shape"),
    MapKind("mask", 1, "linear", "1 where a texel is valid"),
    MapKind("occlusion", 1, "linear", "share of the ambient light that reaches the surface"),
    MapKind("translucency", 1, "linear", "strength of subsurface scattering"),
    MapKind("exponent", 1, "linear", "Blinn-Phong shininess in [0, 1]"),
)

KINDS: dict[str, MapKind] = {kind.name: kind for kind in _ALL}
"""Every kind by name."""

REFLECTANCE = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals")
"""The four reflectance maps, in the order in which the translators run."""
