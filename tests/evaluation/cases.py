"""Predicted and true faces to be scored."""

from dataclasses import replace
from pathlib import Path

import torch

from realface.evaluation.pairs import Pair, find_pairs
from realface.evaluation.scores import PREDICTED, Key
from realface.evaluation.subject import evaluate_subject
from realface.maps.encoding import linear_to_srgb, srgb_to_linear, unit
from realface.maps.kinds import REFLECTANCE
from realface.maps.record import read_record, write_record
from realface.maps.subject import Subject, save_map
from tests.faces import write_face

INPUTS = ("texture", "shape", "shape_normals", "mask")


def write_pair(
    folder: Path, change=None, *, kinds=REFLECTANCE, millimetres: float = 0.3
) -> tuple[Path, Path]:
    """Predicted and true subject of texels of about half a millimetre.

    ``change(kind, values)`` makes the prediction of the truth, for some kinds.
    """
    truth = write_face(folder / "truth")
    write_record(truth, replace(read_record(truth), millimetres_per_unit=millimetres))
    made = folder / "made"
    for kind in kinds:
        values = Subject(truth).open(kind).whole()
        save_map(made, kind, values if change is None else change(kind, values))
    return made, truth


def scored(made: Path, truth: Path, **more):
    """The evaluation of one subject."""
    (pair,) = find_pairs(made, truth, **more)
    return evaluate(pair)


def evaluate(pair: Pair):
    with torch.inference_mode():
        return evaluate_subject(pair, seed=0)


def of(found, kind, metric, region="whole", method=PREDICTED):
    return found.scores[Key(kind, region, method, metric)]


def dimmed(kind, values):
    """Half the light."""
    if kind == "diffuse_albedo":
        return linear_to_srgb(0.5 * srgb_to_linear(values))
    return 0.5 * values if kind == "specular_albedo" else values


def noisy(kind, values):
    made = values + 0.05 * torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    return unit(made) if kind.endswith("normals") else made.clamp(0, 1)
