"""Pointwise functions as one kernel each, on devices that wait for launches and for memory.

Kernel by kernel, a patch's maps take thousands of launches and pass over gigabytes. What is written
texel by texel is therefore compiled on CUDA devices, at its first call there; the values agree to
rounding. On a CPU everything runs as it is written: no compiler is needed, and none is waited for.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def fused(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function for CUDA devices; its first argument, a tensor, says where it runs.

    It is compiled for each set of sizes and of Python numbers that it is given: give what varies
    as tensors. Where it cannot be compiled, it runs as it is written, and the log says so.
    """
    compiled = torch.compile(function, dynamic=False, fullgraph=True)
    works = True

    @wraps(function)
    def chosen(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        nonlocal works
        if torch.compiler.is_compiling():  # within another
            return function(*arguments, **named)
        if not works or not _pays(arguments[0]):
            return function(*arguments, **named)
        try:
            return compiled(*arguments, **named)
        except Exception as error:  # compilers fail in ways of their own
            works = False
            result = function(*arguments, **named)  # what is wrong with the arguments is told here
            log.warning("%s is not compiled (%s): patches take longer", function.__name__, error)
            return result

    return chosen


def _pays(values: object) -> bool:
    return isinstance(values, torch.Tensor) and values.is_cuda
