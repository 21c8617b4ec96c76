"""Guesses about normals and shape: range, space, green direction, axes."""

from collections.abc import Mapping, Sequence

import numpy as np

from realface.data.discovery.evidence import Guess, sign_confidence
from realface.data.discovery.samples import (
    Samples,
    Values,
    coarse_shape_normals,
    is_signed,
    pooled,
    unit,
    vectors,
)
from realface.maps.files import Array

_CELLS = 12  # a side: blocks of 40 texels average pores and the steps of 8 bits away
_TANGENT_LEAN, _OBJECT_LEAN = 0.1, 0.5
"""Low-passed |xy| below which normals look tangent, above which object. Procedural patches: 0.05
at most in tangent space, a mean of 0.8 in object space. Captured normals in a mesh's tangent
space lean by up to 0.4."""

_FACING = 0.4  # least z of a normal for its slopes to be used
_LEAST_TEXELS = 256


def guess_normals(kind: str, samples: Samples) -> list[Guess]:
    """Range, space and green direction of a kind of normals."""
    pixels = {key: values for key, values in samples[kind].items() if values.shape[2] >= 3}
    if not pixels:
        return []
    normals = {key: vectors(values) for key, values in pixels.items()}
    shapes = {
        key: coarse_shape_normals(values, _CELLS + 2)
        for key, values in samples.get("shape", {}).items()
        if key in normals and values.shape == pixels[key].shape and min(values.shape[:2]) > _CELLS
    }
    coarse = {key: unit(pooled(values, _CELLS + 2)) for key, values in normals.items()}
    range_ = _guess_range(kind, list(pixels.values()), list(normals.values()))
    if range_.value == "none":
        return [range_]
    space = _guess_space(kind, coarse, shapes)
    leaning = shapes if space.value == "object" else {}
    return [range_, space, _guess_green(kind, list(normals.values()), coarse, leaning)]


def _guess_range(kind: str, pixels: Sequence[Array], normals: Sequence[Values]) -> Guess:
    lengths = np.concatenate([np.sqrt((n * n).sum(axis=-1)).ravel() for n in normals])
    low, middle, high = np.quantile(lengths, (0.01, 0.5, 0.99))
    near = float((np.abs(lengths - 1) < 0.15).mean())
    evidence = f"{near:.0%} of lengths within 15 % of 1 (median {middle:.2f}, {low:.2f}-{high:.2f})"
    if near < 0.5:
        return Guess(kind, "range", "none", min(0.99, 1.5 - near), f"no unit vectors: {evidence}")
    value = "signed" if any(is_signed(values) for values in pixels) else "unit"
    return Guess(kind, "range", value, min(0.99, 0.5 + near / 2), evidence)


def _guess_space(kind: str, coarse: Mapping[str, Values], shapes: Mapping[str, Values]) -> Guess:
    leans = [float(np.sqrt((n[..., :2] ** 2).sum(axis=-1).mean())) for n in coarse.values()]
    lean = float(np.mean(leans))
    evidence = f"low-passed normals lean by {lean:.2f} from (0, 0, 1)"
    if shapes:
        closer = [_closer_to_shape(coarse[key][1:-1, 1:-1], n) for key, n in shapes.items()]
        value = "object" if np.mean(closer) > 0 else "tangent"
        evidence += (
            f"; cosine to the normals of shape less cosine to (0, 0, 1): {np.mean(closer):+.2f}"
        )
        return Guess(kind, "space", value, sign_confidence(closer, 0.1), evidence)
    middle = (_TANGENT_LEAN + _OBJECT_LEAN) / 2
    value = "object" if lean > middle else "tangent"
    edge = _OBJECT_LEAN if value == "object" else _TANGENT_LEAN
    # a few flat patches that face the viewer look tangent in object space too
    most = 0.98 if value == "object" else 1 - 0.4 / (1 + len(leans)) - 0.01
    confidence = min(most, 0.5 + 0.5 * abs(lean - middle) / abs(edge - middle))
    return Guess(kind, "space", value, confidence, evidence)


