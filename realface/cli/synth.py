"""`realface synth`: procedural subjects, as folders or as shards."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realface.cli.console import progress, say
from realface.cli.flags import CODECS, add_mesh_part, add_size, subject_parser
from realface.errors import InputError

if TYPE_CHECKING:
    from realface.maps.record import SubjectRecord

log = logging.getLogger(__name__)

_OF_PATCHES = ("patch", "whole_faces", "codec", "workers")
_OF_MESHES = ("part", "tile", "flip_v", "millimetres_per_unit", "landmarks", "source", "licence")


def synth(arguments: Sequence[str]) -> None:
    """Make procedural subjects."""
    given = _parser().parse_args(arguments)
    _check(given)
    if given.patches is None:
        _synth_folders(given)
    else:
        _synth_patches(given)


def _parser() -> argparse.ArgumentParser:
    parser = subject_parser(
        "synth", "Make procedural subjects: folders of maps, or shards of patches."
    )
    parser.add_argument("out", type=Path, help="folder for the subject folders or the shards")
    parser.add_argument(
        "--subjects", type=int, help="how many (8; with --patches, one for each patch)"
    )
    add_size(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the first subject (%(default)s)")
    parser.add_argument("--lit", action="store_true", help="also light each one: a texture")
    parser.add_argument(
        "--flaw",
        action="append",
        default=[],
        dest="flaws",
        metavar="NAME",
        help="of captures, put on the maps; repeat it: leaning_normals, background, noise_fill; in "
        "folders that stand for captured inputs, since pack takes maps for the truth, also blur, "
        "misregistration, quantisation",
    )
    patches = parser.add_argument_group("shards instead of folders")
    patches.add_argument("--patches", type=int, help="make so many patches, as shards")
    patches.add_argument("--patch", type=int, help="side of a patch in px (512)")
    patches.add_argument("--whole-faces", action="store_true", help="each subject at 1/8 size too")
    patches.add_argument("--codec", choices=CODECS, help="of the maps (png)")
    patches.add_argument("--workers", type=int, help="processes that make shards (one per core)")
    mesh = parser.add_argument_group("on a head of your own instead of procedural ones")
    mesh.add_argument(
        "--mesh", type=Path, help="OBJ, PLY, GLB or glTF with UVs, upright, facing +z"
    )
    add_mesh_part(mesh)
    mesh.add_argument("--millimetres-per-unit", type=float, help="of the mesh (estimated)")
    mesh.add_argument("--landmarks", type=Path, help="JSON, name to [x, y, z] (found by geometry)")
    mesh.add_argument("--source", help="where the mesh comes from, for subject.json")
    mesh.add_argument("--licence", help="on what terms, for subject.json")
    return parser


def _check(given: argparse.Namespace) -> None:
    if given.out.exists() and not given.out.is_dir():
        raise InputError(f"{given.out}, a file", "a folder, new or not", "name another one")
    if given.subjects is not None and given.subjects < 1:
        raise InputError(f"--subjects {given.subjects}", "1 or more", "ask for at least one")
    for needed, names in (("patches", _OF_PATCHES), ("mesh", _OF_MESHES)):
        if getattr(given, needed) is not None:
            continue
        for name in names:
            if _is_given(getattr(given, name)):
                flag = name.replace("_", "-")
                raise InputError(
                    f"--{flag} without --{needed}", "both or neither", "add or drop one"
                )
    if given.patches is not None:
        for name in ("mesh", "lit"):
            if _is_given(getattr(given, name)):
                raise InputError(
                    f"--{name} with --patches",
                    "patches of procedural heads, which training lights",
                    f"leave --{name} out",
                )


def _is_given(value: object) -> bool:
    """Whether a flag was given, if only as 0 or as an empty word."""
    return value is not None and value is not False


def _synth_patches(given: argparse.Namespace) -> None:
    from realface.data.packing.pack_procedural import pack_procedural
    from realface.data.workers import cores
    from realface.synthetic.folder import check_seeds

    subjects = given.patches if given.subjects is None else given.subjects
    check_seeds(given.seed, max(1, min(subjects, given.patches)))
    with progress("patches") as update:
        update(0, given.patches)
        index = pack_procedural(
            given.out,
            given.patches,
            height=given.height,
            width=given.width,
            subjects=given.subjects,
            first=given.seed,
            patch=512 if given.patch is None else given.patch,
            whole_faces=given.whole_faces,
            flaws=given.flaws,
            codec=given.codec or "png",
            workers=cores() if given.workers is None else given.workers,
            progress=update,
        )
    listed = ", ".join(f"{count} {split}" for split, count in index.samples.items())
    say(f"{listed} samples in {given.out.resolve()}")


def _synth_folders(given: argparse.Namespace) -> None:
    from realface.maps.subject import Subject
    from realface.shading.relight import light_subject
    from realface.synthetic.folder import check_seeds, subject_name, write_subject
    from realface.synthetic.on_mesh import write_subject_on_mesh

    subjects = 8 if given.subjects is None else given.subjects
    check_seeds(given.seed, subjects)
    size = given.height, given.width
    seeds = range(given.seed, given.seed + subjects)
    folders = {seed: given.out / subject_name(seed) for seed in seeds}
    there = {seed for seed in seeds if _is_there(folders[seed], size, _about(given, seed))}
    on_mesh = _mesh_arguments(given)
    with progress("subjects") as update:
        for number, (seed, folder) in enumerate(folders.items()):
            update(number, subjects)
            if seed not in there:
                if on_mesh is None:
                    write_subject(seed, folder, *size, given.flaws)
                else:
                    mesh, about = on_mesh
                    write_subject_on_mesh(seed, mesh, folder, *size, flaws=given.flaws, **about)
            if given.lit and "texture" not in Subject(folder):
                light_subject(folder, seed)
        update(subjects, subjects)
    say(f"{subjects} subjects in {given.out}")


def _mesh_arguments(given: argparse.Namespace) -> tuple[Any, dict[str, Any]] | None:
    """The mesh, read once, and what `write_subject_on_mesh` is told about it."""
    if given.mesh is None:
        return None
    from realface.geometry.mesh import load_mesh
    from realface.synthetic.on_mesh import read_landmarks

    mesh = load_mesh(
        given.mesh, tile=tuple(given.tile or (0, 0)), parts=given.part, flip_v=given.flip_v
    )
    return mesh, {
        "millimetres_per_unit": given.millimetres_per_unit,
        "landmarks": read_landmarks(given.landmarks) if given.landmarks else None,
        "source": _mesh_source(given),
        "licence": given.licence,
    }


def _mesh_source(given: argparse.Namespace) -> str:
    return str(given.mesh.name if given.source is None else given.source)


def _about(given: argparse.Namespace, seed: int) -> "SubjectRecord":
    """What will be recorded of a subject."""
    from realface.synthetic.folder import about_subject
    from realface.synthetic.on_mesh import about_subject_on_mesh

    if given.mesh is None:
        return about_subject(seed, given.flaws)
    return about_subject_on_mesh(seed, _mesh_source(given), given.licence, given.flaws)


def _is_there(folder: Path, size: tuple[int, int], about: "SubjectRecord") -> bool:
    """Whether an earlier run has made this very subject, whole and at this size."""
    from realface.maps.record import FILE_NAME
    from realface.maps.subject import Subject

    if not (folder / FILE_NAME).exists():
        return False
    subject = Subject(folder)
    found, wanted = _facts(subject.record, subject.size()), _facts(about, size)
    other = [name for name in wanted if found[name] != wanted[name]]
    if other:
        raise InputError(
            f"{folder} with " + ", ".join(f"{name} {found[name]}" for name in other),
            ", ".join(f"{name} {wanted[name]}" for name in other) + ", or a new folder",
            "ask for what is there, name another folder, or remove this one",
        )
    log.info("%s is there already", folder)
    return True


def _facts(record: "SubjectRecord", size: tuple[int, int]) -> dict[str, str]:
    """What tells subjects of one name apart, in words."""
    return {
        "height": str(size[0]),
        "width": str(size[1]),
        "seed": str(record.seed),
        "source": str(record.source),
        "licence": str(record.licence),
        "flaws": " ".join(record.flaws) or "none",
    }
