"""What an evaluation leaves on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from realface.evaluation.pairs import Pair
from realface.evaluation.pictures import write_errors
from realface.evaluation.subject import Evaluation
from realface.evaluation.tables import as_json, markdown
from realface.maps.files import whole_file


def write_results(
    pairs: Sequence[Pair], subjects: Sequence[Evaluation], seed: int, path: Path
) -> None:
    """Write numbers, tables and pictures, each whole or not at all.

    Args:
        pairs: What was compared.
        subjects: What was found.
        seed: Of the intervals.
        path: Of the JSON file; tables stand beside it as ``.md``, pictures as ``errors.png``.

    Raises:
        FailureError: If the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_errors(pairs, path.with_name("errors.png"))
    numbers = json.dumps(as_json(subjects, seed), indent=1, allow_nan=False) + "\n"
    for place, text in ((path.with_suffix(".md"), markdown(subjects, seed)), (path, numbers)):
        with whole_file(place) as partial:
            partial.write_text(text, encoding="utf-8")
