"""What every command shares: messages, progress, errors to exit codes."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from realface.errors import RealfaceError

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
        console(stderr=True).print(f"error\n{error}", markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        console(stderr=True).print("stopped; the same command goes on from here", markup=False)
        return 130


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with an estimate of what is left; yields ``update(done, total)``."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
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
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update
