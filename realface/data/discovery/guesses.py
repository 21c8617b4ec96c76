"""What the pixels of a layout say of their meaning, with the evidence and how sure it is.

A guess is for people: it overrides nothing that a record, a flag or a layout file says. Where it
contradicts them and is sure, `contradictions` gives a line to warn with.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from realface.data.discovery.axes import Turn, guess_normals_axes, guess_shape
from realface.data.discovery.evidence import SURE, Guess, chance, most_sure, odds, sign_confidence
from realface.data.discovery.guess_normals import guess_normals
from realface.data.discovery.layouts import Entry
from realface.data.discovery.samples import Samples, Values, as_floats
from realface.maps.encoding import srgb_to_linear
from realface.maps.files import Array
from realface.maps.kinds import KINDS

_SKIN = (7.0, 2.0, 8.0)
"""Logistic regression of sRGB against linear on 120 procedural faces' patches: constant, log of
red, log of blue over red. It tells 86 % of single patches, all means of 16."""


def guess(samples: Samples) -> list[Guess]:
    """All guesses about a layout's kinds, in the order of the kinds.

    Args:
        samples: As `realface.data.discovery.samples.read_samples` returns; 16 keys are enough.
    """
    of_normals: dict[str, list[Guess]] = {}
    turns: dict[str, Turn] = {}
    for kind in (kind for kind in KINDS if samples.get(kind)):
        if KINDS[kind].encoding == "unit_vector":
            of_normals[kind], turn = guess_normals(kind, samples)
            turns |= {kind: turn} if turn else {}
    guesses: list[Guess] = []
    for kind in (kind for kind in KINDS if samples.get(kind)):
        pixels = list(samples[kind].values())
        guesses += _guess_depth(kind, pixels)
        if kind in of_normals:
            guesses += of_normals[kind]
        elif kind == "shape":
            usual = {kind: turn for kind, turn in turns.items() if turn.is_usual}
            guesses += guess_shape(samples, usual or turns)
            guesses += [guess_normals_axes(kind, turns[kind]) for kind in turns if usual]
        elif kind in ("diffuse_albedo", "texture"):
            guesses += _guess_colours(kind, pixels)
        elif kind == "specular_albedo":
            guesses.append(_guess_grey(kind, pixels))
    return guesses


def contradictions(guesses: Sequence[Guess], declared: Mapping[str, Entry]) -> list[str]:
    """Lines for sure guesses that differ from what is declared, by kind.

    Args:
        guesses: Of the pixels.
        declared: What is said, or taken by default, of each kind; None says nothing.
    """
    lines = []
    for one in guesses:
        if one.subject not in ("encoding", "space", "green") or one.confidence < SURE:
            continue
        said = getattr(declared.get(one.kind, Entry()), one.subject)
        if said is not None and said != one.value:
            lines.append(f"{one.kind} is taken as {said}, but looks {one.value}: {one.evidence}")
    return lines


def _guess_depth(kind: str, pixels: Sequence[Array]) -> list[Guess]:
    """Integers of 16 bits that hold only the 256 values of 8, straight or linearised."""
    if any(values.dtype != np.uint16 for values in pixels):
        return []
    levels = np.unique(np.concatenate([np.unique(values) for values in pixels]))
    if len(levels) > 256:
        return []
    if (levels % 257 == 0).all():
        evidence = f"{len(levels)} levels, all multiples of 257: made from 8 bits"
        return [Guess(kind, "depth", "8 bits", 0.99, evidence)]
    if KINDS[kind].is_vector or len(levels) < 16 or not _linearised(levels):
        return []
    evidence = f"{len(levels)} levels, all of them 8-bit sRGB ones decoded to linear"
    return [Guess(kind, "encoding", "linear", 0.99, evidence)]


def _linearised(levels: Array) -> bool:
    import torch

    decoded = srgb_to_linear(torch.arange(256) / 255).numpy() * 65535
    return bool((np.abs(levels[:, None] - decoded).min(axis=1) <= 1).all())


def _guess_colours(kind: str, pixels: Sequence[Array]) -> list[Guess]:
    means = [mean for values in pixels if (mean := _mean_colour(values)) is not None]
    if not means or means[0].shape != (3,):
        return []
    channels = _guess_channels(kind, means)
    if channels.value == "bgr":
        means = [mean[::-1] for mean in means]
    return [_guess_encoding(kind, means, pixels), channels]


def _mean_colour(pixels: Array) -> Values | None:
    """Of the texels that are not black: what lies outside the mask mostly is."""
    values = as_floats(pixels[..., :3])
    lit = values[(values > 1e-3).all(axis=-1)]
    return lit.mean(axis=0) if len(lit) else None


def _guess_channels(kind: str, means: Sequence[Values]) -> Guess:
    redder = [float(np.log(mean[0] / mean[2])) for mean in means]
    value = "rgb" if np.mean(redder) >= 0 else "bgr"
    ordered = [mean if value == "rgb" else mean[::-1] for mean in means]
    share = np.mean([mean[0] > mean[1] > mean[2] for mean in ordered])
    # Make-up may be blue, and two patches of it are no skin.
    sure = min(sign_confidence(redder, 0.2), most_sure(len(means)), 0.5 + 0.5 * float(share))
    evidence = (
        f"mean {_numbers(np.mean(means, axis=0))}; skin has red > green > blue, "
        f"as {share:.0%} of samples have in {value} order"
    )
    return Guess(kind, "channels", value, sure, evidence)


def _guess_encoding(kind: str, means: Sequence[Values], pixels: Sequence[Array]) -> Guess:
    constant, of_red, of_blue = _SKIN
    score = float(
        np.mean([constant + of_red * np.log(m[0]) + of_blue * np.log(m[2] / m[0]) for m in means])
    )
    looks = "srgb" if score > 0 else "linear"
    # samples may all be of one face: many of them are not much surer than few
    sure = min(0.85 - 0.15 / len(means), chance(abs(score)))
    evidence = f"skin of {_numbers(np.mean(means, axis=0))} looks {looks} ({sure:.2f})"
    dtype = pixels[0].dtype
    if any((values > 1.01).any() for values in pixels if dtype.kind == "f"):
        return Guess(kind, "encoding", "linear", 0.99, "floats above 1")
    usual = {"uint8": ("srgb", 0.8), "uint16": ("srgb", 0.6)}.get(dtype.name, ("linear", 0.9))
    total = odds(usual[1]) * (1 if usual[0] == "srgb" else -1)
    total += odds(sure) * (1 if looks == "srgb" else -1)
    value = "srgb" if total > 0 else "linear"
    evidence += f"; {dtype} files mostly are {usual[0]}"
    return Guess(kind, "encoding", value, chance(abs(total)), evidence)


def _guess_grey(kind: str, pixels: Sequence[Array]) -> Guess:
    mean = float(np.mean([as_floats(values[..., :3]).mean() for values in pixels]))
    evidence = f"a mean of {mean:.2f} fits both encodings: nothing in a grey map tells them apart"
    floats = pixels[0].dtype.kind == "f"
    return Guess(kind, "encoding", "linear", 0.9 if floats else 0.5, evidence)


def _numbers(values: Values) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in values) + ")"
