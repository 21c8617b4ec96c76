"""`infer.py`: a subject's texture to its four reflectance maps."""

import functools
import glob
import json
import logging
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from realface.cli.console import progress, run, say
from realface.errors import InputError
from realface.host_memory import keep_freed_memory, share_one_arena

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from realface.maps.record import SubjectRecord
    from realface.maps.subject import Subject
    from realface.tiling.disagreement import Disagreement
    from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)

_STAMP_NAME = "made_from.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit with a code: 0 done, 1 failure, 2 the input is at fault."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(lambda: infer(given)))


def infer(arguments: Sequence[str]) -> None:
    """Stitch the maps of one subject.

    Raises:
        InputError: If a flag, the config, a checkpoint or a map is at fault.
        FailureError: If the work breaks off.
    """
    given = _parse(arguments)

    from realface.pipeline import Job, check_format, check_output

    share_one_arena()
    keep_freed_memory()
    check_format(given.format, given.bits)
    device = _device(given.device)
    translators = _translators(_expanded(given.checkpoint or []), given.weights)
    layout = {
        "overlap": given.overlap,
        "blend": given.blend,
        "batch": given.batch,
        "pad": given.pad,
    }
    if given.window != "auto":
        layout["window"] = given.window
    with ExitStack() as stack:
        if given.input.is_dir():
            check_output(given.output, given.input)
            subject = _subject_of_folder(given)
        else:
            # A dry run bakes as well, for its checks, but keeps nothing.
            scratch = stack.enter_context(TemporaryDirectory()) if given.dry_run else None
            folder = Path(scratch) / "input" if scratch else given.output / "input"
            check_output(given.output, folder)
            subject = _subject_of_texture(given, folder, translators, layout)
        job = Job(
            subject,
            translators,
            fused=given.fused,
            outside=given.outside,
            statistics=given.statistics,
            tolerance=given.tolerance,
            offsets=given.offsets,
            **layout,
        )
        if given.dry_run or given.window == "auto":
            job.tune(device.split(",")[0], given.precision)
        if given.dry_run:
            say(job)
            return
    with progress("windows") as update:
        results = job.run(
            given.output,
            device=device,
            form=given.format,
            bits=given.bits,
            compression=given.compression,
            precision=given.precision,
            progress=lambda title, done, total: update(done, total, title),
        )
    for title, stitched in results.items():
        say(f"{title}: {stitched}")
    from realface.report.seam_map import write_seam_map
    from realface.report.sheet import write_sheet

    sheet = given.output / "contact_sheet.png"
    write_sheet(given.output, sheet, inputs=subject.folder)
    measured: dict[str, Disagreement] = {}
    for stitched in results.values():
        measured |= stitched.disagreement
        measured |= {f"{kind}, no offsets": one for kind, one in stitched.before.items()}
    if write_seam_map(measured, given.output / "seams.png"):
        say(f"where windows differed: {given.output / 'seams.png'}")
    say(f"maps and {sheet.name} in {given.output}")


def _parse(arguments: Sequence[str]) -> Any:
    from jsonargparse import ArgumentError

    try:
        return _parser().parse_args(list(arguments))
    except ArgumentError as error:
        raise InputError(
            _without_types(str(error)),
            "options and config keys that `infer.py --help` lists",
            "correct the flag or the line of the config",
        ) from error


def _without_types(message: str) -> str:
    """What the parser says of a value, in words that are not Python's."""
    noise = r" *(Does not validate|Subtypes:|Errors:|Given value type:)"
    text = "\n".join(line for line in message.splitlines() if not re.match(noise, line))
    text = re.sub(r"a typing\.Literal\[(.*?)\]", r"one of \1", text)
    return re.sub(r"a <class '(\w+)'>", r"\1", text)


