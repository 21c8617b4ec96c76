"""Making a subject folder from a mesh and captured images, one explicit step at a time."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.errors import InputError
from realface.geometry.bake import bake
from realface.geometry.mesh import load_mesh
from realface.geometry.normals import blur_normals, normals_from_shape
from realface.geometry.placement import place
from realface.maps.encoding import unit
from realface.maps.files import read_image
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS, Encoding, Green, Space
from realface.maps.record import FILE_NAME, SubjectRecord
from realface.maps.spaces import offset_to_object, tangent_to_object
from realface.maps.subject import Subject, record_of, save_map

log = logging.getLogger(__name__)

DIFFUSE_BLUR = 1.0  # mm; about the mean free path of red light in skin


def bake_subject(
    mesh: Path,
    folder: Path,
    height: int,
    width: int,
    *,
    padding: int = 8,
    tile: tuple[int, int] = (0, 0),
    parts: Sequence[str] | None = None,
    flip_v: bool = False,
    about: SubjectRecord | None = None,
) -> None:
    """Lay a mesh out over its UVs: ``shape``, ``shape_normals`` and ``mask`` of a new subject.

    Args:
        mesh: OBJ, PLY, GLB or glTF with UVs.
        folder: New subject folder.
        height: Of the maps [px].
        width: Of the maps [px].
        padding: Texels by which islands are extended beyond the mask.
        tile: UDIM tile.
        parts: OBJ materials or glTF meshes to keep; None: all.
        flip_v: The file's v runs downwards.
        about: What ``subject.json`` says besides.

    Raises:
        InputError: If the mesh cannot be used, or the folder is a subject already.
    """
    if (folder / FILE_NAME).exists():
        raise InputError(
            f"{folder}, which is a subject already", "a new folder", "name another or remove it"
        )
    maps = bake(load_mesh(mesh, tile=tile, parts=parts, flip_v=flip_v), height, width, padding)
    valid = maps["mask"] > 0.5
    # Beyond the rim positions are 0, which may lie far from the face and waste the range.
    middle = maps["shape"][:, valid[0]].mean(1).view(3, 1, 1)
    far = (maps["shape"] == 0).all(0, keepdim=True)
    maps["shape"] = torch.where(far, middle, maps["shape"])
    save_map(folder, "shape", maps["shape"], about=about or SubjectRecord(source=mesh.name))
    save_map(folder, "shape_normals", maps["shape_normals"])
    save_map(folder, "mask", maps["mask"], bits=8)


def add_map(
    folder: Path,
    kind: str,
    file: Path,
    *,
    encoding: Encoding | None = None,
    space: Space = "object",
    green: Green = "gl",
    mesh: Path | None = None,
    flip_v: bool = False,
    resample: bool = False,
    derived: bool = False,
) -> None:
    """Add an image to a subject as one of its maps, normals turned into object space.

    Args:
        folder: Subject folder; made if it is not there.
        kind: What the image is.
        file: The image.
        encoding: Of colours, if it is not the kind's own.
        space: Of normals.
        green: Of normals.
        mesh: Whose tangent frame ``tangent`` normals are relative to.
        flip_v: That mesh's v runs downwards.
        resample: Bring an image of another size to the subject's.
        derived: The image was computed, not captured.

    Raises:
        InputError: If the image cannot be used, has another size and ``resample`` is not given,
            or ``space`` needs a mesh or ``shape_normals`` that are not there.
    """
    pixels = read_image(file)
    record = record_of(file, kind, pixels)
    if encoding is not None:
        record = replace(record, encoding=encoding)
    if KINDS[kind].encoding == "unit_vector":
        record = replace(record, space=space, green=green)
    values = MapFile(file, KINDS[kind], record).whole()
    subject = Subject(folder) if (folder / FILE_NAME).exists() else None
    if subject is not None:
        values = _fitted(values, kind, file, subject, resample)
    if record.space == "tangent":
        values = _from_tangent(values, kind, mesh, flip_v)
    elif record.space == "offset":
        values = _from_offset(values, folder, subject)
    save_map(folder, kind, values, bits=8 if record.bits == 8 and not resample else 16,
             derived=derived)  # fmt: skip


def _fitted(values: Tensor, kind: str, file: Path, subject: Subject, resample: bool) -> Tensor:
    size = subject.size()
    found = tuple(values.shape[-2:])
    if found == size:
        return values
    if not resample:
        raise InputError(
            f"{file} is {found[0]}x{found[1]} (height x width)",
            f"{size[0]}x{size[1]}, as {subject.folder} is",
            "pass --resample to bring it to this size",
        )
    log.info("%s: resampled from %dx%d to %dx%d (height x width)", file, *found, *size)
    return resized(values, kind, size)


def resized(values: Tensor, kind: str, size: tuple[int, int]) -> Tensor:
    """A map ``(C, H, W)`` at another size: bicubic, low-passed when it shrinks.

    Colours are mixed as encoded, where steps look even, and kept in [0, 1]; a mask stays 0 or 1;
    normals come back to unit length.
    """
    if kind == "mask":
        return F.interpolate(values[None], size, mode="area")[0].round()
    made = F.interpolate(values[None], size, mode="bicubic", antialias=True)[0]
    if KINDS[kind].encoding == "unit_vector":
        return unit(made)
    return made if KINDS[kind].is_vector else made.clamp(0, 1)


def _from_tangent(values: Tensor, kind: str, mesh: Path | None, flip_v: bool) -> Tensor:
    if mesh is None:
        raise InputError(
            f"{kind} in tangent space without a mesh",
            "the mesh whose frame they are relative to",
            "give it with --mesh",
        )
    frame = bake(load_mesh(mesh, flip_v=flip_v), *values.shape[-2:])
    return tangent_to_object(values, frame["tangents"], frame["shape_normals"], frame["handedness"])


def _from_offset(values: Tensor, folder: Path, subject: Subject | None) -> Tensor:
    if subject is None or "shape_normals" not in subject:
        raise InputError(
            f"{folder} without shape_normals",
            "the base normals that the offset is added to",
            "add or bake shape_normals first",
        )
    return offset_to_object(values, subject.open("shape_normals").whole())


def derive_diffuse_normals(folder: Path, blur: float = DIFFUSE_BLUR) -> None:
    """``diffuse_normals`` as blurred ``specular_normals``, marked as derived.

    Scattered light leaves the skin some distance from where it entered, so it sees a smoother
    surface (Ma et al., "Rapid Acquisition of Specular and Diffuse Normal Maps", EGSR 2007).

    Args:
        folder: Subject with ``specular_normals`` and ``shape``.
        blur: Standard deviation of the Gaussian [mm].

    Raises:
        InputError: If a map is missing.
    """
    subject = Subject(folder)
    specular, shape = subject.open("specular_normals"), subject.open("shape")
    specular.require_object_space()
    mask = subject.open("mask") if "mask" in subject else None
    placement = place(shape, mask, subject.record.millimetres_per_unit)
    values = specular.whole()
    valid = torch.ones_like(values[:1]) if mask is None else mask.whole()
    sigma = blur / placement.millimetres_per_texel
    log.info("%s: blurred by %.3g mm, %.3g texels", folder, blur, sigma)
    save_map(folder, "diffuse_normals", blur_normals(values, valid, sigma), derived=True)


def derive_shape_normals(folder: Path, blur: float = 0.0) -> None:
    """``shape_normals`` from ``shape``, marked as derived.

    Args:
        folder: Subject with ``shape``.
        blur: Standard deviation of a Gaussian over the positions [texels]; an 8-bit map needs some.

    Raises:
        InputError: If there is no shape.
    """
    subject = Subject(folder)
    shape = subject.open("shape").whole()
    valid = subject.open("mask").whole() if "mask" in subject else torch.ones_like(shape[:1])
    save_map(folder, "shape_normals", normals_from_shape(shape, valid, blur), derived=True)
