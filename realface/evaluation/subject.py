"""All scores of one subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from realface.evaluation.albedo import albedo_scores, ssim_step
from realface.evaluation.normals import FINEST, LONGEST, normals_scores
from realface.evaluation.pairs import Pair
from realface.evaluation.relit import LIGHTS, can_relight, relit_scores, shading_step
from realface.evaluation.scores import Scores
from realface.evaluation.surface import Surface, read_surface
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.metrics.skin_tone import lab, tone_of, typology_angle

_TONE_TEXELS = 1 << 18  # that a tone is taken from, evenly spaced

_STEPS = {"diffuse_albedo": 5, "specular_albedo": 2, "diffuse_normals": 4, "specular_normals": 4}
"""Methods of each map if all inputs are there, for a bar that moves evenly."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Evaluation:
    """What was found of one subject.

    Attributes:
        name: The subject's.
        scores: Every number.
        shares: Of each region, of the map's texels.
        tone: Class of the true skin by its typology angle; None: no true diffuse albedo.
        typology_angle: [degrees].
        millimetres_per_texel: None: not known.
        notes: What was left out or assumed, in words.
    """

    name: str
    scores: Scores
    shares: dict[str, float]
    tone: str | None
    typology_angle: float | None
    millimetres_per_texel: float | None
    notes: tuple[str, ...]


def evaluate_subject(pair: Pair, seed: int, tell: Progress = lambda done: None) -> Evaluation:
    """Score one subject.

    Args:
        pair: What to compare.
        seed: Of the lights.
        tell: Called with how many of its `steps` are done.

    Raises:
        InputError: If the mask leaves nothing, or a file is damaged.
    """
    surface = read_surface(pair)
    scores: Scores = {}
    done = 1
    tell(done)
    for kind in pair.kinds:
        measured = normals_scores if KINDS[kind].encoding == "unit_vector" else albedo_scores
        for number, each in enumerate(measured(pair, surface, kind), start=1):
            scores |= each
            tell(done + min(number, _STEPS[kind]))
        done += _STEPS[kind]
    for each in relit_scores(pair, surface, seed):
        scores |= each
    tell(done + 1)
    angle = _typology_angle(pair, surface)
    return Evaluation(
        name=pair.name,
        scores=scores,
        shares={name: float(each.float().mean()) for name, each in surface.regions.items()},
        tone=None if angle is None else tone_of(angle),
        typology_angle=angle,
        millimetres_per_texel=surface.texel,
        notes=(*surface.notes, *_left_out(pair, surface, scores)),
    )


def steps(pair: Pair) -> int:
    """How far `evaluate_subject` counts."""
    return sum(_STEPS[kind] for kind in pair.kinds) + 2


def _typology_angle(pair: Pair, surface: Surface) -> float | None:
    """Of the median colour of the face, else of the headline region."""
    if "diffuse_albedo" not in pair.truth:
        return None
    region = surface.regions.get("face", surface.regions[surface.headline])
    colours = pair.truth.open("diffuse_albedo").whole()[:, region[0, 0]].T
    colours = colours[:: max(1, len(colours) // _TONE_TEXELS)]
    return float(typology_angle(lab(colours).median(dim=0).values))


def _left_out(pair: Pair, surface: Surface, scores: Scores) -> list[str]:
    """What a reader would look for in vain."""
    notes = [
        f"{kind}: not in {_where(pair, kind)}, not scored"
        for kind in REFLECTANCE
        if kind not in pair.kinds
    ]
    if pair.shared("texture") is None:
        notes.append("no texture: no baselines that read it (copy, flat, blur, harmonics, Sobel)")
    if pair.shared("shape_normals") is None:
        notes.append("no shape_normals: no baselines for normals, no detail, no harmonics")
    if not can_relight(pair, surface):
        notes.append("not relit: that needs shape and the four maps in both, in object space")
    metrics = {key.metric for key in scores}
    texel = surface.texel
    if texel is not None and any(kind.endswith("_normals") for kind in pair.kinds):
        notes.append(_about_detail(texel, "detail_x" in metrics))
    if texel is not None and not any(metric.startswith("spectrum") for metric in metrics):
        notes.append(f"texels of {texel:.2g} mm or the region resolve no octave: no spectra")
    return notes + _sampled(pair.size)


def _where(pair: Pair, kind: str) -> str:
    lacking = [
        word
        for word, subject in (("the prediction", pair.predicted), ("the truth", pair.truth))
        if kind not in subject
    ]
    return " and ".join(lacking)


def _about_detail(texel: float, scored: bool) -> str:
    if not scored:
        return f"texels of {texel:.2g} mm, or no shape normals: no detail of {FINEST}-{LONGEST} mm"
    finest = max(FINEST, 2 * texel)
    return f"detail: waves of {LONGEST:g} to {finest:.2g} mm, texels of {texel:.2g} mm"


def _sampled(size: tuple[int, int]) -> list[str]:
    notes = []
    if (every := ssim_step(size)) > 1:
        notes.append(f"SSIM from every {every}. band of 128 rows")
    if (step := shading_step(size)) > 1:
        notes.append(f"relit at every {step}. texel along rows and columns; {LIGHTS} lights")
    return notes