def _parser() -> "ArgumentParser":
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog="infer.py",
        exit_on_error=False,
        description="Stitch a subject's reflectance maps from trained translators.",
    )
    switch: dict[str, Any] = {"type": bool, "nargs": "?", "const": True, "default": False}
    parser.add_argument("--config", action="config", help="YAML of any of these")
    parser.add_argument("--input", type=Path, required=True, help="subject folder, or a texture")
    parser.add_argument("--mesh", type=Path, help="with UVs, for a texture alone")
    parser.add_argument("--mask", type=Path, help="for a texture alone")
    parser.add_argument(
        "--millimetres-per-unit", type=float, help="of the mesh, for a texture alone, if known"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the maps")
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", action="extend", help="one for each translator"
    )
    parser.add_argument("--weights", type=Path, help="weights folder")
    parser.add_argument(
        "--window",
        type=int | Literal["auto"],
        default="auto",
        help="side in px; auto: the fastest of a few that are measured",
    )
    parser.add_argument(
        "--blend",
        type=Literal["auto", "cut", "hann", "linear", "gaussian", "avatarme"],
        default="auto",
        help="how windows are joined; auto: cut where they agree and no overlap is given, else "
        "hann; avatarme: its windows of 1536 px, 768 px apart, faded over 384 px",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        help="of windows in px; given, windows are faded; else a quarter of a faded window",
    )
    parser.add_argument(
        "--fused",
        **switch,
        help="all translators on each window, one after the other; faster where margins are small",
    )
    parser.add_argument(
        "--outside",
        type=Literal["constant", "input", "padded"],
        default="constant",
        help="what maps hold outside the mask: constant, the input, or padded islands",
    )
    parser.add_argument(
        "--statistics",
        type=Literal["thumbnail", "exact", "pooled", "patch", "live"],
        default="thumbnail",
        help="of instance norms: taken once for the map, so that windows agree; live: each "
        "window's own",
    )
    parser.add_argument(
        "--tolerance",
        type=Literal["exact", "16-bit", "8-bit"],
        default="exact",
        help="a smaller margin of windows, with which they differ from the whole image by no more",
    )
    parser.add_argument(
        "--offsets",
        type=Literal["auto", "none", "solve"],
        default="auto",
        help="give each faded window of an albedo the constant with which it agrees best with its "
        "neighbours; computes every window twice; auto: where de-lighting with norms of each "
        "window's own statistics sees nothing else of the face",
    )
    parser.add_argument(
        "--precision",
        type=Literal["float32", "bfloat16", "float16"],
        default="float32",
        help="of the networks' inner layers: bfloat16 on cards that have it",
    )
    parser.add_argument("--batch", type=int, default=1, help="windows at once")
    parser.add_argument("--pad", **switch, help="pad to the network's stride, crop back")
    parser.add_argument(
        "--device",
        type=str,
        default="auto",
        help="cpu, cuda, cuda:0,cuda:1, mps or auto: all GPUs that there are",
    )
    parser.add_argument("--format", type=Literal["tif", "png", "exr"], default="tif")
    parser.add_argument("--bits", type=Literal[8, 16, 32], default=16, help="EXR: 16 or 32")
    parser.add_argument("--compression", type=Literal["zlib", "zstd", "none"], default="zlib")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    return parser


def _expanded(paths: Sequence[Path]) -> list[Path]:
    """Paths with wildcards replaced by what they match: Windows' shells leave that to us."""
    found: list[Path] = []
    for path in paths:
        matches = [] if path.exists() else sorted(glob.glob(str(path)))
        found += [Path(name) for name in matches] or [path]
    return found


def _translators(
    checkpoints: Sequence[Path], weights: Path | None
) -> "dict[str, TrainedTranslator]":
    from realface.weights import load_checkpoint, load_weights

    loaded = list(load_weights(weights).values()) if weights else []
    found = _by_map(loaded)
    named: dict[str, TrainedTranslator] = {}
    for path in checkpoints:
        translator = load_checkpoint(path)
        name = translator.descriptor.translator
        if name in named:
            raise InputError(
                f"--checkpoint {named[name].source} and {path}, both of {name}",
                "one checkpoint for each translator",
                "name the checkpoint of another translator, or only one of these",
            )
        named[name] = translator
    found |= _by_map(list(named.values()))
    if not found:
        raise InputError(
            "neither --checkpoint nor --weights",
            "trained translators: this version ships none",
            "train them (README, first use), or run `make demo`",
        )
    return found


def _by_map(translators: "Sequence[TrainedTranslator]") -> "dict[str, TrainedTranslator]":
    """Translators by the map that they make: one of a single map before one of several."""
    found: dict[str, TrainedTranslator] = {}
    for one in sorted(translators, key=lambda one: -len(one.descriptor.outputs)):
        found |= dict.fromkeys(one.descriptor.outputs, one)
    return found


def _subject_of_folder(given: Any) -> "Subject":
    from realface.maps.subject import Subject

    for flag in ("mesh", "mask", "millimetres-per-unit"):
        if getattr(given, flag.replace("-", "_")) is not None:
            raise InputError(
                f"--{flag} with the subject folder {given.input}",
                "a mesh, its scale or a mask only for a single texture",
                f"leave --{flag} out; the folder has its own maps and subject.json",
            )
    return Subject(given.input)


