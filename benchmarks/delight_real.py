"""De-lighting by a fixed protocol, on a face whose albedo is known, baselines beside.

    python benchmarks/delight_real.py [--checkpoint CKPT[=ROW] ...] [--weights FOLDER[=ROW] ...]
        [--subject scan | procedural:SEED] [--size 1024] [--lights 8] [--family harmonics captured]
        [--fill 0] [--pictures DIR] [--folder DIR] [--data DIR] [--device cpu]

Checkpoints and weights folders of one ROW run together, as a whole-face stage does with the patch
network that reads it; a whole-face stage alone is scored by the texture that it leaves, and so is
the light by least squares that a stage starts from, in a row of its own. Without ``=ROW`` each is
a row, named by its path.

**Never train or tune on the scan**: ``procedural:SEED`` is for that, with lights drawn by seed.

Subject. ``scan``: the Lee Perry-Smith head (CC-BY 3.0, Lee Perry-Smith / Infinite-Realities,
www.triplegangers.com) in `REALFACE_REAL_DATA` or ``--data``, at 1024 x 1024, the size of its
colour and normals. Diffuse albedo: its colour, decoded from sRGB, where nothing is clipped.
Specular albedo: 0.2 everywhere, since its own map is painted. Normals, diffuse and specular: those
of the detail map. The colour is cleaned and keeps some of the studio's light: differences between
methods are to be trusted more than their level.

Lights. Both panoramas of ``hdri/``, turned by 0, 90, 180 and 270 degrees about the vertical; for
``procedural:SEED``, eight drawn panoramas. Two families:

- ``harmonics``: albedo times the irradiance of nine harmonics under the detail normals; no
  shadows, occlusion or gloss. Harmonics of a strong lamp fall below zero opposite it, which no
  light does: the bands are windowed by 1, 3/4, 1/4 (Hann; Sloan, "Stupid spherical harmonics
  tricks", GDC 2008). Exposed so that 0.1 % of the texels have a clipped channel.
- ``captured``: as `realface derive texture --environment` lights a subject: 24 lamps for what is
  bright, with ray-cast shadows, the rest under ambient occlusion, glints, light diffused below the
  skin by Burley's profile. Exposed so that 1 % clip.

``--fill 1`` adds the surround's own mean radiance from everywhere, as a photographer's fill does;
without it the studio, a few lamps in the dark, leaves cheeks black. The protocol has none.

Score. PSNR of the diffuse albedo after the gain of each channel that is best in linear light
(least squares): on sRGB values in [0, 1], which is **the headline**; on linear ones; and on sRGB
values without a gain, which asks for the light's strength too. Over the open texels: valid ones
that at least 0.3 of the light from all around reaches, which leaves out mouth, nostrils and what
lies behind the lids, where textures are black. ``face alone``: the headline on those within a box
about the nose, with a gain of its own; the scan's map is three quarters scalp, neck and shoulders.
Means are of decibels, over the lights.

What a network is given: texture, shape, the mesh's own normals (not the detail) and the mask, as
a subject folder, by the pipeline that `infer.py` runs. Baselines are `delighting_baselines`, given
the same; rows in brackets are given more: detail normals, or the true shading at an eighth.

Lit subjects, the baselines' scores and what networks made are kept in ``--folder`` and used again;
remove it when `realface.shading` or the baselines have changed.
"""

import argparse
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from delight_subjects import (
    VERSION,
    cached,
    drawn_lights,
    face_region,
    filled,
    lit_subjects,
    prepare_procedural,
    prepare_scan,
    scan_lights,
)
from torch import Tensor

from realface.errors import InputError
from realface.geometry.placement import PlacedShape, place
from realface.maps.encoding import srgb_to_linear
from realface.maps.files import write_image
from realface.maps.kinds import REFLECTANCE
from realface.maps.subject import Subject
from realface.metrics.delighting_baselines import (
    WHITE,
    divided_by_blur,
    divided_by_harmonics,
    divided_by_true_shading,
    flat_colour,
)
from realface.metrics.gain import with_best_gain
from realface.metrics.image import psnr
from realface.networks.channels import WHOLE_LIGHT
from realface.pipeline import Job
from realface.pipeline.whole_face import DelitTexture, factor_for, whole_light
from realface.report.page import Tile, page, to_bytes
from realface.weights import TrainedTranslator, load_checkpoint, load_weights

