"""Environment maps: a photographed surround as lights, as harmonics and as reflections."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from realface.errors import InputError
from realface.maps.encoding import luminance
from realface.maps.files import read_image
from realface.shading import harmonics as spherical
from realface.shading import latlong
from realface.shading.lights import Lights, Reflections

PANORAMAS = (".hdr", ".exr", ".tif", ".tiff")
"""Files that may hold one."""


@dataclass(frozen=True)
class Environment:
    """Radiance from every direction.

    Attributes:
        radiance: ``(3, h, w)`` linear RGB, not negative, latitude-longitude: row 0 is +y, the
            middle column +z, columns go on towards +x (`latlong`).
    """

    radiance: Tensor

    def rotated(self, matrix: Tensor) -> "Environment":
        """What was at ``d`` is at ``matrix @ d``; resampled bilinearly. Orthogonal (3, 3)."""
        return Environment(latlong.rotated(self.radiance[None, None], matrix)[0, 0])

    def mirrored(self) -> "Environment":
        """With x negated."""
        return Environment(self.radiance.flip(-1))

    def harmonics(self) -> Tensor:
        """Radiance as harmonics to order 2, ``(1, 9, 3)``."""
        return spherical.project(self.radiance[None])

    def reflections(self, exponents: Sequence[float], height: int = 64) -> Reflections:
        r"""The mean radiance under Blinn-Phong lobes around each direction, of a batch of one.

        The lobe is the one seen head-on, :math:`\cos^s(\theta / 2)` above the horizon, close to
        a Phong lobe of exponent s / 4. At oblique views the true lobe is narrower across the
        plane of incidence and cut off by the surface (Karis 2013 makes the same approximation).

        Args:
            exponents: :math:`s`, ascending.
            height: Rows of the maps, half their columns; at 64 texels are 2.8 degrees, which
                suits exponents up to 500. A smaller environment keeps its size.
        """
        radiance = _reduced(self.radiance, min(height, self.radiance.shape[1]))
        levels = torch.stack([_convolved(radiance, exponent) for exponent in exponents])
        return Reflections(levels[None], radiance.new_tensor(exponents))

    def prefiltered(self, exponents: Sequence[float]) -> Lights:
        """The environment as harmonics and reflections, no lamps, of a batch of one."""
        empty = self.radiance.new_zeros(1, 0, 4)
        return Lights(
            empty, empty[..., :3], empty[..., 0], self.harmonics(), self.reflections(exponents)
        )

    def surroundings(self, lamps: int, exponents: Sequence[float]) -> Lights:
        """What is bright as lamps, the rest as harmonics and reflections, of a batch of one.

        Neither nine harmonics nor prefiltered maps know shadows, and small lamps ring in the one
        and blur in the other. So luminance above its mean is cut off, hues kept, and goes to
        directional lamps as by `lights`; what remains is smooth. Each texel is shared out, none
        is lost or counted twice.

        Args:
            lamps: How many; 16 to 32 serve. Black where nothing is that bright.
            exponents: As of `reflections`.
        """
        luminances = luminance(self.radiance)[0]
        height, width = luminances.shape
        weights = latlong.solid_angles(height, width, luminances)
        level = (luminances * weights).mean() / weights.mean()
        kept = self.radiance * (level / luminances.clamp(min=1e-30)).clamp(max=1)
        bright = Environment(self.radiance - kept).lights(lamps)
        rest = Environment(kept)
        return replace(bright, harmonics=rest.harmonics(), reflections=rest.reflections(exponents))

    def lights(self, count: int) -> Lights:
        """The environment as directional lights, of a batch of one.

        Cut into rectangles so that directions vary least within them, after Viriyothai and
        Debevec, "Variance Minimization Light Probe Sampling", SIGGRAPH 2009 poster: the widest is
        cut next, so that any count will do. (Cut into equal energies, as their median cut does,
        halves of two lamps would make a third between them.) Each light stands at
        its region's centre of energy; the colours' sum is the map's own irradiance / pi from all
        around. A radius is that of the cap whose mean direction is as long as the region's: a
        uniform, compact region gives its solid angle, a small lamp in a dark one is small.
        """
        height, width = self.radiance.shape[1:]
        energy = self.radiance * latlong.solid_angles(height, width, self.radiance)
        towards = latlong.directions(height, width, self.radiance)
        luminances = luminance(energy)[0]
        regions = _cut(luminances, towards, count)
        colours, means = [], []
        for rows, columns in regions:
            colours.append(energy[:, rows, columns].sum(dim=(1, 2)) / math.pi)
            weights = luminances[rows, columns] + 1e-12 * luminances.mean() + 1e-30  # black too
            mean = (towards[:, rows, columns] * weights).sum(dim=(1, 2)) / weights.sum()
            means.append(mean)
        mean = torch.stack(means)
        length = mean.norm(dim=1, keepdim=True)
        positions = torch.cat((mean / length.clamp(min=1e-12), torch.zeros_like(length)), dim=1)
        radii = (2 * length[:, 0] - 1).clamp(-1, 1).acos()
        return Lights(
            positions[None],
            torch.stack(colours)[None],
            radii[None],
            positions.new_zeros(1, 9, 3),
        )


def read_environment(path: Path) -> Environment:
    """Read a panorama: Radiance HDR, or OpenEXR or TIFF of floats.

    A panorama is seen from within, where +x lies to the left of +z; its columns are reversed
    here, so that the middle stays at +z and the surround is not mirrored.

    Raises:
        InputError: If it cannot be read, is no float image in colour, is not twice as wide as
            high, or holds values that are negative or not finite.
    """
    if path.suffix.lower() not in PANORAMAS or not path.is_file():
        raise InputError(
            f"environment {path}",
            f"a file of type {' '.join(PANORAMAS)}, latitude-longitude",
            "check the path, or export the panorama as one of these",
        )
    pixels = read_image(path)
    height, width, channels = pixels.shape
    if pixels.dtype.kind != "f" or channels == 1 or width != 2 * height:
        raise InputError(
            f"environment {path}, {width}x{height} with {channels} channels of {pixels.dtype}",
            "a linear panorama of floats in colour, twice as wide as high",
            "export it as .hdr or .exr, latitude-longitude (equirectangular)",
        )
    if pixels.min() < 0:
        raise InputError(
            f"environment {path} with values down to {pixels.min():.3g}",
            "radiance of 0 and more",
            "clamp it in the program that wrote it",
        )
    colours = np.moveaxis(pixels[:, ::-1, :3], -1, 0).astype(np.float32)
    return Environment(torch.from_numpy(colours.copy()))


def reflected_radiance(reflections: Reflections, towards: Tensor, exponent: Tensor) -> Tensor:
    """Mean radiance under a lobe of any exponent, linear in its logarithm between the levels.

    Args:
        reflections: Of the batch, or of a batch of one.
        towards: Mirrored views, unit vectors ``(B, 3, H, W)``.
        exponent: Broadcastable to ``(B, 1, H, W)``; beyond the levels the nearest one serves.

    Returns:
        ``(B, 3, H, W)``.
    """
    logs = reflections.exponents.to(towards).log()
    exponent = exponent.clamp(min=1e-3).log().expand_as(towards[:, :1])
    level = torch.zeros_like(exponent)
    for low, high in itertools.pairwise(logs):
        level = level + ((exponent - low) / (high - low)).clamp(0, 1)
    return latlong.sample(reflections.radiance, towards, level)


def _reduced(radiance: Tensor, height: int) -> Tensor:
    """Texels averaged by solid angle, to ``(3, height, 2 height)``."""
    rows, columns = radiance.shape[1:]
    weights = latlong.solid_angles(rows, columns, radiance).expand_as(radiance)
    size = height, 2 * height
    pooled = F.adaptive_avg_pool2d(radiance * weights, size)
    return pooled / F.adaptive_avg_pool2d(weights.contiguous(), size)


def _convolved(radiance: Tensor, exponent: float) -> Tensor:
    """The mean under the lobe around each texel's direction: a convolution along each row."""
    height, width = radiance.shape[1:]
    towards = latlong.directions(height, width, radiance)
    cosine = torch.einsum("ko,kij->oij", towards[..., 0], towards)
    weights = (cosine > 0) * (0.5 + 0.5 * cosine).clamp(0, 1) ** (0.5 * exponent)
    weights = weights * latlong.solid_angles(height, width, radiance)
    weights = weights / weights.sum(dim=(1, 2), keepdim=True)
    waves = torch.einsum(
        "oif,cif->cof", torch.fft.rfft(weights).real + 0j, torch.fft.rfft(radiance)
    )
    return torch.fft.irfft(waves, n=width)


