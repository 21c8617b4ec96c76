"""A generator's graph as ONNX: for onnxruntime, TensorRT, DirectML, Core ML's converters."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from realface.errors import FailureError, InputError
from realface.export.graph import DESCRIPTOR, reason
from realface.export.parity import Network
from realface.networks.generator import Generator

OPSET = 18
"""Of 2022, in which torch writes; newer ones bring these networks nothing."""

LARGEST = 1536 * 2**20
"""Bytes of weights that torch puts into one file: protobuf ends at 2 GiB."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_REGISTRY = "torch.onnx._internal.exporter._registration"


def check_packages() -> None:
    """Refuses to begin without what ONNX needs.

    Raises:
        InputError: If packages are missing, with their names.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"--onnx, without the packages {', '.join(missing)}",
            "the packages of the extra `export`",
            'pip install "realface[export]"',
        )


def check_size(generator: Generator) -> None:
    """Refuses a generator that is too large for one ONNX file.

    Raises:
        InputError: If it is.
    """
    size = sum(tensor.nbytes for tensor in generator.state_dict().values())
    if size > LARGEST:
        raise InputError(
            f"--onnx, and a generator of {size / 2**30:.2f} GiB",
            f"at most {LARGEST / 2**30:.2f} GiB of weights in one ONNX file",
            "use --torch-export, or train a generator with fewer channels",
        )


def write_onnx(program: ExportedProgram, about: str, path: Path) -> None:
    """Write a program as ONNX, weights inside.

    Axes are named ``batch``, ``height`` and ``width``. ONNX cannot say that the last two are
    multiples of a number: other sizes give a wrong result or an error.

    Args:
        program: From `realface.export.graph.traced`.
        about: The descriptor.
        path: Of the file.

    Raises:
        FailureError: If a part of the program has no ONNX form.
        OSError: If the disk refuses.
    """
    axes = {0: "batch", 2: "height", 3: "width"}
    try:
        with _quiet():
            made = torch.onnx.export(
                program,
                dynamo=True,
                input_names=["channels"],
                output_names=["result"],
                dynamic_shapes=(axes,),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter has many types of its own
        raise FailureError(
            f"torch.onnx.export failed: {reason(error)}",
            "a generator whose layers all have an ONNX form",
            "export without --onnx; report it, with the versions of torch and onnxscript",
        ) from error
    assert made is not None
    for node in made.model.graph:
        node.metadata_props.clear()  # torch's notes for its own developers
    made.model.metadata_props[DESCRIPTOR] = about
    made.save(path)


def read_onnx(path: Path) -> Network:
    """An ONNX file as onnxruntime runs it on a CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(channels: Tensor) -> Tensor:
        (result,) = session.run(["result"], {"channels": channels.numpy()})
        return torch.from_numpy(result)

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what no user can act on: operators of torchvision, torch's use of its own tree."""
    registry = logging.getLogger(_REGISTRY)
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*", category=DeprecationWarning)
            yield
    finally:
        registry.setLevel(level)
