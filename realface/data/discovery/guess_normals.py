"""Guesses about normals: range, space, green direction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from realface.data.discovery.axes import Turn, coarse_normals, coarse_shapes, fit_turn
from realface.data.discovery.evidence import Guess, chance, most_sure, odds, sign_confidence
from realface.data.discovery.samples import Samples, Values, is_signed, pooled, vectors
from realface.maps.files import Array

_TANGENT_LEAN, _OBJECT_LEAN = 0.1, 0.5
"""Low-passed |xy| below which normals look tangent, above which object. Procedural patches: 0.05
at most in tangent space, a mean of 0.8 in object space. Captured normals in a mesh's tangent
space lean by up to 0.4."""

_FACING = 0.4  # least z of a normal for its slopes to be used
_LEAST_TEXELS = 256
_UNSETTLED = 0.9  # the most that a guess of green can be sure beside a shape of other axes


def guess_normals(kind: str, samples: Samples) -> tuple[list[Guess], Turn | None]:
    """Range, space and green direction of a kind of normals.

    Returns:
        The guesses; and how the normals fit ``shape``, if they are in object space and there are
        shapes of their size.
    """
    pixels = {key: values for key, values in samples[kind].items() if values.shape[2] >= 3}
    if not pixels:
        return [], None
    normals = [vectors(values) for values in pixels.values()]
    range_ = _guess_range(kind, list(pixels.values()), normals)
    if range_.value == "none":
        return [range_], None
    coarse = {key: coarse_normals(values) for key, values in pixels.items()}
    shapes = coarse_shapes({**samples, kind: pixels}, kind)
    turn = fit_turn(coarse, shapes) if shapes else None
    space, green = _guess_space(kind, coarse, turn), _guess_green(kind, normals)
    if turn is None or space.value != "object":
        return [range_, space, green], None
    return [range_, space, _with_shape(green, coarse, shapes, turn)], turn


def _guess_range(kind: str, pixels: Sequence[Array], normals: Sequence[Values]) -> Guess:
    lengths = np.concatenate([np.sqrt((n * n).sum(axis=-1)).ravel() for n in normals])
    low, middle, high = np.quantile(lengths, (0.01, 0.5, 0.99))
    near = float((np.abs(lengths - 1) < 0.15).mean())
    evidence = f"{near:.0%} of lengths within 15 % of 1 (median {middle:.2f}, {low:.2f}-{high:.2f})"
    if near < 0.5:
        return Guess(kind, "range", "none", min(0.99, 1.5 - near), f"no unit vectors: {evidence}")
    value = "signed" if any(is_signed(values) for values in pixels) else "unit"
    return Guess(kind, "range", value, min(0.99, 0.5 + near / 2), evidence)


def _guess_space(kind: str, coarse: Mapping[str, Values], turn: Turn | None) -> Guess:
    leans = [float(np.sqrt((n[..., :2] ** 2).sum(axis=-1).mean())) for n in coarse.values()]
    lean = float(np.mean(leans))
    evidence = f"low-passed normals lean by {lean:.2f} from (0, 0, 1)"
    if turn:
        closer = float(np.mean(turn.closer))
        turned = "" if turn.is_usual else ", with other axes,"
        evidence += (
            f"; their cosine to the normals of shape{turned} is {turn.cosine:.2f}, to (0, 0, 1) "
            f"{turn.cosine - closer:.2f}"
        )
        value = "object" if closer > 0 else "tangent"
        return Guess(kind, "space", value, sign_confidence(turn.closer, 0.1), evidence)
    middle = (_TANGENT_LEAN + _OBJECT_LEAN) / 2
    value = "object" if lean > middle else "tangent"
    edge = _OBJECT_LEAN if value == "object" else _TANGENT_LEAN
    # a few flat patches that face the viewer look tangent in object space too
    most = 0.98 if value == "object" else 1 - 0.4 / (1 + len(leans)) - 0.01
    confidence = min(most, 0.5 + 0.5 * abs(lean - middle) / abs(edge - middle))
    return Guess(kind, "space", value, confidence, evidence)


def _with_shape(
    alone: Guess, coarse: Mapping[str, Values], shapes: Mapping[str, Values], turn: Turn
) -> Guess:
    """A guess of green, with the y of shapes whose axes are the same; no sure one without."""
    if not turn.is_usual:
        evidence = f"{alone.evidence}; the axes of shape are others, which must be settled first"
        return replace(alone, confidence=min(alone.confidence, _UNSETTLED), evidence=evidence)
    values = [float((coarse[key][1:-1, 1:-1, 1] * n[..., 1]).mean()) for key, n in shapes.items()]
    evidence = f"mean product of y with that of shape's normals {np.mean(values):+.3f}"
    value = "gl" if np.mean(values) >= 0 else "dx"
    confidence = min(sign_confidence(values, 0.02), most_sure(len(values)))
    surer = max(alone.confidence, confidence)
    if value != alone.value:
        value = value if confidence > alone.confidence else alone.value
        surer = chance(abs(odds(confidence) - odds(alone.confidence)))
    return replace(alone, value=value, confidence=surer, evidence=f"{alone.evidence}; {evidence}")


def _guess_green(kind: str, normals: Sequence[Values]) -> Guess:
    """From the normals alone: a height field must have no curl."""
    values = [value for one in normals if (value := _slope_agreement(one)) is not None]
    mean = np.mean(values) if values else 0.0
    evidence = f"cross slopes of the surface agree by {mean:+.2f} if green is up"
    green = "gl" if mean >= 0 else "dx"
    # on the side of a head, object space is no height field over the texels: one patch may mislead
    confidence = min(sign_confidence(values, 0.1), most_sure(len(values)))
    return Guess(kind, "green", green, confidence, evidence)


def _slope_agreement(normals: Values) -> float | None:
    r"""Correlation of the two cross derivatives of the height that normals describe, green up.

    :math:`\partial (n_x / n_z) / \partial y` and :math:`\partial (n_y / n_z) / \partial x` are
    the same number for any height field; with green down the sign of one is turned.

    Returns:
        -1 to 1; None where too few texels face the viewer.
    """
    halved = pooled(normals, max(normals.shape[0] // 2, 8))
    facing = halved[..., 2] > _FACING
    slopes = halved[..., :2] / halved[..., 2:].clip(min=_FACING)
    across = -_derivative(slopes[..., 0], axis=0)  # rows run down
    along = _derivative(slopes[..., 1], axis=1)
    inside = facing[1:-1, 1:-1]
    across, along = across[inside], along[inside]
    if across.size < _LEAST_TEXELS:
        return None
    power = np.sqrt((across**2).sum() * (along**2).sum())
    return float((across * along).sum() / max(float(power), 1e-20))


def _derivative(values: Values, axis: int) -> Values:
    """Sobel's, ``(h - 2, w - 2)``: smoothed across, since 8 bits are coarse."""
    turned = values if axis == 0 else values.T
    smooth = turned[:, :-2] + 2 * turned[:, 1:-1] + turned[:, 2:]
    change = smooth[2:] - smooth[:-2]
    return change if axis == 0 else change.T
