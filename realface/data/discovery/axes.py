r"""Guesses about the axes of a shape: by itself, and against the normals beside it.

Points stored with axes :math:`F`, a signed permutation, have normals :math:`\det(F) F n` when they
are derived from the map. Normals in object space so tell :math:`F` up to its sign, whatever the
face looks like; that sign, and all without normals, is told by the way the points run.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from realface.data.discovery.evidence import Guess, most_sure, sign_confidence
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

CELLS = 12  # a side: blocks of 40 texels average pores and the steps of 8 bits away
_PRIOR = 0.05  # by how much, as a cosine, other axes must fit better than the usual ones
RIGHT = "(x, y, z)"
"""Axes as realface has them: x to the image's right, y up, z to the viewer."""

_GREEN_DOWN = np.diag((1.0, -1.0, 1.0)).astype(np.float32)
_TURNS = np.stack([
    np.eye(3, dtype=np.float32)[list(order)] * np.array(signs, np.float32)
    for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
])  # fmt: skip
_USUAL = [n for n, turn in enumerate(_TURNS)
          if (turn == np.eye(3)).all() or (turn == _GREEN_DOWN).all()]  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """How normals fit those of the shapes beside them.

    Attributes:
        matrix: ``(3, 3)``, the signed permutation by which the shapes' normals fit best.
        rotation: Likewise, green either way; the identity where the axes of both are the same.
        closer: By key, how much nearer, as a cosine, normals are to the turned ones than to z.
        cosine: Mean over all keys, turned.
        as_stored: Likewise, not turned.
        confidence: Chance that it is this rotation, if the normals are in object space.
    """

    matrix: Values
    rotation: Values
    closer: tuple[float, ...]
    cosine: float
    as_stored: float
    confidence: float

    @property
    def is_usual(self) -> bool:
        """Whether the axes of normals and shape are the same."""
        return bool((self.rotation == np.eye(3)).all())


def coarse_normals(pixels: Array) -> Values:
    """Low-passed stored normals, ``(CELLS + 2, CELLS + 2, 3)`` or less."""
    return unit(pooled(vectors(pixels), CELLS + 2))


def coarse_shapes(samples: Samples, kind: str) -> dict[str, Values]:
    """By key, the normals of shapes that have the size of a kind's maps, ``(CELLS, CELLS, 3)``."""
    others = samples[kind]
    return {
        key: coarse_shape_normals(pixels, CELLS + 2)
        for key, pixels in samples.get("shape", {}).items()
        if key in others and pixels.shape == others[key].shape and min(pixels.shape[:2]) > CELLS
    }


def fit_turn(normals: Mapping[str, Values], shapes: Mapping[str, Values]) -> Turn:
    """The turn of axes by which normals fit those of the shapes best.

    Args:
        normals: By key, as `coarse_normals` returns.
        shapes: As `coarse_shapes` returns; at least one.
    """
    inner = {key: normals[key][1:-1, 1:-1].reshape(-1, 3) for key in shapes}
    products = np.stack([
        inner[key].T @ one.reshape(-1, 3) / len(inner[key]) for key, one in shapes.items()
    ])  # fmt: skip
    cosines = np.einsum("tij,kij->tk", _TURNS, products)  # every turn, every key
    facing = np.array([one[:, 2].mean() for one in inner.values()])
    means = cosines.mean(axis=1)
    likely = means.copy()
    likely[_USUAL] += _PRIOR
    best = int(likely.argmax())
    mirrored = np.linalg.det(_TURNS[best]) < 0  # axes of points cannot do this, green down does
    rotation = _GREEN_DOWN @ _TURNS[best] if mirrored else _TURNS[best]
    same = [n for n, turn in enumerate(_TURNS) if (_GREEN_DOWN @ turn == _TURNS[best]).all()]
    others = [n for n in range(len(_TURNS)) if n not in (best, *same)]
    second = max(others, key=lambda number: means[number])
    margins = (cosines[best] - cosines[second]).tolist()
    confidence = sign_confidence(margins, 0.05) if np.mean(margins) > 0 else 0.5
    return Turn(
        _TURNS[best],
        rotation,
        tuple((cosines[best] - facing).tolist()),
        float(means[best]),
        float(means[_USUAL].max()),
        min(confidence, most_sure(len(margins))),
    )


def guess_shape(samples: Samples, turns: Mapping[str, Turn]) -> list[Guess]:
    """Range and axes of a shape.

    Args:
        samples: With ``shape``.
        turns: By kind, of normals that are in object space.
    """
    pixels = [values for values in samples["shape"].values() if values.shape[2] >= 3]
    points = [pooled(vectors(values), CELLS) for values in pixels]
    points = [values for values in points if min(values.shape[:2]) > 1]
    if not points:
        return []
    alone, guess = _guess_alone(points)
    if turns:
        kind = max(turns, key=lambda kind: turns[kind].confidence)
        guess = _against(kind, turns[kind], alone, guess)
    return [_guess_range(pixels, points), guess]