def _closer_to_shape(normals: Values, shape: Values) -> float:
    """How much nearer, as a cosine, normals are to a shape's than to z; green either way."""
    along = max(float((normals * shape * (1, sign, 1)).sum(axis=-1).mean()) for sign in (1, -1))
    return along - float(normals[..., 2].mean())


def _guess_green(
    kind: str, normals: Sequence[Values], coarse: Mapping[str, Values], shapes: Mapping[str, Values]
) -> Guess:
    """From a shape's y where normals are in its space; else a height field must have no curl."""
    if shapes:
        values = [
            float((coarse[key][1:-1, 1:-1, 1] * n[..., 1]).mean()) for key, n in shapes.items()
        ]
        evidence = f"mean product of y with that of shape's normals {np.mean(values):+.3f}"
        spread = 0.02
    else:
        values = [value for one in normals if (value := _slope_agreement(one)) is not None]
        mean = np.mean(values) if values else 0.0
        evidence = f"cross slopes of the surface agree by {mean:+.2f} if green is up"
        spread = 0.1
    green = "gl" if not values or np.mean(values) >= 0 else "dx"
    return Guess(kind, "green", green, sign_confidence(values, spread), evidence)


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


def guess_shape(pixels: Sequence[Array]) -> list[Guess]:
    """Range and axes of a shape: x to the right, y up and z to the viewer, or what is flipped."""
    points = [pooled(vectors(values), _CELLS) for values in pixels if values.shape[2] >= 3]
    points = [values for values in points if min(values.shape[:2]) > 1]
    if not points:
        return []
    along = [_share(np.diff(values, axis=1), 0) for values in points]
    up = [_share(-np.diff(values, axis=0), 1) for values in points]
    bulge, fit = _bulge(np.concatenate([values.reshape(-1, 3) for values in points]))
    flipped = [name for name, sign in (("x", np.mean(along)), ("y", np.mean(up)), ("z", bulge))
               if sign < 0]  # fmt: skip
    value = f"{' and '.join(flipped)} flipped" if flipped else "x right, y up, z to the viewer"
    evidence = (
        f"x grows along columns ({np.mean(along):+.2f}), y up the rows ({np.mean(up):+.2f}), "
        f"z falls off from the middle ({bulge:+.2f}, {fit:.0%} of its variance)"
    )
    convex = 1 - 1 / len(points)  # one patch may be the side of a nose
    confidence = min(
        sign_confidence(along, 0.2), sign_confidence(up, 0.2), 0.5 + 0.49 * max(fit, 0) * convex
    )
    return [_range_of_shape(pixels, points), Guess("shape", "axes", value, confidence, evidence)]


def _share(steps: Values, axis: int) -> float:
    """Mean share of an axis in the length of steps, with its sign."""
    return float(unit(steps)[..., axis].mean())


def _bulge(points: Values) -> tuple[float, float]:
    """By how much z falls with the distance from the middle in x; explained share of z.

    The fit is of a parabola to all points: a head is convex, whatever a patch of it is.
    """
    x, y, z = (points - points.mean(axis=0)).T
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y], axis=1)
    solution, *_ = np.linalg.lstsq(terms, z, rcond=None)
    left = z - terms @ solution
    return -float(solution[3]), 1 - float(left.var() / max(float(z.var()), 1e-20))


def _range_of_shape(pixels: Sequence[Array], points: Sequence[Values]) -> Guess:
    flat = np.concatenate([values.reshape(-1, 3) for values in points])
    extents = ", ".join(f"{extent:.2f}" for extent in np.ptp(flat, axis=0))
    signed = any(is_signed(values) for values in pixels)
    evidence = f"samples span {extents} in x, y, z as decoded; the scale cannot be seen"
    return Guess(
        "shape", "range", "signed" if signed else "unit", 0.97 if signed else 0.9, evidence
    )
