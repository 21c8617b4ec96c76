"""`infer.py`: a subject's texture to its four reflectance maps."""

import glob
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from realface.cli.console import progress, run, say
from realface.errors import InputError
from realface.host_memory import keep_freed_memory, share_one_arena
from realface.maps.kinds import REFLECTANCE

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from realface.maps.subject import Subject
    from realface.tiling.disagreement import Disagreement
    from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)


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

    from realface.pipeline import Job, check_format, check_output, given_kinds
    from realface.pipeline.texel_size import (
        FOLDER,
        bring_back,
        kinds_made,
        of_texel,
        tell,
        texel_size,
    )
    from realface.pipeline.texture_checks import check_texture

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
        if "texture" in given_kinds(translators):
            check_texture(
                subject.open("texture"), subject.open("mask") if "mask" in subject else None
            )
        if given.texel is not None:
            subject = of_texel(subject, given.texel)
        found = texel_size(subject, translators, given.texel, given.scale)
        tell(found)
        size = None if found is None else found.size
        job = Job(
            subject if size is None else subject.at(size),
            translators,
            fused=given.fused,
            outside=given.outside if size is None else "padded",
            statistics=given.statistics,
            tolerance=given.tolerance,
            offsets=given.offsets,
            **layout,
        )
        if given.dry_run or given.window == "auto":
            job.tune(device.split(",")[0], given.precision)
        if given.dry_run:
            say(job if found is None else f"{found}\n{job}")
            return
    about_files = {"form": given.format, "bits": given.bits, "compression": given.compression}
    with progress("windows") as update:
        results = job.run(
            given.output if size is None else given.output / FOLDER,
            device=device,
            precision=given.precision,
            progress=lambda title, done, total: update(done, total, title),
            **about_files,
        )
    if size is not None:
        kinds = kinds_made(translators)
        bring_back(subject, kinds, given.output, outside=given.outside, **about_files)
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
    parser.add_argument(
        "--mesh", type=Path, help="with UVs, for a texture; without, a flat sheet stands for it"
    )
    parser.add_argument("--flip-v", **switch, help="the mesh's v runs downwards")
    parser.add_argument("--mask", type=Path, help="for a texture: white where it is face")
    parser.add_argument(
        "--background",
        type=Literal["auto", "none"],
        default="auto",
        help="of a texture without --mask; auto: masks out what its alpha says, or one colour that "
        "reaches in from the border; none: nothing",
    )
    parser.add_argument(
        "--texel", type=float, help="side of a texel on the skin in mm, if better known"
    )
    parser.add_argument(
        "--scale",
        type=Literal["auto", "none"],
        default="auto",
        help="auto: where texels are of another size than in training, run at training's and bring "
        "the maps back; none: run as it is",
    )
    parser.add_argument(
        "--millimetres-per-unit", type=float, help="of the mesh, for a texture alone, if known"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the maps")
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", action="extend", help="one for each translator"
    )
    parser.add_argument(
        "--weights", type=Path, help="weights folder; else, without checkpoints, the package's"
    )
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
    if not loaded and not checkpoints:
        loaded = _shipped()
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
    return found


def _by_map(translators: "Sequence[TrainedTranslator]") -> "dict[str, TrainedTranslator]":
    """Translators by the map that they make: one of a single map before one of several."""
    found: dict[str, TrainedTranslator] = {}
    for one in sorted(translators, key=lambda one: -len(one.descriptor.outputs)):
        found |= dict.fromkeys(one.descriptor.outputs, one)
    return found


def _shipped() -> "list[TrainedTranslator]":
    """The package's own translators, named with their terms."""
    from realface import weights

    folder = weights.shipped_weights()
    if folder is None:
        raise InputError(
            "neither --checkpoint nor --weights, and no weights in the package",
            "trained translators: this version of realface ships none",
            "name a weights folder (--weights) or checkpoints, train them (README), or run `make "
            "demo`",
        )
    loaded = weights.load_weights(folder)
    say(f"weights     of the package: {folder}")
    for name, one in loaded.items():
        say(f"            {name}, licence: {one.descriptor.licence or 'not stated'}")
    lacking = [kind for kind in REFLECTANCE if kind not in _by_map(list(loaded.values()))]
    if lacking:
        log.warning(
            "the package has no weights for %s: these maps are not made; --weights or --checkpoint "
            "names all that are to run",
            ", ".join(lacking),
        )
    return list(loaded.values())


def _subject_of_folder(given: Any) -> "Subject":
    from realface.maps.subject import Subject

    about_texture = {"mesh": None, "mask": None, "millimetres-per-unit": None, "flip-v": False,
                     "background": "auto"}  # fmt: skip
    for flag, unset in about_texture.items():
        if getattr(given, flag.replace("-", "_")) != unset:
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
    from realface.pipeline.texture_subject import (
        TextureFiles,
        check_kinds,
        check_windows,
        subject_of_texture,
    )

    files = TextureFiles(
        given.input,
        given.mesh,
        given.mask,
        given.background,
        given.flip_v,
        given.millimetres_per_unit,
        given.texel,
    )
    files.check()
    check_kinds(files.texture, translators)
    trained = any(one.descriptor.millimetres_per_texel for one in translators.values())
    if given.scale == "none" or not trained:  # else it is the bake that tells the size to run at
        check_windows(
            files.texture,
            translators,
            layout,
            fused=given.fused,
            statistics=given.statistics,
            offsets=given.offsets,
        )
    return subject_of_texture(files, folder)


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