OPEN = 0.3
WIDTHS = (1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16)  # of the blur, in widths of the map
FITTED = "ours, light fitted (nothing learnt)"
SCORES = ("**gain, sRGB**", "face alone", "gain, linear", "no gain, sRGB")  # [dB]
TILE = 320  # px of a picture

Method = Callable[[Subject], Tensor]
"""From a lit subject to its albedo ``(1, 3, H, W)``, sRGB."""


@dataclass(frozen=True)
class Truth:
    """What is known of a subject: sRGB albedo, detail normals, and texels: valid, scored, face."""

    albedo: Tensor
    detail: Tensor
    mask: Tensor
    scored: Tensor
    face: Tensor


def main() -> int:
    given = parser().parse_args()
    for name in ("realface.geometry.placement", "realface.pipeline"):
        logging.getLogger(name).setLevel(logging.ERROR)  # the same warning for every light
    try:
        rows = rows_of(given.checkpoint, given.weights)  # before the long work
        folder, lights = subject_and_lights(given)
        lights = [filled(light, given.fill) for light in lights[: given.lights]]
        networks: dict[str, Method] = {
            FITTED: partial(delit_alone, stage=None, device=given.device)
        }
        networks |= {
            name: partial(
                predicted,
                translators=translators,
                folder=folder / "predicted" / name,
                device=given.device,
            )
            for name, translators in rows.items()
        }
        truth = read_truth(folder / "truth")
        share = float(truth.scored.sum() / truth.mask.sum())
        height, width = truth.mask.shape[-2:]
        print(f"{given.subject}, {width}x{height}; {share:.1%} of the valid texels are scored.\n")
        for family in given.family:
            subjects = dict(lit_subjects(folder / "truth", lights, family, folder / "lit"))
            report(family, subjects, truth, networks, folder / f"baselines-{family}.json")
            if given.pictures:
                draw(given.pictures, family, subjects, truth, networks)
    except InputError as error:
        print(error)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("REALFACE_REAL_DATA")
    made.add_argument("--checkpoint", nargs="+", default=[], metavar="CKPT[=ROW]")
    made.add_argument("--weights", nargs="+", default=[], metavar="FOLDER[=ROW]")
    made.add_argument("--subject", default="scan", help="scan, or procedural:SEED")
    made.add_argument("--size", type=int, default=1024, help="columns of the maps")
    made.add_argument("--lights", type=int, default=8, help="how many of the eight, from the first")
    made.add_argument("--family", nargs="+", default=["harmonics", "captured"],
                      choices=("harmonics", "captured"))  # fmt: skip
    made.add_argument("--fill", type=float, default=0.0, help="constant light, of the mean's")
    made.add_argument("--pictures", type=Path, help="folder for a contact sheet of each family")
    made.add_argument("--folder", type=Path, default=Path("runs/delight"), help="of what is kept")
    made.add_argument("--data", type=Path, default=Path(data) if data else None)
    made.add_argument("--device", default="cpu")
    return made


def subject_and_lights(given: argparse.Namespace) -> tuple[Path, list]:
    """The subject's folder, prepared, and its lights."""
    about = {"protocol": VERSION, "subject": given.subject, "size": given.size}
    folder = given.folder / f"{given.subject.replace(':', '-')}-{given.size}"
    if given.subject == "scan":
        if given.data is None or not given.data.is_dir():
            raise InputError("no scan", "a folder with lee-perry-smith/ and hdri/",
                             "name it with --data or REALFACE_REAL_DATA")  # fmt: skip
        prepare = partial(prepare_scan, given.data, size=given.size)
        return cached(folder, about, prepare), scan_lights(given.data / "hdri")
    kind, _, seed = given.subject.partition(":")
    if kind != "procedural" or not seed.isdecimal():
        raise InputError(f"--subject {given.subject}", "scan, or procedural:SEED", "correct it")
    prepare = partial(prepare_procedural, int(seed), size=given.size)
    return cached(folder, about, prepare), drawn_lights(int(seed))