def guess_normals_axes(kind: str, turn: Turn) -> Guess:
    """Axes of normals in object space, where other normals show that the shape's are right."""
    evidence = f"they fit the normals of shape with a cosine of {turn.cosine:.2f}"
    if not turn.is_usual:
        evidence += f" if so, of {turn.as_stored:.2f} if {RIGHT}"
    axes = RIGHT if turn.is_usual else _named(turn.matrix)  # which swaps need not be rotations
    return Guess(kind, "axes", axes, turn.confidence, evidence)


def _against(kind: str, turn: Turn, alone: Values, by_itself: Guess) -> Guess:
    """The axes that normals tell, of the two that fit them the one nearer to what points tell."""
    axes = turn.rotation.T * (1 if (turn.rotation.T * alone).sum() >= 0 else -1)
    value = _named(axes)
    evidence = f"its normals fit {kind} with a cosine of {turn.cosine:.2f}"
    if not turn.is_usual:
        evidence += f" if so, of {turn.as_stored:.2f} if {RIGHT}"
        if by_itself.value != value:
            evidence += f"; by itself it looks {by_itself.value}: or else {kind} has other axes"
    return Guess("shape", "axes", value, turn.confidence, evidence)


def _guess_alone(points: Sequence[Values]) -> tuple[Values, Guess]:
    """Axes from the way the points run: ``(3, 3)``, what is stored from x, y and z."""
    along = np.stack([_directions(np.diff(values, axis=1)) for values in points])
    up = np.stack([_directions(-np.diff(values, axis=0)) for values in points])
    x = int(np.abs(along.mean(axis=0)).argmax())
    y = max((axis for axis in range(3) if axis != x), key=lambda axis: abs(up.mean(axis=0)[axis]))
    z = 3 - x - y
    flat = np.concatenate([values.reshape(-1, 3) for values in points])
    bulge, fit = _bulge(flat[:, [x, y, z]])
    signs = (np.sign(along[:, x].mean()), np.sign(up[:, y].mean()), np.sign(bulge))
    axes = np.zeros((3, 3), np.float32)
    for axis, (channel, sign) in enumerate(zip((x, y, z), signs, strict=True)):
        axes[channel, axis] = sign or 1
    evidence = (
        f"x grows along columns ({along[:, x].mean():+.2f}), y up the rows "
        f"({up[:, y].mean():+.2f}), z falls off from the middle ({bulge:+.2f}, {fit:.0%} of its "
        "variance)"
    )
    convex = 1 - 1 / len(points)  # one patch may be the side of a nose
    confidence = min(
        sign_confidence(along[:, x].tolist(), 0.2),
        sign_confidence(up[:, y].tolist(), 0.2),
        0.5 + 0.49 * max(fit, 0) * convex,
    )
    return axes, Guess("shape", "axes", _named(axes), confidence, evidence)


def _named(axes: Values) -> str:
    """``(x, z, -y)``: what is stored in red, green and blue."""
    names = ("".join(("-" if sign < 0 else "") + name for name, sign in zip("xyz", row, strict=True)
                     if sign) for row in axes)  # fmt: skip
    return f"({', '.join(names)})"


def _directions(steps: Values) -> Values:
    """Mean share of each axis in the length of steps, with its sign."""
    return unit(steps).reshape(-1, 3).mean(axis=0)


def _bulge(points: Values) -> tuple[float, float]:
    """By how much z falls with the distance from the middle in x; explained share of z.

    The fit is of a parabola to all points: a head is convex, whatever a patch of it is.
    """
    x, y, z = (points - points.mean(axis=0)).T
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y], axis=1)
    solution, *_ = np.linalg.lstsq(terms, z, rcond=None)
    left = z - terms @ solution
    return -float(solution[3]), 1 - float(left.var() / max(float(z.var()), 1e-20))


def _guess_range(pixels: Sequence[Array], points: Sequence[Values]) -> Guess:
    flat = np.concatenate([values.reshape(-1, 3) for values in points])
    extents = ", ".join(f"{extent:.2f}" for extent in np.ptp(flat, axis=0))
    signed = any(is_signed(values) for values in pixels)
    evidence = f"samples span {extents} in x, y, z as decoded; the scale cannot be seen"
    return Guess(
        "shape", "range", "signed" if signed else "unit", 0.97 if signed else 0.9, evidence
    )
