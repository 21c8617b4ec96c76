"""Flags that several commands share."""

import argparse

CODECS = ("png", "jxl", "blosc", "npy")
"""As `realface.data.codecs.CODECS`, which is slow to import."""


def subject_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    return argparse.ArgumentParser(prog=f"realface {name}", description=description)


def add_mesh_part(parser: argparse._ActionsContainer) -> None:
    """Which part of a mesh file is meant."""
    parser.add_argument("--tile", type=int, nargs=2, metavar=("U", "V"), help="UDIM tile (0 0)")
    parser.add_argument(
        "--part",
        action="append",
        metavar="NAME",
        help="OBJ material or glTF mesh to keep; repeat it, first one on top",
    )
    parser.add_argument("--flip-v", action="store_true", help="the mesh's v runs downwards")


def add_size(parser: argparse.ArgumentParser) -> None:
    """Height and width of maps."""
    parser.add_argument("--height", type=int, default=4096, help="of the maps in px (%(default)s)")
    parser.add_argument("--width", type=int, default=6144, help="of the maps in px (%(default)s)")