def _subject_of_texture(
    given: Any,
    folder: Path,
    translators: "Mapping[str, TrainedTranslator]",
    layout: Mapping[str, Any],
) -> "Subject":
    """A subject folder from a texture and its mesh; one made from the same files is kept."""
    from realface.geometry.subject_maps import add_map, bake_subject
    from realface.maps.files import read_form
    from realface.maps.subject import Subject
    from realface.pipeline import chains, first_plan, lay_windows, offset_kinds

    texture: Path = given.input
    if not texture.exists():
        raise InputError(
            f"--input {texture}, which does not exist",
            "a subject folder, or a texture",
            "check the path",
        )
    if given.mesh is None:
        raise InputError(
            f"{texture} without a mesh",
            "a texture with the mesh that it belongs to, or a subject folder",
            "give the mesh with --mesh: the networks read its shape",
        )
    about = _about(given)
    height, width = size = read_form(texture)[0]
    if given.mask is not None and read_form(given.mask)[0] != size:
        raise InputError(
            f"{given.mask}, which is not {height}x{width} (height x width)",
            f"a mask of the texture's size ({texture})",
            "resample the mask",
        )
    # Before the long bake.
    _check_baked_kinds(texture, translators)
    for chain in chains(translators, given.fused):
        agree = not chain.spatial_statistics or given.statistics != "live"
        lay = functools.partial(lay_windows, size, chain, chain.kinds, agree=agree, **layout)
        laid = first_plan(lay, layout.get("window"))
        offset_kinds(given.offsets, chain, laid, agree)
    files = [path for path in (texture, given.mesh, given.mask) if path is not None]
    stamp = _stamp(files, given.millimetres_per_unit)
    if _read_stamp(folder) == stamp:
        return Subject(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        bake_subject(given.mesh, partial, height, width, about=about)
        add_map(partial, "texture", texture)
        if given.mask is not None:
            _narrow_mask(partial, given.mask)
        (partial / _STAMP_NAME).write_text(stamp, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info("%s: made from %s and %s", folder, texture, given.mesh)
    return Subject(folder)


def _about(given: Any) -> "SubjectRecord":
    """What the baked subject's json says besides its maps."""
    from realface.maps.record import SubjectRecord

    try:
        return SubjectRecord(
            millimetres_per_unit=given.millimetres_per_unit,
            source=given.mesh.name,
        )
    except ValueError as error:
        raise InputError(
            f"--millimetres-per-unit: {error}",
            "a positive number",
            "give the mesh's scale, or leave it out to have it estimated",
        ) from error


def _check_baked_kinds(texture: Path, translators: "Mapping[str, TrainedTranslator]") -> None:
    """Refuse translators that read what neither a texture nor a mesh gives."""
    from realface.pipeline import given_kinds

    kinds = given_kinds(translators)
    missing = [kind for kind in kinds if kind not in ("texture", "shape", "shape_normals")]
    if missing:
        raise InputError(
            f"{texture} and a mesh, without {', '.join(missing)}",
            f"all that {', '.join(translators)} read",
            "give the translator that makes it too, or a subject folder that holds it",
        )


def _narrow_mask(folder: Path, mask: Path) -> None:
    """Keep of the baked mask what lies in the given one: beyond it there is no surface."""
    from realface.geometry.subject_maps import add_map
    from realface.maps.subject import Subject, save_map

    baked = Subject(folder).open("mask").whole() > 0.5
    add_map(folder, "mask", mask)
    both = baked & (Subject(folder).open("mask").whole() > 0.5)
    save_map(folder, "mask", both.float(), bits=8)


def _stamp(files: Sequence[Path], scale: float | None) -> str:
    """Files by name, size and time, and the scale: the same ones need no second bake."""
    stats = [(file.resolve().as_posix(), file.stat()) for file in files if file.exists()]
    about = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return json.dumps([*about, scale]) + "\n"


def _read_stamp(folder: Path) -> str | None:
    try:
        return (folder / _STAMP_NAME).read_text(encoding="utf-8")
    except OSError:
        return None


def _device(name: str) -> str:
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return ",".join(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        for one in name.split(","):
            torch.zeros(1, device=one) + 1
    except Exception as error:  # each backend raises types of its own
        raise InputError(
            f"--device {name}: {str(error).splitlines()[0]}",
            "a device of this machine",
            "give --device cpu, or leave it out for the best there is",
        ) from error
    return name
