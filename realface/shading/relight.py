"""A subject's own maps lit as a texture: the input of de-lighting where nothing was captured."""

import math
from pathlib import Path

import torch
from torch import Tensor

from realface.geometry.normals import normals_from_shape
from realface.geometry.padding import pad_islands
from realface.geometry.placement import PlacedShape, place
from realface.maps.io import MapFile
from realface.maps.kinds import REFLECTANCE
from realface.maps.subject import Subject, save_map
from realface.shading.environment import read_environment
from realface.shading.exposure import exposed
from realface.shading.lights import Lights
from realface.shading.occlusion import enlarged_window, reduce_in_mask
from realface.shading.random_lights import varied_lights
from realface.shading.shade import lit_texture
from realface.shading.subsurface import SKIN_RADII
from realface.shading.visibility import visibility

_BAND = 512  # rows shaded at once

_REACH = 12.0
"""Distance from which light scatters in: more than 97 in 100 of red stays nearer [mm]."""

_SHADOW_WIDTH = 768
"""Texels across the map for which shadows are found: a third of a millimetre each on a face."""

_SHADOW_PASSES = 256
"""Views of the surface that the shadows of all lamps share, at least 4 and at most 64 each."""

_HOT_SPOTS = 24
"""Lamps that stand for the brightest places of a panorama, each with its shadow."""

_MIRRORED_EXPONENTS = (1.0, 3.0, 9.0, 27.0, 81.0, 243.0)
"""Widths of highlight for which the rest of a panorama is prepared."""


def light_subject(folder: Path, seed: int = 0, environment: Path | None = None) -> None:
    """Write ``texture``: the subject under one set of lights, marked as derived.

    Args:
        folder: Subject with the four reflectance maps and ``shape``.
        seed: Of random lights.
        environment: Panorama to light it by instead, ``.hdr`` or ``.exr``; exposed so that white
            would be white.

    Raises:
        InputError: If a map is missing, or the panorama cannot be used.
    """
    if environment is None:
        lights = varied_lights(1, generator=torch.Generator().manual_seed(seed))
    else:
        panorama = read_environment(environment)
        lights = exposed(panorama.surroundings(_HOT_SPOTS, _MIRRORED_EXPONENTS))
    texture = shade_subject(Subject(folder), lights)
    save_map(folder, "texture", texture, derived=True)


def shade_subject(subject: Subject, lights: Lights) -> Tensor:
    """A subject's texture ``(3, H, W)`` under one set of lights, sRGB in [0, 1], black outside.

    The face throws shadows on itself and light scatters in the skin; ``occlusion``, ``exponent``
    and ``translucency`` have their part where they are there.

    Raises:
        InputError: If a map is missing or of another size than the others, or normals are not
            in object space.
    """
    height, width = subject.size()
    mask = subject.open("mask") if "mask" in subject else None
    shape = subject.open("shape")
    optional = [kind for kind in ("occlusion", "exponent", "translucency") if kind in subject]
    files = {kind: subject.open(kind) for kind in (*REFLECTANCE, *optional)}
    for file in files.values():
        file.require_object_space()
    placement = place(shape, mask, subject.record.millimetres_per_unit)
    sources: dict[str, MapFile | PlacedShape] = {**files, "shape": PlacedShape(shape, placement)}
    if mask is not None:
        sources["mask"] = mask
    factor = math.ceil(width / _SHADOW_WIDTH)
    seen = _coarse_visibility(sources, lights, factor)
    margin = int(_REACH / placement.millimetres_per_texel)
    bands = []
    for y in range(0, height, _BAND):
        rows = min(_BAND, height - y)
        top, bottom = max(0, y - margin), min(height, y + rows + margin)
        maps = {
            kind: file.read(top, 0, bottom - top, width)[None] for kind, file in sources.items()
        }
        band = lit_texture(
            maps,
            lights,
            visibility=enlarged_window(seen, factor, top, 0, bottom - top, width),
            scattering=SKIN_RADII,
        )
        valid = maps["mask"] if mask is not None else torch.ones(1)
        bands.append((band * valid)[0, :, y - top : y - top + rows])
    return torch.cat(bands, dim=1)


def _coarse_visibility(
    sources: dict[str, MapFile | PlacedShape], lights: Lights, factor: int
) -> Tensor:
    """Share of each lamp that each texel of a smaller map sees, ``(1, L, h, w)``."""
    height, width = sources["shape"].size

    def whole(kind: str) -> Tensor:
        return sources[kind].read(0, 0, height, width)[None]

    valid = whole("mask") if "mask" in sources else torch.ones(1, 1, height, width)
    positions, mask = reduce_in_mask(whole("shape"), valid, factor)
    normals = normals_from_shape(positions[0], mask[0])[None]
    samples = min(64, max(4, _SHADOW_PASSES // max(1, lights.radii.shape[1])))
    seen = visibility(positions, normals, mask, lights, samples)
    return pad_islands(seen[0], mask[0], 1)[None]  # else the light outside would shine in
