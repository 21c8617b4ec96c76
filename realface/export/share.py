"""A translator as files for others: weights, descriptor, model card, and graphs on request."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from torch.export import ExportedProgram

from realface.errors import FailureError, InputError
from realface.export.card import model_card
from realface.export.graph import read_program, reason, traced, write_program
from realface.export.onnx_graph import check_packages, check_size, read_onnx, write_onnx
from realface.export.parity import Network, check_parity
from realface.maps.files import whole_file
from realface.weights import TrainedTranslator, export_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """A kind of file that holds a generator's graph.

    Attributes:
        suffix: Of its files.
        flag: That asks for it.
        write: Of a program, with the descriptor, to a path.
        read: As whoever gets the file runs it.
    """

    suffix: str
    flag: str
    write: Callable[[ExportedProgram, str, Path], None]
    read: Callable[[Path], Network]


@dataclass(frozen=True)
class Shared:
    """A file that was written.

    Attributes:
        path: Where.
        difference: Of a graph, the largest found to the generator's result; None: no graph.
    """

    path: Path
    difference: float | None = None


ONNX = Format(".onnx", "--onnx", write_onnx, read_onnx)
TORCH_EXPORT = Format(".pt2", "--torch-export", write_program, read_program)


def share(
    translator: TrainedTranslator,
    folder: Path,
    *,
    formats: Sequence[Format] = (),
    note: str | None = None,
) -> list[Shared]:
    """Write a translator to a weights folder, all its files or none.

    Args:
        translator: On the CPU.
        folder: Made where it is not.
        formats: Of graphs to write too. Each is run against the generator before it is kept.
        note: Goes into the model card.

    Returns:
        The ``.safetensors`` file, then the graphs.

    Raises:
        InputError: If packages for a format are missing, or the folder is a file.
        FailureError: If a graph cannot be made, or does not do what the generator does; if the
            disk refuses.
    """
    _check(translator, folder, formats)
    descriptor = translator.descriptor
    program = traced(translator.generator) if formats else None
    graphs = []
    with ExitStack() as files:
        path = folder / f"{descriptor.translator}.md"
        card = files.enter_context(whole_file(path))
        folder.mkdir(parents=True, exist_ok=True)
        card.write_text(model_card(descriptor, note), encoding="utf-8")
        for one in formats:
            assert program is not None
            path = path.with_suffix(one.suffix)
            partial = files.enter_context(whole_file(path))
            logger.info("writing %s, and running it against the generator", path.name)
            one.write(program, descriptor.to_json(), partial)
            network = _read(one, partial, path.name)
            graphs.append(Shared(path, check_parity(translator.generator, network, path.name)))
        weights = export_weights(translator, folder)
    for one in (ONNX, TORCH_EXPORT):
        if one not in formats and weights.with_suffix(one.suffix).exists():
            logger.warning(
                "%s is of an earlier export: write it again with %s, or delete it",
                weights.with_suffix(one.suffix), one.flag,
            )  # fmt: skip
    return [Shared(weights), *graphs]


def _read(one: Format, partial: Path, name: str) -> Network:
    try:
        return one.read(partial)
    except Exception as error:  # runtimes have types of their own
        raise FailureError(
            f"{name} was written and cannot be read: {reason(error)}",
            "a graph that its runtime takes",
            f"export without {one.flag}; nothing was written. Report it, with the versions of "
            "torch, onnxscript and onnxruntime",
        ) from error


def _check(translator: TrainedTranslator, folder: Path, formats: Sequence[Format]) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}, which is a file", "a folder", "name another folder")
    if ONNX in formats:
        check_packages()
        check_size(translator.generator)
