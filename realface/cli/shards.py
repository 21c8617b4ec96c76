"""`realface pack` and `realface verify`."""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realface.cli.console import progress, say
from realface.cli.flags import CODECS

if TYPE_CHECKING:
    from realface.data.discovery.layouts import Entry

_LIT_FROM = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")
NEEDS = {
    "diffuse_albedo": _LIT_FROM,
    "specular_albedo": ("diffuse_albedo", "specular_albedo"),
    "diffuse_normals": ("diffuse_albedo", "shape_normals", "diffuse_normals"),
    "specular_normals": ("diffuse_albedo", "shape_normals", "specular_normals"),
    "joint": (*_LIT_FROM, "shape_normals"),
}
"""What the translators' configs need of shards; told before hours of packing."""

_SAID = {
    "encoding": ("srgb", "linear"),
    "space": ("object", "tangent", "offset"),
    "green": ("gl", "dx"),
}


def pack(arguments: Sequence[str]) -> None:
    """Pack subject folders or RealFaceDB."""
    parser = _pack_parser()
    given = parser.parse_args(arguments)
    said = _said(parser, given)

    from datetime import date

    from realface.data.packing.pack import pack as pack_shards
    from realface.data.packing.terms import given_terms

    terms = given_terms(
        given.terms_source, given.licence, given.downloaded, given.expires, date.today()
    )
    with progress("samples") as update:
        packed = pack_shards(
            given.source,
            given.out,
            layout=given.layout,
            said=said,
            leave_out=given.leave_out,
            patch=given.patch,
            stride=given.stride,
            patches_per_subject=given.patches_per_subject,
            minimum_valid=given.minimum_valid,
            val_fraction=given.val_fraction,
            whole_faces=given.whole_faces,
            samples_per_shard=given.samples_per_shard,
            codec=given.codec,
            workers=given.workers,
            millimetres_per_unit=given.millimetres_per_unit,
            seed=given.seed,
            terms=terms,
            dry_run=given.dry_run,
            progress=update,
        )
    if given.dry_run:
        for line in packed.report:
            say(line)
    else:
        listed = ", ".join(f"{count} {split}" for split, count in packed.samples.items())
        say(f"{listed} samples in {packed.folder}")
    say(_enough_for(packed.kinds))


def _enough_for(kinds: Collection[str]) -> str:
    """Which translators can train on these kinds of map, and what the others lack."""
    lacking = {
        name: [kind for kind in needed if kind not in kinds] for name, needed in NEEDS.items()
    }
    able = [name for name, missing in lacking.items() if not missing]
    lines = [f"enough for {', '.join(able) or 'no translator'}"]
    lines += [f"{name} lacks {', '.join(missing)}" for name, missing in lacking.items() if missing]
    return "; ".join(lines)


def _pack_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="realface pack",
        description="Pack subject folders, whole maps or lent patches (RealFaceDB) into shards. "
        "What stops half-way goes on with the same command.",
    )
    parser.add_argument("source", type=Path, help="folder of subjects, of maps or of patches")
    parser.add_argument("out", type=Path, help="new folder for the shards")
    parser.add_argument("--dry-run", action="store_true",
                        help="tell what would be packed, and write nothing")  # fmt: skip
    _add_meanings(parser.add_argument_group("what the files are"))
    _add_samples(parser.add_argument_group("samples"))
    _add_shards(parser.add_argument_group("shards"))
    _add_terms(parser.add_argument_group("terms on which the data is held"))
    return parser


def _add_meanings(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--layout",
        type=Path,
        help="YAML of `kind: pattern with {key}`, or `kind: {files: 'pattern', space:, green:, "
        "encoding:}` (names tell)",
    )
    for name, values in _SAID.items():
        group.add_argument(
            f"--{name}", action="append", default=[], metavar="[KIND=]" + "|".join(values),
            help="of one kind, or of all " + ("albedos" if name == "encoding" else "normals")
            + "; repeat it; else subject.json, the layout or the pixels say",
        )  # fmt: skip
    group.add_argument("--millimetres-per-unit", type=float, help="of shape, if you know it")
    group.add_argument("--leave-out", action="store_true",
                       help="pack without files that do not pair or cannot be read")  # fmt: skip


def _add_samples(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--patch", type=int, default=512,
                       help="side in px (%(default)s); larger images are cut")  # fmt: skip
    group.add_argument("--stride", type=int, default=256, help="of the grid in px (%(default)s)")
    group.add_argument("--patches-per-subject", type=int, help="draw so many at random instead")
    group.add_argument("--minimum-valid", type=float, default=0.5,
                       help="share of a patch inside the mask (%(default)s)")  # fmt: skip
    group.add_argument("--val-fraction", type=float, default=0.1,
                       help="share for validation (%(default)s)")  # fmt: skip
    group.add_argument("--no-whole-faces", action="store_false", dest="whole_faces",
                       help="do not pack each subject at 1/8 size too")  # fmt: skip
    group.add_argument("--seed", type=int, default=0,
                       help="of the split and of random places (%(default)s)")  # fmt: skip


def _add_shards(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--codec", choices=CODECS, default="png",
                       help="%(default)s; jxl is smaller, blosc faster to read")  # fmt: skip
    group.add_argument("--samples-per-shard", type=int,
                       help="at most (8 to 64, so that cores have work)")  # fmt: skip
    _add_workers(group)


def _add_workers(group: argparse._ActionsContainer) -> None:
    group.add_argument("--workers", type=int,
                       help="processes (one per core, if memory suffices)")  # fmt: skip


def _add_terms(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--source", dest="terms_source", metavar="TEXT", help="where it comes from")
    group.add_argument("--licence", metavar="TEXT", help="on what terms")
    group.add_argument("--downloaded", metavar="YYYY-MM-DD",
                       help="of RealFaceDB, to be destroyed two years later")  # fmt: skip
    group.add_argument("--expires", metavar="YYYY-MM-DD", help="when other data must be destroyed")


def _said(parser: argparse.ArgumentParser, given: argparse.Namespace) -> "dict[str | None, Entry]":
    """What the flags say, by kind; None: of all kinds that have it."""
    said: dict[str | None, dict[str, Any]] = {}
    for name, values in _SAID.items():
        for text in getattr(given, name):
            kind, _, value = text.rpartition("=")
            if value not in values:
                parser.error(f"--{name} {text}: expected [KIND=]{'|'.join(values)}")
            said.setdefault(kind or None, {})[name] = value
    if not said:
        return {}

    from realface.data.discovery.layouts import Entry

    return {kind: Entry(**entry) for kind, entry in said.items()}


def verify(arguments: Sequence[str]) -> int:
    """Check shards; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(
        prog="realface verify", description="Read every byte of shards and list what is wrong."
    )
    parser.add_argument("shards", help="folder that `realface pack` wrote, or its URL")
    _add_workers(parser)
    given = parser.parse_args(arguments)

    from realface.data.verify import verify as verify_shards

    with progress("samples") as update:
        faults = verify_shards(given.shards, update, given.workers)
    for fault in faults:
        say(fault)
    say(f"{len(faults) or 'no'} fault{'' if len(faults) == 1 else 's'}")
    return 1 if faults else 0
