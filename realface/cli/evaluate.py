"""`realface evaluate`: scores of predicted reflectance maps against true ones."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from realface.cli.console import Update, progress, say
from realface.cli.flags import subject_parser
from realface.errors import InputError


def evaluate(arguments: Sequence[str]) -> None:
    """Score a subject, or all subjects of a folder, with baselines beside."""
    parser = subject_parser(
        "evaluate",
        "Scores of predicted maps against true ones, baselines beside: metrics.json, metrics.md, "
        "errors.png. Of two folders of subjects, those of the same names, and means.",
    )
    parser.add_argument("predicted", type=Path, help="subject (what infer.py wrote), or subjects")
    parser.add_argument("truth", type=Path, help="its true maps, or subjects of the same names")
    parser.add_argument("--mask", type=Path, help="image, 1 where a texel counts (TRUTH's mask)")
    parser.add_argument(
        "--inputs", type=Path, help="where texture and shape_normals are, for baselines (TRUTH)"
    )
    parser.add_argument(
        "--output", type=Path, help="folder, or its metrics.json (PREDICTED/evaluation)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of lights and of intervals (%(default)s)"
    )
    given = parser.parse_args(arguments)
    if given.seed < 0:
        raise InputError(f"--seed {given.seed}", "0 or more", "leave it out or correct it")
    json_path = output_json(given.output or given.predicted / "evaluation")

    import torch

    from realface.evaluation.pairs import find_pairs
    from realface.evaluation.results import write_results
    from realface.evaluation.subject import evaluate_subject, steps
    from realface.evaluation.tables import headline_table

    pairs = find_pairs(given.predicted, given.truth, given.mask, given.inputs)
    found = []
    with torch.inference_mode(), progress("scored") as update:
        before, total = 0, sum(steps(pair) for pair in pairs)
        for pair in pairs:
            update(before, total)
            tell = partial(_advance, update, before, total)
            found.append(evaluate_subject(pair, given.seed, tell))
            before += steps(pair)
    write_results(pairs, found, given.seed, json_path)
    say(headline_table(found, given.seed))
    say(json_path.parent)


def _advance(update: Update, before: int, total: int, done: int) -> None:
    update(before + done, total)


def output_json(output: Path) -> Path:
    """Where the numbers go.

    Raises:
        InputError: If it is a file of another sort, or a folder stands in a file's place.
    """
    path = output if output.suffix.lower() == ".json" else output / "metrics.json"
    if (path.parent.exists() and not path.parent.is_dir()) or path.is_dir():
        raise InputError(
            f"--output {output}",
            "a folder, or a .json file in one",
            "name another: a file or a folder is in its place",
        )
    return path
