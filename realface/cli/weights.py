"""`realface weights export`."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from realface.cli.console import say

logger = logging.getLogger(__name__)


def weights(arguments: Sequence[str]) -> None:
    """Export the generator of a checkpoint."""
    given = _parser().parse_args(arguments)

    from realface.export.onnx_graph import check_packages
    from realface.export.parity import TOLERANCE
    from realface.export.share import ONNX, TORCH_EXPORT, share
    from realface.weights import TrainedTranslator, load_checkpoint

    if given.onnx:
        check_packages()
    loaded = load_checkpoint(given.checkpoint)
    licence = given.licence or loaded.descriptor.licence
    if licence is None:
        logger.warning("nobody has said on what terms these weights may be used: --licence TEXT")
    about = replace(loaded.descriptor, licence=licence)
    formats = [ONNX] * given.onnx + [TORCH_EXPORT] * given.torch_export
    translator = TrainedTranslator(about, loaded.generator, loaded.source)
    for one in share(translator, given.out, formats=formats, note=given.note):
        if one.difference is None:
            say(one.path)
        else:
            found = f"{one.difference:.1e} from the generator, at most {TOLERANCE:g}"
            say(f"{one.path}: largest difference {found}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="realface weights", description="Share the generator of a checkpoint."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    export = verbs.add_parser(
        "export",
        help="safetensors, descriptor and model card; ONNX and torch.export on request",
        description="Write the generator of a checkpoint to a weights folder: safetensors, "
        "descriptor and model card. Graphs are run against the generator before they are kept.",
    )
    export.add_argument("checkpoint", type=Path, help="that train.py wrote")
    export.add_argument("out", type=Path, help="weights folder")
    export.add_argument(
        "--onnx", action="store_true", help="also TRANSLATOR.onnx; needs the extra `export`"
    )
    export.add_argument(
        "--torch-export",
        action="store_true",
        help="also TRANSLATOR.pt2, for torch.export.load; unlike the other files, such a file can "
        "run code when it is loaded: open none from strangers",
    )
    export.add_argument(
        "--licence",
        metavar="TEXT",
        help="on what terms the weights may be used (default: what the training said)",
    )
    export.add_argument(
        "--note",
        metavar="TEXT",
        help="Markdown at the end of the model card: what they are good and bad at",
    )
    return parser
