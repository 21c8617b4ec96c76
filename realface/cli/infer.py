"""`infer.py`: a subject's texture to its four reflectance maps."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realface.cli.console import progress, run, say
from realface.errors import InputError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from realface.maps.subject import Subject
    from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit with a code: 0 done, 1 failure, 2 the input is at fault."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(lambda: infer(given)))


def infer(arguments: Sequence[str]) -> None:
    """Stitch the maps of one subject."""
    given = _parser().parse_args(list(arguments))

    from realface.pipeline import Job

    translators = _translators(given.checkpoint or [], given.weights)
    subject = _subject(given)
    job = Job(
        subject,
        translators,
        window=given.window,
        overlap=given.overlap,
        batch=given.batch,
        pad=given.pad,
    )
    if given.dry_run:
        say(job)
        return
    with progress("windows") as update:
        results = job.run(
            given.output,
            device=_device(given.device),
            form=given.format,
            bits=given.bits,
            compression=given.compression,
            progress=lambda kind, done, total: update(done, total),
        )
    for kind, stitched in results.items():
        say(f"{kind}: {stitched}")
    from realface.report.sheet import write_sheet

    sheet = given.output / "contact_sheet.png"
    write_sheet(given.output, sheet, inputs=subject.folder)
    say(f"maps and {sheet.name} in {given.output}")


def _parser() -> "ArgumentParser":
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog="infer.py",
        description="Stitch a subject's reflectance maps from trained translators.",
    )
    parser.add_argument("--config", action="config", help="YAML of any of these")
    parser.add_argument("--input", type=Path, required=True, help="subject folder, or a texture")
    parser.add_argument("--mesh", type=Path, help="with UVs, for a texture alone")
    parser.add_argument("--mask", type=Path, help="for a texture alone")
    parser.add_argument("--output", type=Path, required=True, help="folder for the maps")
    parser.add_argument("--checkpoint", type=Path, nargs="+", help="one for each translator")
    parser.add_argument("--weights", type=Path, help="weights folder")
    parser.add_argument("--window", type=int, default=1536, help="largest side in px")
    parser.add_argument("--overlap", type=int, default=384, help="of windows in px")
    parser.add_argument("--batch", type=int, default=1, help="windows at once")
    parser.add_argument("--pad", type=bool, default=False, help="pad to the network's stride")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps or auto")
    parser.add_argument("--format", choices=["tif", "png", "exr"], default="tif")
    parser.add_argument("--bits", type=int, default=16, help="8 or 16; EXR 16 or 32")
    parser.add_argument("--compression", choices=["zlib", "zstd", "none"], default="zlib")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    return parser


def _translators(checkpoints: Sequence[Path], weights: Path | None) -> "dict[str, Any]":
    from realface.weights import load_checkpoint, load_weights

    found: dict[str, TrainedTranslator] = load_weights(weights) if weights else {}
    seen: dict[str, Path] = {}
    for path in checkpoints:
        translator = load_checkpoint(path)
        name = translator.descriptor.translator
        if name in seen:
            raise InputError(
                f"--checkpoint {seen[name]} and {path}, both of {name}",
                "one checkpoint for each translator",
                "name the checkpoint of another translator, or only one of these",
            )
        found[name], seen[name] = translator, path
    if not found:
        raise InputError(
            "neither --checkpoint nor --weights",
            "trained translators: this version ships none",
            "train them (README, first use), or run `make demo`",
        )
    return found


def _subject(given: Any) -> "Subject":
    from realface.maps.subject import Subject

    source: Path = given.input
    if source.is_dir():
        for flag in ("mesh", "mask"):
            if getattr(given, flag) is not None:
                raise InputError(
                    f"--{flag} with the subject folder {source}",
                    "a mesh or mask only for a single texture",
                    f"leave --{flag} out; the folder has its own maps",
                )
        return Subject(source)
    if given.mesh is None:
        raise InputError(
            f"{source} without a mesh",
            "a texture with the mesh that it belongs to, or a subject folder",
            "give the mesh with --mesh: the networks read its shape",
        )
    return _subject_of_texture(source, given.mesh, given.mask, given.output / "input")


def _subject_of_texture(texture: Path, mesh: Path, mask: Path | None, folder: Path) -> "Subject":
    """A subject folder beside the maps, from a texture and its mesh."""
    import shutil

    from realface.geometry.subject_maps import add_map, bake_subject
    from realface.maps.files import read_image
    from realface.maps.subject import Subject

    height, width = read_image(texture).shape[:2]
    if mask is not None and read_image(mask).shape[:2] != (height, width):
        raise InputError(
            f"{mask}, which is not {height}x{width} (height x width)",
            f"a mask of the texture's size ({texture})",
            "resample the mask",
        )
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        bake_subject(mesh, partial, height, width)
        add_map(partial, "texture", texture)
        if mask is not None:
            add_map(partial, "mask", mask)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info("%s: made from %s and %s", folder, texture, mesh)
    return Subject(folder)


def _device(name: str) -> str:
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
