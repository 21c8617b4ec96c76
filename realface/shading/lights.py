"""Lights on a face: points, directions and distant surroundings; linear RGB, object space.

A light's colour is what a white Lambertian surface that faces it returns: its irradiance / pi.
A white diffuse surface amid constant radiance b then returns b.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from realface.shading import harmonics as spherical
from realface.shading import latlong


@dataclass(frozen=True)
class Reflections:
    """Distant surroundings as dull and polished surfaces mirror them, for a batch.

    Attributes:
        radiance: Latitude-longitude maps ``(B, K, 3, h, w)`` linear RGB, in the convention of
            `latlong`: at each direction the mean over a lobe around it.
        exponents: Blinn-Phong exponent of each lobe, ``(K,)``, ascending.
    """

    radiance: Tensor
    exponents: Tensor

    def mirrored(self) -> "Reflections":
        """With x negated."""
        return replace(self, radiance=self.radiance.flip(-1))

    def rotated(self, matrix: Tensor) -> "Reflections":
        """Turned by an orthogonal matrix ``(3, 3)`` or ``(B, 3, 3)``, resampled bilinearly."""
        return replace(self, radiance=latlong.rotated(self.radiance, matrix))


@dataclass(frozen=True)
class Lights:
    """The light on each subject of a batch.

    Attributes:
        positions: ``(B, L, 4)``, homogeneous. w = 1: a point at xyz [mm, relative to the subject's
            median position]; w = 0: a direction, xyz the unit vector towards the light. L may be 0.
        colours: ``(B, L, 3)`` linear RGB, irradiance / pi; no attenuation with distance.
        radii: ``(B, L)``, angular radius of each light as the face sees it [rad]: how soft its
            shadow is; 0: hard.
        harmonics: ``(B, 9, 3)`` linear RGB, distant radiance on the basis of `harmonics`.
        reflections: The same surroundings for highlights; None: highlights of ``harmonics``.
    """

    positions: Tensor
    colours: Tensor
    radii: Tensor
    harmonics: Tensor
    reflections: Reflections | None = None

    def mirrored(self) -> "Lights":
        """The lights that go with mirrored maps: x negated."""
        flip = self.positions.new_tensor((-1.0, 1.0, 1.0, 1.0))
        return replace(
            self,
            positions=self.positions * flip,
            harmonics=spherical.mirror(self.harmonics),
            reflections=self.reflections and self.reflections.mirrored(),
        )

    def rotated(self, matrix: Tensor) -> "Lights":
        """The lights that go with a turned head: what was at ``x`` is at ``matrix @ x``.

        Args:
            matrix: Rotation about the median position, ``(3, 3)`` or ``(B, 3, 3)``.
        """
        places, kinds = self.positions.split((3, 1), dim=-1)
        return replace(
            self,
            positions=torch.cat((places @ matrix.mT, kinds), dim=-1),
            harmonics=spherical.rotate(self.harmonics, matrix),
            reflections=self.reflections and self.reflections.rotated(matrix),
        )


def point_lights(positions: Tensor, colours: Tensor, ambient: Tensor) -> Lights:
    """Point lights of no size, amid the same radiance from everywhere.

    Args:
        positions: ``(B, L, 3)`` [mm], relative to the subject's median position.
        colours: ``(B, L, 3)`` linear RGB, irradiance / pi.
        ambient: ``(B, 3)`` linear RGB, radiance.
    """
    return Lights(
        torch.cat((positions, torch.ones_like(positions[..., :1])), dim=-1),
        colours,
        torch.zeros_like(positions[..., 0]),
        spherical.constant(ambient),
    )
