"""`realface bake`, `add`, `derive`: making subject folders, a step at a time."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from realface.cli.console import say
from realface.cli.flags import add_mesh_part, add_size, subject_parser
from realface.errors import InputError
from realface.maps.kinds import KINDS, Encoding, Green, Space


def bake(arguments: Sequence[str]) -> None:
    """Lay a mesh out over its UVs."""
    parser = subject_parser(
        "bake", "Mesh with UVs to a subject folder: shape, shape_normals, mask."
    )
    parser.add_argument("mesh", type=Path, help="OBJ, PLY, GLB or glTF")
    parser.add_argument("out", type=Path, help="new subject folder")
    add_size(parser)
    parser.add_argument(
        "--padding", type=int, default=8, help="texels around islands (%(default)s)"
    )
    add_mesh_part(parser)
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
    parser = subject_parser(
        "add", "Add an image to a subject folder; normals end up in object space."
    )
    parser.add_argument("subject", type=Path, help="subject folder, made if it is not there")
    parser.add_argument("kind", choices=tuple(KINDS), help="what the image is", metavar="KIND")
    parser.add_argument("file", type=Path, help="PNG, TIFF, EXR or JPEG")
    parser.add_argument("--encoding", choices=get_args(Encoding)[:2], help="of colours")
    parser.add_argument("--space", choices=get_args(Space), help="of normals (object)")
    parser.add_argument("--green", choices=get_args(Green), help="of normals (gl)")
    parser.add_argument("--mesh", type=Path, help="whose frame tangent normals are relative to")
    add_mesh_part(parser)
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
    parser = subject_parser(
        "derive", "Compute a map of a subject from its others, marked as derived."
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    normals = kinds.add_parser("diffuse_normals", help="from specular_normals, blurred")
    normals.add_argument("--blur", type=float, help="deviation in mm (as red light scatters)")
    shape_normals = kinds.add_parser("shape_normals", help="from shape")
    shape_normals.add_argument("--blur", type=float, help="of the normals, in texels (none)")
    occlusion = kinds.add_parser("occlusion", help="from shape: how open each place is")
    texture = kinds.add_parser("texture", help="the reflectance maps, lit")
    texture.add_argument("--seed", type=int, help="of random lights (0)")
    texture.add_argument("--light", type=Path, help="panorama to light by instead, .hdr or .exr")
    for one in (normals, shape_normals, occlusion, texture):
        one.add_argument("subject", type=Path, help="subject folder")
    given = parser.parse_args(arguments)
    _keep_captured(given.subject, given.kind)
    if given.kind == "texture":
        from realface.shading.relight import light_subject

        if given.light is not None and given.seed is not None:
            raise InputError("--seed with --light", "one of them", "leave --seed out")
        light_subject(given.subject, given.seed or 0, given.light)
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


def _keep_captured(folder: Path, kind: str) -> None:
    """Refuse to compute a map in place of one that was captured."""
    from realface.maps.subject import Subject

    subject = Subject(folder)
    if kind in subject and not subject.record.maps[kind].derived:
        raise InputError(
            f"{folder}, which has {kind} already, and not as derived",
            "a subject without it, or one whose own was computed",
            f"remove its {kind} first, if the computed one is wanted",
        )