def _cut(energy: Tensor, towards: Tensor, count: int) -> list[tuple[slice, slice]]:
    """Rectangles that cover the map ``(h, w)``, cut one by one so that the spread falls most."""
    height, width = energy.shape
    if not 1 <= count <= height * width:
        raise ValueError(f"count={count} must lie in [1, {height * width}], a texel each")
    moments = (energy * torch.cat((towards, torch.ones_like(towards[:1])))).double()
    regions = [(slice(0, height), slice(0, width))]
    spreads = [1.0]
    while len(regions) < count:
        largest = max(
            (number for number, region in enumerate(regions) if _texels(region) > 1),
            key=spreads.__getitem__,
        )
        spreads.pop(largest)
        parts = _halves(moments, *regions.pop(largest))
        regions += parts
        spreads += [
            float(_spread(moments[:, rows, columns].sum((1, 2)))) for rows, columns in parts
        ]
    return regions


def _halves(moments: Tensor, rows: slice, columns: slice) -> list[tuple[slice, slice]]:
    """A region cut in two, along rows or columns, where the two spread least."""
    best = []
    for axis, side in ((0, rows), (1, columns)):
        before = moments[:, rows, columns].sum(2 - axis).cumsum(1)
        spread = _spread(before[:, :-1]) + _spread(before[:, -1:] - before[:, :-1])
        if len(spread):
            best.append((float(spread.min()), axis, side.start + int(spread.argmin()) + 1))
    _, axis, cut = min(best)
    if axis == 0:
        return [(slice(rows.start, cut), columns), (slice(cut, rows.stop), columns)]
    return [(rows, slice(columns.start, cut)), (rows, slice(cut, columns.stop))]


def _spread(moments: Tensor) -> Tensor:
    """Energy times the variance of its directions, of sums ``(4, ...)``: of d times E, and of E."""
    along, energy = moments[:3], moments[3]
    return energy - along.square().sum(0) / energy.clamp(min=1e-30)


def _texels(region: tuple[slice, slice]) -> int:
    rows, columns = region
    return (rows.stop - rows.start) * (columns.stop - columns.start)