def read_truth(folder: Path) -> Truth:
    subject = Subject(folder)
    albedo, detail, mask, occlusion = (
        subject.open(kind).whole()[None]
        for kind in ("diffuse_albedo", "specular_normals", "mask", "occlusion")
    )
    unclipped = (albedo < WHITE).all(1, keepdim=True)
    scored = (mask > 0.5) & (occlusion >= OPEN) & unclipped
    return Truth(albedo, detail, mask, scored, scored & face_region(subject))


# --- networks ---


def rows_of(
    checkpoints: Sequence[str], weights: Sequence[str]
) -> dict[str, dict[str, TrainedTranslator]]:
    """Translators by what they make, for each row; only those that albedo may need."""
    rows: dict[str, dict[str, TrainedTranslator]] = {}
    for text in weights:
        path, name = split_row(text)
        rows.setdefault(name, {}).update(by_map(list(load_weights(path).values())))
    for text in checkpoints:
        path, name = split_row(text)
        rows.setdefault(name, {}).update(by_map([load_checkpoint(path)]))
    for name, translators in rows.items():
        if not {"diffuse_albedo", WHOLE_LIGHT}.intersection(translators):
            raise InputError(f"row {name} without a translator of diffuse_albedo or whole face",
                             "one of them, or both", "add its checkpoint")  # fmt: skip
    return rows


def split_row(text: str) -> tuple[Path, str]:
    path, _, name = text.partition("=")
    return Path(path), name or path.strip("/").replace("/", "-")


def by_map(translators: Sequence[TrainedTranslator]) -> dict[str, TrainedTranslator]:
    """By what they make, without what is made from the albedo."""
    later = set(REFLECTANCE) - {"diffuse_albedo"}
    needed = [one for one in translators if not later.issuperset(one.descriptor.outputs)]
    return {kind: one for one in needed for kind in one.descriptor.outputs if kind not in later}


def predicted(
    subject: Subject, translators: Mapping[str, TrainedTranslator], folder: Path, device: str
) -> Tensor:
    """What the pipeline makes of a lit subject; kept, as `infer.py` keeps it."""
    if "diffuse_albedo" not in translators:
        return delit_alone(subject, translators[WHOLE_LIGHT], device)
    output = folder / subject.name
    Job(subject, translators, pad=True).run(output, device=device)
    return Subject(output).open("diffuse_albedo").whole()[None]


def delit_alone(subject: Subject, stage: TrainedTranslator | None, device: str) -> Tensor:
    """The texture over the light that the whole-face stage finds, with no network after it.

    Without a stage, over the light that it would start from.
    """
    shape, mask = subject.open("shape"), subject.open("mask")
    placement = place(shape, mask, subject.record.millimetres_per_unit)
    texel = placement.millimetres_per_texel
    trained = stage.descriptor.millimetres_per_texel if stage else None
    factor = factor_for(subject.size(), texel, trained)
    texture, normals = subject.open("texture"), subject.open("shape_normals")
    sources = {"texture": texture, "shape_normals": normals, "mask": mask,
               "shape": PlacedShape(shape, placement)}  # fmt: skip
    light = whole_light(stage, sources, factor, device)
    return DelitTexture(texture, normals, light, factor).read(0, 0, *subject.size())[None]


# --- the table ---


def baselines(truth: Truth) -> dict[str, Method]:
    def texture(subject: Subject) -> Tensor:
        return subject.open("texture").whole()[None]

    def over_harmonics(subject: Subject, detail: bool, fit: str) -> Tensor:
        normals = truth.detail if detail else subject.open("shape_normals").whole()[None]
        return divided_by_harmonics(texture(subject), normals, truth.mask, fit)

    made: dict[str, Method] = {
        "texture as it is": texture,
        "flat colour": lambda one: flat_colour(texture(one), truth.mask),
    }
    for width in WIDTHS:
        for name, coloured in (("luminance", False), ("each channel", True)):
            made[f"over blur of {name}, 1/{1 / width:.0f}"] = (
                lambda one, width=width, coloured=coloured: divided_by_blur(
                    texture(one), truth.mask, width, coloured=coloured
                )
            )
    fits = {"least squares": "least_squares", "reweighted": "robust", "of logarithms": "log"}
    for normals, detail in (("shape normals", False), ("[detail normals]", True)):
        for name, fit in fits.items():
            made[f"over harmonics, {normals}, {name}"] = partial(
                over_harmonics, detail=detail, fit=fit
            )
    made["[over true shading at 1/8]"] = lambda one: divided_by_true_shading(
        texture(one), truth.albedo, truth.mask
    )
    return made


