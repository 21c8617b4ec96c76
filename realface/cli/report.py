"""`realface report`: a contact sheet."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from realface.cli.console import say
from realface.errors import InputError


def report(arguments: Sequence[str]) -> None:
    """Draw the contact sheet of a subject."""
    parser = argparse.ArgumentParser(
        prog="realface report", description="A contact sheet of a subject's maps."
    )
    parser.add_argument("subject", type=Path, help="subject folder, or what infer.py wrote")
    parser.add_argument("--inputs", type=Path, help="subject that it was predicted from")
    parser.add_argument("--output", type=Path, help="PNG (contact_sheet.png in the folder)")
    given = parser.parse_args(arguments)

    from realface.report.sheet import write_sheet

    path = given.output or given.subject / "contact_sheet.png"
    if path.suffix.lower() != ".png":
        raise InputError(f"--output {path}", "a .png file", "name the sheet with that suffix")
    write_sheet(given.subject, path, inputs=given.inputs)
    say(path)
