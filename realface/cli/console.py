"""What every command shares: messages, progress, errors to exit codes."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from realface.errors import FailureError, RealfaceError

if TYPE_CHECKING:
    from rich.console import Console


def console(stderr: bool = False) -> "Console":
    """Where people read: results on stdout, everything else on stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def say(text: object) -> None:
    """One result for people, on stdout."""
    console().print(str(text), markup=False)


def show_messages() -> None:
    """Send the project's log messages to stderr, plain."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("realface")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def run(command: Callable[[], int | None]) -> int:
    """Run a command; its exit code, with errors told in the user's words."""
    show_messages()
    try:
        return command() or 0
    except RealfaceError as error:
        return _tell(error)
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _tell(
            FailureError(
                str(error),
                "files that can be read, and a writable disk with room",
                "check the path, its permissions and the free space, then run the same command",
            )
        )
    except KeyboardInterrupt:
        console(stderr=True).print("stopped; run the same command to go on", markup=False)
        return 130


def _tell(error: RealfaceError) -> int:
    console(stderr=True).print(f"error\n{error}", markup=False)
    return error.exit_code


class Update(Protocol):
    """Moves the bar; another title starts another bar below."""

    def __call__(self, done: int, total: int, title: str | None = None) -> None:
        """Move it."""


@contextmanager
def progress(first: str) -> Iterator[Update]:
    """A bar with an estimate of what is left; yields ``update(done, total, title)``."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def update(done: int, total: int, title: str | None = None) -> None:
        if not tasks:  # not before: a bar without a task leaves an empty line behind
            bar.start()
        name = title or first
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=None)
        bar.update(tasks[name], completed=done, total=total)

    try:
        yield update
    finally:
        if tasks:
            bar.stop()
