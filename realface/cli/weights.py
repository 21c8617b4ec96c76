"""`realface weights export`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from realface.cli.console import say


def weights(arguments: Sequence[str]) -> None:
    """Export the generator of a checkpoint."""
    parser = argparse.ArgumentParser(
        prog="realface weights", description="Share the generator of a checkpoint."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    export = verbs.add_parser("export", help="safetensors, descriptor and model card")
    export.add_argument("checkpoint", type=Path, help="that train.py wrote")
    export.add_argument("out", type=Path, help="weights folder")
    given = parser.parse_args(arguments)

    from realface.weights import export_weights, load_checkpoint

    say(export_weights(load_checkpoint(given.checkpoint), given.out))
