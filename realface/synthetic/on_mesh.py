"""A procedural skin on any head mesh with UVs.

The mesh keeps its shape; a procedural subject lends colour, gloss and micro-relief. Landmarks,
found in both geometries by one function, bring eyes to eyes and lips to lips. Where the subject's
chart does not reach (back and top of the head, lower neck), and where it would be smeared (inside
mouth, nostrils and ears, under the chin), the skin goes on in the chart's blurred colours with
the fine grain of a plain patch of cheek, laid on from three sides. Procedural eyes are closed:
on a mesh with open eyes their lids are painted over the eyeballs, unless those are left out.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from realface.errors import InputError
from realface.geometry.bake import bake
from realface.geometry.measure import millimetres_per_texel, millimetres_per_unit_from_width
from realface.geometry.mesh import Mesh
from realface.geometry.profile import MIDLINE, PAIRED, face_landmarks
from realface.maps.encoding import unit
from realface.maps.record import SubjectRecord
from realface.shading.occlusion import surface_occlusion
from realface.synthetic.chart import AROUND, Chart, plain_grain, read, read_chart, smoothstep
from realface.synthetic.flaws import apply_flaws
from realface.synthetic.folder import about_subject, check_seeds, save_subject
from realface.synthetic.lattice import CHART_WIDTH
from realface.synthetic.unrolled import Axis, Warp, axis_of, fit_warp, unroll, unrolled_gradients

log = logging.getLogger(__name__)

LANDMARKS = (
    *MIDLINE,
    *(f"{name}_{side}" for name in (*PAIRED, "ear") for side in ("left", "right")),
)
"""Names that a file of landmarks may use."""

_ESSENTIAL = LANDMARKS[:-2]  # ears may be missing
_ENOUGH = 512  # rows and columns of a map in which landmarks are found
_LARGEST = 6144  # columns of the chart that is read
_SMEARED = (0.15, 0.4)  # chart's mm per mm of skin below which, and above which, it is smeared
_TEXELS_AT_ONCE = 1 << 20  # bounds memory


def subject_on_mesh(
    seed: int,
    mesh: Mesh,
    height: int,
    width: int,
    *,
    millimetres_per_unit: float | None = None,
    landmarks: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Maps of procedural subject ``seed`` on a mesh.

    Relief is carried over as height above the surface: its slopes are what remains of the
    subject's normals over its shape's, rotated onto the mesh's normals and scaled by how the
    chart is stretched there (Blinn, "Simulation of Wrinkled Surfaces", 1978).

    Args:
        seed: Of the subject.
        mesh: A head, upright, looking towards +z.
        height: Rows of the maps [texels].
        width: Columns of the maps [texels].
        millimetres_per_unit: Scale of the mesh; None: estimated from the face's width and logged.
        landmarks: Some of `LANDMARKS` in the mesh's units, in place of what geometry tells.

    Returns:
        float32 maps ``(C, H, W)``, as `ProceduralSubject.maps` gives them: ``diffuse_albedo``
        (sRGB), ``specular_albedo``, ``diffuse_normals``, ``specular_normals``,
        ``shape_normals``, ``shape`` [mm, the mesh's own origin], ``mask``, ``occlusion`` (the
        mesh's own). Outside the mask albedos are 0 and normals (0, 0, 1).

    Raises:
        InputError: If the mesh is no such head, the seed is out of range, another number makes no
            sense, or landmarks are wrong.
    """
    check_seeds(seed)
    maps = bake(mesh, height, width)
    scale = _scale(maps, millimetres_per_unit)
    shape, normals, mask = maps["shape"] * scale, maps["shape_normals"], maps["mask"]
    given = {name: scale * place.float() for name, place in (landmarks or {}).items()}
    found = _landmarks(mesh, maps, scale, given)

    texel = millimetres_per_texel(shape, mask, 1.0)
    chart = read_chart(seed, min(_LARGEST, 3 * math.ceil(CHART_WIDTH / texel / 3)))
    axis = axis_of(found)
    warp = fit_warp(found, axis, chart.landmarks)
    names = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals")
    made = {
        name: torch.empty(1 if name == "specular_albedo" else 3, height, width) for name in names
    }
    rows = max(1, _TEXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        values = _skin(shape[:, strip], normals[:, strip], axis, warp, chart)
        for name in names:
            made[name][:, strip] = values[name]

    ahead = torch.tensor((0.0, 0.0, 1.0))[:, None, None]
    for name in ("diffuse_albedo", "specular_albedo"):
        made[name] *= mask
    for name in ("diffuse_normals", "specular_normals"):
        made[name] = torch.where(mask > 0, made[name], ahead)
    valid_normals = torch.where(mask > 0, normals, ahead)
    geometry = {"shape_normals": valid_normals, "shape": shape, "mask": mask}
    return {**made, **geometry, "occlusion": surface_occlusion(shape, mask, normals)}


def about_subject_on_mesh(
    seed: int, source: str | None, licence: str | None, flaws: Sequence[str] = ()
) -> SubjectRecord:
    """What ``subject.json`` says of a subject on a mesh, but for its maps.

    Args:
        seed: Of the subject.
        source: Where the mesh comes from.
        licence: The mesh's, which binds the subject too; None: not stated.
        flaws: Names of `FLAWS`, in any order.

    Raises:
        InputError: As `about_subject`.
    """
    source = f"realface synth on {source or 'a mesh'}"
    return replace(about_subject(seed, flaws), source=source, licence=licence)


def write_subject_on_mesh(
    seed: int,
    mesh: Mesh,
    folder: Path,
    height: int,
    width: int,
    *,
    millimetres_per_unit: float | None = None,
    landmarks: dict[str, Tensor] | None = None,
    source: str | None = None,
    licence: str | None = None,
    flaws: Sequence[str] = (),
) -> None:
    """Write `subject_on_mesh` as a subject folder, whole or not at all.

    Args:
        seed: Of the subject.
        mesh: A head, upright, looking towards +z.
        folder: New or empty folder.
        height: Rows of the maps [texels].
        width: Columns of the maps [texels].
        millimetres_per_unit: Scale of the mesh; None: estimated.
        landmarks: In the mesh's units, in place of what geometry tells.
        source: Where the mesh comes from.
        licence: The mesh's, which binds the subject too; None: not stated.
        flaws: Of captures, to put on the maps: names of `FLAWS`; their wavelengths take the map
            for 300 mm wide.

    Raises:
        InputError: As `subject_on_mesh`, or if the folder holds something, or a flaw is unknown.
        FailureError: If the disk refuses.
    """
    about = about_subject_on_mesh(seed, source, licence, flaws)
    maps = subject_on_mesh(
        seed, mesh, height, width, millimetres_per_unit=millimetres_per_unit, landmarks=landmarks
    )
    save_subject(folder, apply_flaws(maps, flaws, [seed]), about, derived=True)


def read_landmarks(path: Path) -> dict[str, Tensor]:
    """Landmarks from a JSON file: an object of name to [x, y, z] in the mesh's units.

    Raises:
        InputError: If it cannot be read, or holds something else.
    """
    expected = f"an object of name to [x, y, z], with names among {', '.join(LANDMARKS)}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        places = {name: torch.tensor(place, dtype=torch.float32) for name, place in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"landmarks {path}: {error}", expected, "check the path and what the file holds"
        ) from error
    for name, place in places.items():
        if name not in LANDMARKS or place.shape != (3,) or not place.isfinite().all():
            raise InputError(
                f"landmarks {path} with {name}: {content[name]}", expected, "correct this entry"
            )
    return places


