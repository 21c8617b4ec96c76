"""`realface report`: a contact sheet, or a gallery of several subjects."""

from collections.abc import Sequence
from pathlib import Path

from realface.cli.console import say
from realface.cli.flags import subject_parser
from realface.errors import InputError


def report(arguments: Sequence[str]) -> None:
    """Draw the contact sheet of a subject, or one page of many."""
    parser = subject_parser(
        "report",
        "A contact sheet of a subject's maps; of a folder of subjects, a gallery: their maps and "
        "their faces under four lights.",
    )
    parser.add_argument("folder", type=Path, help="subject, what infer.py wrote, or subjects")
    parser.add_argument("--inputs", type=Path, help="subject that it was predicted from")
    parser.add_argument("--output", type=Path, help="PNG (contact_sheet or gallery in the folder)")
    given = parser.parse_args(arguments)

    from realface.maps.record import FILE_NAME
    from realface.maps.subject import map_files
    from realface.report.gallery import subject_folders, write_gallery
    from realface.report.sheet import write_sheet

    folder = given.folder
    many = folder.is_dir() and not (folder / FILE_NAME).exists() and not map_files(folder)
    name = "gallery.png" if many else "contact_sheet.png"
    path = given.output or folder / name
    if path.suffix.lower() != ".png":
        raise InputError(f"--output {path}", "a .png file", "name the page with that suffix")
    if many and given.inputs:
        raise InputError("--inputs for several subjects", "one subject", "leave it out")
    if many:
        write_gallery(subject_folders(folder), path)
    else:
        write_sheet(folder, path, inputs=given.inputs)
    say(path)
