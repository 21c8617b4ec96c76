"""Making a subject folder from a mesh and captured images, one explicit step at a time."""

import logging
import math
from collections.abc import Mapping, Sequence
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
from realface.maps.files import whole_folder
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS, Encoding, Green, Space
from realface.maps.record import FILE_NAME, SubjectRecord
from realface.maps.spaces import offset_to_object, tangent_to_object
from realface.maps.subject import Subject, map_files, record_of, save_map

log = logging.getLogger(__name__)

DIFFUSE_BLUR = 1.0
"""Of `derive_diffuse_normals` [mm]: about the mean free path of red light in skin."""


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
        InputError: If the mesh or a number cannot be used, or the folder is there and not empty.
        FailureError: If the disk refuses; nothing is left in ``folder``.
    """
    with whole_folder(folder) as partial:
        maps = bake(load_mesh(mesh, tile=tile, parts=parts, flip_v=flip_v), height, width, padding)
        valid = maps["mask"] > 0.5
        # Beyond the rim positions are 0, which may lie far from the face and waste the range.
        middle = maps["shape"][:, valid[0]].mean(1).view(3, 1, 1)
        far = (maps["shape"] == 0).all(0, keepdim=True)
        maps["shape"] = torch.where(far, middle, maps["shape"])
        save_map(partial, "shape", maps["shape"], about=about or SubjectRecord(source=mesh.name))
        save_map(partial, "shape_normals", maps["shape_normals"])
        save_map(partial, "mask", maps["mask"], bits=8)


def add_map(
    folder: Path,
    kind: str,
    file: Path,
    *,
    encoding: Encoding | None = None,
    space: Space | None = None,
    green: Green | None = None,
    mesh: Path | None = None,
    tile: tuple[int, int] | None = None,
    parts: Sequence[str] | None = None,
    flip_v: bool = False,
    resample: bool = False,
    derived: bool = False,
) -> None:
    """Add an image to a subject as one of its maps, normals turned into object space.

    Args:
        folder: Subject folder; made if it is not there.
        kind: What the image is.
        file: The image.
        encoding: Of colours; None: the kind's own, linear in a file of floats.
        space: Of normals; None: object.
        green: Of normals; None: gl.
        mesh: Whose tangent frame ``tangent`` normals are relative to.
        tile: UDIM tile of that mesh; None: (0, 0).
        parts: OBJ materials or glTF meshes of that mesh to keep; None: all.
        flip_v: That mesh's v runs downwards.
        resample: Bring an image of another size to the subject's.
        derived: The image was computed, not captured.

    Raises:
        InputError: If the image cannot be used, has another size and ``resample`` is not given,
            ``space`` needs a mesh or ``shape_normals`` that are not there, or an argument says
            what this kind does not have.
    """
    frame = {"mesh": mesh, "tile": tile, "part": parts, "flip-v": flip_v or None}
    _check_arguments(kind, {"encoding": encoding, "space": space, "green": green}, frame)
    record = record_of(file, kind)
    record = replace(
        record,
        encoding=encoding or record.encoding,
        space=space or record.space,
        green=green or record.green,
    )
    log.info("%s: taken as %s", file, record.meaning)
    read = MapFile(file, KINDS[kind], record).whole()
    there = folder.is_dir() and ((folder / FILE_NAME).exists() or bool(map_files(folder)))
    subject = Subject(folder) if there else None
    values = _fitted(read, kind, file, subject, resample, record.space)
    if record.space == "tangent":
        values = _from_tangent(values, kind, mesh, tile or (0, 0), parts, flip_v)
    elif record.space == "offset":
        values = _from_offset(values, folder, subject)
    as_it_was = values is read and record.encoding == KINDS[kind].encoding
    exact = record.bits == 8 and as_it_was and not KINDS[kind].is_vector
    save_map(folder, kind, values, bits=8 if exact else 16, derived=derived)


def _check_arguments(
    kind: str, meaning: Mapping[str, str | None], frame: Mapping[str, object]
) -> None:
    """Refuse what says nothing about this kind, or about normals in this space."""
    of = KINDS[kind]
    for name in ("space", "green"):
        if meaning[name] is not None and of.encoding != "unit_vector":
            raise InputError(
                f"--{name} {meaning[name]} for {kind}, which holds no normals",
                f"--{name} for normals only",
                "leave it out",
            )
    if meaning["encoding"] is not None and of.is_vector:
        raise InputError(
            f"--encoding {meaning['encoding']} for {kind}, which holds vectors",
            "--encoding for colours and grey values only",
            "leave it out",
        )
    for name, value in frame.items():
        if value is not None and meaning["space"] != "tangent":
            space = f"{meaning['space'] or 'object'} space"
            raise InputError(
                f"--{name} for {kind}" + (f" in {space}" if of.encoding == "unit_vector" else ""),
                f"--{name} for tangent-space normals only",
                "leave it out, or say --space tangent",
            )


def _fitted(
    values: Tensor,
    kind: str,
    file: Path,
    subject: Subject | None,
    resample: bool,
    space: Space | None,
) -> Tensor:
    if subject is None or set(subject.record.maps) == {kind}:
        return values
    size = subject.size(without=kind)
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
    return _resized(values, kind, size, unit_length=space in ("object", "tangent"))


def _resized(values: Tensor, kind: str, size: tuple[int, int], *, unit_length: bool) -> Tensor:
    """A map ``(C, H, W)`` at another size: bicubic, low-passed when it shrinks.

    Colours are mixed as encoded, where steps look even, and kept in [0, 1]; a mask stays 0 or 1;
    normals come back to ``unit_length``.
    """
    if kind == "mask":
        return F.interpolate(values[None], size, mode="area")[0].round()
    made = F.interpolate(values[None], size, mode="bicubic", antialias=True)[0]
    if KINDS[kind].is_vector:
        return unit(made) if unit_length else made
    return made.clamp(0, 1)


def _from_tangent(
    values: Tensor,
    kind: str,
    mesh: Path | None,
    tile: tuple[int, int],
    parts: Sequence[str] | None,
    flip_v: bool,
) -> Tensor:
    if mesh is None:
        raise InputError(
            f"{kind} in tangent space without a mesh",
            "the mesh whose frame they are relative to",
            "give it with --mesh",
        )
    height, width = values.shape[-2:]
    frame = bake(load_mesh(mesh, tile=tile, parts=parts, flip_v=flip_v), height, width)
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
        InputError: If a map is missing or of another size than the others.
    """
    _check_blur(blur)
    subject = Subject(folder)
    subject.size()
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
        blur: Standard deviation of a Gaussian over the normals, weighted by area [texels]; a
            shape of 8 bits needs some.

    Raises:
        InputError: If there is no shape, or maps differ in size.
    """
    _check_blur(blur)
    subject = Subject(folder)
    subject.size()
    shape = subject.open("shape").whole()
    valid = subject.open("mask").whole() if "mask" in subject else torch.ones_like(shape[:1])
    save_map(folder, "shape_normals", normals_from_shape(shape, valid, blur), derived=True)


def _check_blur(blur: float) -> None:
    if not 0 <= blur < math.inf:
        raise InputError(f"blur {blur:g}", "0 or more", "correct the flag")
