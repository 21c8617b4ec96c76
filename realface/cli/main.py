"""The `realface` command: which word leads to which room.

Only the chosen command's modules are imported, so that `--help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from realface import __version__
from realface.cli.console import run

_COMMANDS = {
    "synth": ("realface.cli.synth", "procedural subjects, free of any licence"),
    "bake": ("realface.cli.subjects", "mesh with UVs to shape, shape_normals, mask"),
    "add": ("realface.cli.subjects", "an image to a subject as one of its maps"),
    "derive": ("realface.cli.subjects", "a map of a subject from its others"),
    "pack": ("realface.cli.shards", "subject folders or RealFaceDB to shards"),
    "verify": ("realface.cli.shards", "read every byte of shards, list what is wrong"),
    "train": ("realface.cli.train", "train a translator (the same as train.py)"),
    "infer": ("realface.cli.infer", "stitch a subject's maps (the same as infer.py)"),
    "weights": ("realface.cli.weights", "share a checkpoint's generator"),
    "evaluate": ("realface.cli.evaluate", "scores of predicted maps against true ones"),
    "report": ("realface.cli.report", "a contact sheet of a subject's maps"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="realface",
        description="Train face-reflectance translators on UV patches, stitch full UV maps.",
        epilog="`realface COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"realface {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, help_text) in _COMMANDS.items():
        commands.add_parser(name, help=help_text, add_help=False)
    # What follows the command's word is its own: it has a parser for it.
    word = next((i for i, item in enumerate(given) if not item.startswith("-")), len(given))
    command = parser.parse_args(given[: word + 1]).command
    # The import is part of the run: it takes seconds, and Ctrl-C may come then.
    sys.exit(run(lambda: _run(command, given[word + 1 :])))


def _run(command: str, arguments: Sequence[str]) -> int | None:
    function: Callable[[Sequence[str]], int | None] = getattr(
        import_module(_COMMANDS[command][0]), command
    )
    return function(arguments)
