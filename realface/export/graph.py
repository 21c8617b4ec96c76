"""A generator as a graph that runs without this package, of any batch, height and width.

The graph is the network alone: ``channels`` ``(B, C_in, H, W)`` to ``result`` ``(B, C_out, H, W)``,
float32. What the channels mean, `realface.networks.interface.Interface` and the model card say.
"""

from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from realface.errors import FailureError
from realface.export.parity import Network
from realface.networks.generator import Generator

DESCRIPTOR = "descriptor.json"
"""Under this name a graph's file holds the descriptor: ONNX metadata, extra file of a .pt2."""


def example_shape(generator: Generator) -> tuple[int, int, int, int]:
    """``(B, C, H, W)`` of the input that a graph is traced with."""
    step, channels = generator.multiple_of, generator.arguments["in_channels"]
    least = generator.minimum_size
    return 2, channels, least + step, least + 2 * step


def traced(generator: Generator) -> ExportedProgram:
    """The generator as a program of any batch, and of height and width that fit.

    Sizes that are no multiple of the generator's are refused by the program, as by the generator.

    Args:
        generator: On the CPU, in evaluation mode.

    Raises:
        FailureError: If it can only be exported at a fixed size, with what stands against it.
    """
    step = generator.multiple_of
    least = generator.minimum_size // step
    # The names say where in a shape; the sizes are multiples, which the graph then relies on.
    sizes = {0: Dim("batch", min=1)}
    sizes |= {2: step * Dim("rows", min=least), 3: step * Dim("columns", min=least)}
    try:
        with torch.no_grad():
            example = torch.zeros(example_shape(generator))
            program = torch.export.export(
                generator, (example,), dynamic_shapes=(sizes,), strict=False
            )
    except Exception as error:  # torch.export has many types of its own
        raise FailureError(
            f"torch.export of the generator failed: {reason(error)}",
            "a generator whose graph holds for every batch, height and width",
            "export without --onnx and --torch-export; report it, with the checkpoint's descriptor",
        ) from error
    _forget_files(program)
    return program


def write_program(program: ExportedProgram, about: str, path: Path) -> None:
    """Write a program for `torch.export.load`.

    Args:
        program: From `traced`.
        about: The descriptor.
        path: Of the file.

    Raises:
        OSError: If the disk refuses.
    """
    whole = BytesIO()  # torch's own writer ends the process where the disk is full
    torch.export.save(program, whole, extra_files={DESCRIPTOR: about})
    path.write_bytes(whole.getbuffer())


def read_program(path: Path) -> Network:
    """A program as whoever gets the file runs it.

    Only for files of one's own: `torch.export.load` unpickles, and a foreign file can run code.
    """
    with path.open("rb") as file:
        module = torch.export.load(file).module()

    def run(channels: Tensor) -> Tensor:
        result: Tensor = module(channels)
        return result

    return run


def reason(error: Exception) -> str:
    """The beginning of what torch's exporters say, which can be pages."""
    return "\n".join(str(error).splitlines()[:8]) or type(error).__name__


def _forget_files(program: ExportedProgram) -> None:
    """Takes out the paths of this machine's source files."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