def score(albedo: Tensor, truth: Truth) -> Tensor:
    """The numbers of `SCORES`."""
    true, whole, face = truth.albedo, truth.scored, truth.face
    albedo = albedo.clamp(0, 1)  # as a file holds it: else a few bright texels rule the gain
    gained = with_best_gain(albedo, true, whole).clamp(0, 1)
    scores = (
        psnr(gained, true, whole),
        psnr(with_best_gain(albedo, true, face).clamp(0, 1), true, face),
        psnr(srgb_to_linear(gained), srgb_to_linear(true), whole),
        psnr(albedo, true, whole),
    )
    return torch.stack(scores)


def report(
    family: str,
    subjects: dict[str, Subject],
    truth: Truth,
    networks: dict[str, Method],
    kept: Path,
) -> None:
    """Print the family's table: means, then the headline by light."""
    clipped = [
        float((one.open("texture").whole() >= WHITE).any(0)[truth.mask[0, 0] > 0.5].float().mean())
        for one in subjects.values()
    ]
    scores = baseline_scores(subjects, truth, kept)
    for name, method in networks.items():
        scores[name] = torch.stack([score(method(one), truth) for one in subjects.values()])
    print(f"**{family}**, {sum(clipped) / len(clipped):.2%} of the texels clipped\n")
    print(f"| albedo from | {' | '.join(SCORES)} | {' | '.join(subjects)} |")
    print("|---" * (1 + len(SCORES) + len(subjects)) + "|")
    for name, each in best_blurs(scores).items():
        numbers = torch.cat((each.mean(0), each[:, 0])).tolist()
        print(f"| {name} | " + " | ".join(f"{number:.1f}" for number in numbers) + " |", flush=True)
    print()


def baseline_scores(subjects: dict[str, Subject], truth: Truth, kept: Path) -> dict[str, Tensor]:
    """Scores ``(lights, len(SCORES))`` by baseline; an earlier run's are read from a file."""
    methods = baselines(truth)
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    for light, subject in subjects.items():
        if light not in found:
            found[light] = {
                name: score(method(subject), truth).tolist() for name, method in methods.items()
            }
            kept.write_text(json.dumps(found))
    return {name: torch.tensor([found[light][name] for light in subjects]) for name in methods}


def best_blurs(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of each kind of blur only the width with the best mean: more than a user could choose."""
    best = {}
    for name in scores:
        kind = name.split(",")[0]
        if kind.startswith("over blur"):
            alike = [one for one in scores if one.startswith(f"{kind},")]
            name = max(alike, key=lambda one: float(scores[one][:, 0].mean()))
        best[name] = scores[name]
    return best


# --- pictures ---


def draw(
    folder: Path,
    family: str,
    subjects: dict[str, Subject],
    truth: Truth,
    networks: dict[str, Method],
) -> None:
    """A page: by light the texture, each albedo after its gain, the truth, and the errors x 4."""
    shown = networks or {
        name: baselines(truth)[name] for name in ("over harmonics, shape normals, reweighted",)
    }
    rows = []
    for light, subject in subjects.items():
        tiles = [tile(light, subject.open("texture").whole()), tile("truth", truth.albedo[0])]
        for name, method in shown.items():
            made = with_best_gain(method(subject), truth.albedo, truth.scored).clamp(0, 1)
            error = 4 * (made - truth.albedo).abs() * truth.scored
            tiles += [tile(name, made[0]), tile("error x 4", error[0])]
        rows.append(tiles)
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{family}.png", page(rows, TILE, max(map(len, rows))))


def tile(label: str, values: Tensor) -> Tile:
    size = round(values.shape[1] * TILE / values.shape[2]), TILE
    return Tile(label, to_bytes(F.interpolate(values[None], size, mode="area")[0]))


if __name__ == "__main__":
    raise SystemExit(main())
