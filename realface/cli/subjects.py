"""`realface synth`, `bake`, `add`, `derive`: making subject folders."""

import argparse
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from realface.cli.console import progress, say
from realface.errors import InputError
from realface.maps.kinds import KINDS, Encoding, Green, Space

log = logging.getLogger(__name__)


def synth(arguments: Sequence[str]) -> None:
    """Make procedural subjects."""
    parser = _parser("synth", "Make procedural subjects: folders of maps, or shards of patches.")
    parser.add_argument("out", type=Path, help="folder for the subject folders or the shards")
    parser.add_argument(
        "--subjects", type=int, help="how many (8; with --patches, one for each patch)"
    )
    parser.add_argument("--patches", type=int, help="make so many patches, as shards, instead")
    parser.add_argument("--patch", type=int, help="side of a patch in px (512)")
    parser.add_argument("--workers", type=int, help="processes that make shards (one per core)")
    _add_size(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the first subject (%(default)s)")
    parser.add_argument("--lit", action="store_true", help="also light each one: a texture")
    given = parser.parse_args(arguments)
    if given.subjects is not None and given.subjects < 1:
        raise InputError(f"--subjects {given.subjects}", "1 or more", "ask for at least one")
    if given.seed < 0:
        raise InputError(f"--seed {given.seed}", "0 or more", "correct the flag")
    if given.patches is not None:
        _synth_patches(given)
    else:
        _synth_folders(given)


def _synth_patches(given: argparse.Namespace) -> None:
    if given.lit:
        raise InputError("--lit with --patches", "one of them", "leave --lit out: training lights")

    from realface.data.pack_procedural import pack_procedural

    with progress("patches") as update:
        update(0, given.patches)
        packed = pack_procedural(
            given.out,
            given.patches,
            height=given.height,
            width=given.width,
            subjects=given.subjects,
            first=given.seed,
            patch=512 if given.patch is None else given.patch,
            workers=(os.cpu_count() or 1) if given.workers is None else given.workers,
            progress=update,
        )
    say(f"{packed.train} training and {packed.val} validation samples in {packed.folder}")


def _synth_folders(given: argparse.Namespace) -> None:
    for flag, value in (("--patch", given.patch), ("--workers", given.workers)):
        if value is not None:
            raise InputError(f"{flag} without --patches", "both or neither", f"leave {flag} out")

    from realface.maps.subject import Subject
    from realface.shading.relight import light_subject
    from realface.synthetic.folder import write_subject

    subjects = 8 if given.subjects is None else given.subjects
    with progress("subjects") as update:
        for number in range(subjects):
            update(number, subjects)
            folder = given.out / f"synthetic-{given.seed + number:06d}"
            if not _is_there(folder, (given.height, given.width)):
                write_subject(given.seed + number, folder, given.height, given.width)
            if given.lit and "texture" not in Subject(folder):
                light_subject(folder, given.seed + number)
        update(subjects, subjects)
    say(f"{subjects} subjects in {given.out}")


def _is_there(folder: Path, size: tuple[int, int]) -> bool:
    """Whether an earlier run has made this subject, whole and at this size."""
    from realface.maps.record import FILE_NAME
    from realface.maps.subject import Subject

    if not (folder / FILE_NAME).exists():
        return False
    found = Subject(folder).size()
    if found != size:
        raise InputError(
            f"{folder} of {found[0]}x{found[1]} (height x width)",
            f"{size[0]}x{size[1]}, or a new folder",
            "name another folder, or remove this one",
        )
    log.info("%s is there already", folder)
    return True


def bake(arguments: Sequence[str]) -> None:
    """Lay a mesh out over its UVs."""
    parser = _parser("bake", "Mesh with UVs to a subject folder: shape, shape_normals, mask.")
    parser.add_argument("mesh", type=Path, help="OBJ, PLY, GLB or glTF")
    parser.add_argument("out", type=Path, help="new subject folder")
    _add_size(parser)
    parser.add_argument(
        "--padding", type=int, default=8, help="texels around islands (%(default)s)"
    )
    _add_mesh_part(parser)
    parser.add_argument("--millimetres-per-unit", type=float, help="of the mesh, if you know it")
    parser.add_argument("--source", help="where it comes from, for subject.json")
    parser.add_argument("--licence", help="on what terms, for subject.json")
    given = parser.parse_args(arguments)

    scale = given.millimetres_per_unit
    if scale is not None and not 0 < scale < math.inf:
        raise InputError(
            f"--millimetres-per-unit {scale:g}", "a positive number", "correct the flag"
        )

    from realface.geometry.subject_maps import bake_subject
    from realface.maps.record import SubjectRecord

    bake_subject(
        given.mesh,
        given.out,
        given.height,
        given.width,
        padding=given.padding,
        tile=tuple(given.tile or (0, 0)),
        parts=given.part,
        flip_v=given.flip_v,
        about=SubjectRecord(
            millimetres_per_unit=scale,
            source=given.source or given.mesh.name,
            licence=given.licence,
        ),
    )
    say(f"shape, shape_normals and mask in {given.out}")


def add(arguments: Sequence[str]) -> None:
    """Add an image to a subject."""
    parser = _parser("add", "Add an image to a subject folder; normals end up in object space.")
    parser.add_argument("subject", type=Path, help="subject folder, made if it is not there")
    parser.add_argument("kind", choices=tuple(KINDS), help="what the image is", metavar="KIND")
    parser.add_argument("file", type=Path, help="PNG, TIFF, EXR or JPEG")
    parser.add_argument("--encoding", choices=get_args(Encoding)[:2], help="of colours")
    parser.add_argument("--space", choices=get_args(Space), help="of normals (object)")
    parser.add_argument("--green", choices=get_args(Green), help="of normals (gl)")
    parser.add_argument("--mesh", type=Path, help="whose frame tangent normals are relative to")
    _add_mesh_part(parser)
    parser.add_argument("--resample", action="store_true", help="bring it to the subject's size")
    parser.add_argument("--derived", action="store_true", help="it was computed, not captured")
    given = parser.parse_args(arguments)

    from realface.geometry.subject_maps import add_map

    add_map(
        given.subject,
        given.kind,
        given.file,
        encoding=given.encoding,
        space=given.space,
        green=given.green,
        mesh=given.mesh,
        tile=tuple(given.tile) if given.tile else None,
        parts=given.part,
        flip_v=given.flip_v,
        resample=given.resample,
        derived=given.derived,
    )
    say(f"{given.kind} in {given.subject}")


def derive(arguments: Sequence[str]) -> None:
    """Compute a map of a subject from its others."""
    parser = _parser("derive", "Compute a map of a subject from its others, marked as derived.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    normals = kinds.add_parser("diffuse_normals", help="from specular_normals, blurred")
    normals.add_argument("--blur", type=float, help="deviation in mm (as red light scatters)")
    shape_normals = kinds.add_parser("shape_normals", help="from shape")
    shape_normals.add_argument("--blur", type=float, help="of the normals, in texels (none)")
    occlusion = kinds.add_parser("occlusion", help="from shape: how open each place is")
    texture = kinds.add_parser("texture", help="the reflectance maps, lit")
    texture.add_argument("--seed", type=int, default=0, help="of random lights (0)")
    texture.add_argument("--light", type=Path, help="panorama to light by instead, .hdr or .exr")
    for one in (normals, shape_normals, occlusion, texture):
        one.add_argument("subject", type=Path, help="subject folder")
    given = parser.parse_args(arguments)
    if given.kind == "texture":
        from realface.shading.relight import light_subject

        light_subject(given.subject, given.seed, given.light)
    elif given.kind == "occlusion":
        from realface.shading.occlusion import derive_occlusion

        derive_occlusion(given.subject)
    else:
        from realface.geometry import subject_maps

        deriving = {
            "diffuse_normals": subject_maps.derive_diffuse_normals,
            "shape_normals": subject_maps.derive_shape_normals,
        }
        deriving[given.kind](given.subject, **({} if given.blur is None else {"blur": given.blur}))
    say(f"{given.kind} in {given.subject}")


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"realface {name}", description=description)


def _add_mesh_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tile", type=int, nargs=2, metavar=("U", "V"), help="UDIM tile (0 0)")
    parser.add_argument(
        "--part",
        action="append",
        metavar="NAME",
        help="OBJ material or glTF mesh to keep; repeat it, first one on top",
    )
    parser.add_argument("--flip-v", action="store_true", help="the mesh's v runs downwards")


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--height", type=int, default=4096, help="of the maps in px (%(default)s)")
    parser.add_argument("--width", type=int, default=6144, help="of the maps in px (%(default)s)")