def _scale(maps: dict[str, Tensor], given: float | None) -> float:
    if given is None:
        scale = millimetres_per_unit_from_width(maps["shape"], maps["mask"])
        log.warning("%.4g millimetres per unit, estimated from the face's width", scale)
        return scale
    if not 0 < given < math.inf:
        raise InputError(f"{given:g} millimetres per unit", "a positive number", "correct the flag")
    return given


def _landmarks(
    mesh: Mesh, maps: dict[str, Tensor], scale: float, given: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Landmarks [mm]: what is given, and for the rest what geometry tells."""
    if all(name in given for name in _ESSENTIAL):
        return given
    if min(maps["mask"].shape[1:]) < _ENOUGH:
        maps = bake(mesh, _ENOUGH, _ENOUGH)
    return face_landmarks(scale * maps["shape"], maps["shape_normals"], maps["mask"]) | given


def _skin(
    shape: Tensor, normals: Tensor, axis: Axis, warp: Warp, chart: Chart
) -> dict[str, Tensor]:
    """The four reflectance maps of a strip ``(3, h, w)`` of the mesh."""
    place, gradients = _chart_gradients(shape, normals, axis, warp)
    inside = read(chart.inside, place, AROUND) * _clear(gradients)
    on_chart = read(chart.detail, place, 0.0, "bicubic")  # bilinear would lose a tenth of it
    grain, plain_colour = plain_grain(shape, normals, chart)
    colours = read(chart.blurred, place, AROUND) * plain_colour
    colours = torch.lerp(colours, on_chart[:4], inside).clamp(0, 1)
    made = {"diffuse_albedo": colours[:3], "specular_albedo": colours[3:]}
    for index, name in enumerate(("diffuse_normals", "specular_normals")):
        along_x, along_y = on_chart[4 + 2 * index], on_chart[5 + 2 * index]
        rise = along_x * gradients[0] + along_y * gradients[1]
        rise = torch.lerp(_in_plane(grain[index], normals), rise, inside)
        made[name] = unit(normals - rise)
    return made


def _chart_gradients(
    shape: Tensor, normals: Tensor, axis: Axis, warp: Warp
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Chart places ``(2, h, w)`` and their gradients along the mesh's surface."""
    x, y, x_by_arc, y_by_arc, x_by_height, y_by_height = warp.read(unroll(shape, axis))
    by_arc, by_height = unrolled_gradients(shape, axis)
    across = x_by_arc * by_arc + x_by_height * by_height
    up = y_by_arc * by_arc + y_by_height * by_height
    return torch.stack((x, y)), (_in_plane(across, normals), _in_plane(up, normals))


def _in_plane(vectors: Tensor, normals: Tensor) -> Tensor:
    return vectors - normals * (vectors * normals).sum(0)


def _clear(gradients: tuple[Tensor, Tensor]) -> Tensor:
    """1 where the chart lies well on the mesh, 0 where it is smeared.

    By the smaller singular value of the chart's gradients: how many millimetres of the chart pass
    for one of the mesh, in the direction in which fewest do.
    """
    across, up = gradients
    trace = across.square().sum(0) + up.square().sum(0)
    determinant = torch.linalg.cross(across, up, dim=0).square().sum(0)
    least = (trace - (trace.square() - 4 * determinant).clamp(min=0).sqrt()) / 2
    return smoothstep(least.clamp(min=0).sqrt(), *_SMEARED)
