"""Whether files paired by their names show the same place: their detail is compared.

Pores and creases leave marks in every map of a skin patch: they are darker, they bend the
normals, they roughen. For two kinds the detail of each key is correlated with that of the same
key and of other keys. If the own partner does not stand out, the names pair what does not belong
together; a number that is missing in one folder shifts all that follow.

On 240 fresh procedural patches in sets of 16, in 8 and in 16 bits, no right kind of 150 was blamed
and 9 right maps of 1920, all albedos; all of 30 shifted kinds were found, 44 of 48 swapped maps.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256

import numpy as np

from realface.data.discovery.axes import coarse_normals, coarse_shapes, fit_turn
from realface.data.discovery.faults import Problem
from realface.data.discovery.samples import (
    Samples,
    Values,
    as_floats,
    coarse_shape_normals,
    pooled,
    unit,
    vectors,
)
from realface.maps.files import Array
from realface.maps.kinds import KINDS

_SIDE = 128  # texels to which detail is reduced
_SMALLEST = 48  # texels; smaller maps have too little detail
_CELLS = 8  # a side of the coarse normals
_FACING = 0.9  # mean z of coarse normals from which they look tangent: a shape is no partner
_LEAST_KEYS = 8  # below, there is too little to compare with

# Standard deviations by which right pairs fit better than wrong ones. Procedural faces: 12 to 80
# for albedos and normals, 3 to 6 for shape; below 1 where nothing is shared.
_BY_CHANCE = 5.0  # over the root of the number of keys: no median above means no relation
_STANDS_OUT = 3.0  # a median above means that every key can be judged
_FITS = 2.0  # the least of one map, either sign; about one wrong map in twenty reaches it too
_ONE_BY_ONE = ("height", "strength", "across", "down")
"""Features by which single maps are judged. Coarse normals, all that a shape has, tell a whole
kind but no single map: on fresh procedural patches they blamed one right shape in ten, and found
fewer than half of the wrong ones."""

_Features = Mapping[str, Values]
_Comparison = tuple[bool, dict[str, float]]  # whether keys are judged by it, the score of each


def misaligned(samples: Samples) -> list[Problem]:
    """Kinds, and single maps of kinds that fit otherwise, that fit no other map of their keys.

    A hint and no proof: maps without detail are left out, copies of a whole patch too, and so are
    kinds with fewer than eight maps of a size of 48 texels or more.

    Args:
        samples: As `realface.data.discovery.samples.read_samples` returns.

    Returns:
        One problem for each kind that fits no other, and one for each map of other kinds.
    """
    copies = _copies(samples)
    turn = _turn_of_shape(samples)
    features = {}
    for kind in (kind for kind in KINDS if kind in samples and kind != "mask"):
        pixels = {key: values for key, values in samples[kind].items() if key not in copies}
        if kind != "shape":
            features[kind] = _features(pixels, partial(_of_map, kind))
        elif turn is not None:
            features[kind] = _features(pixels, partial(_of_shape, turn))
    scores: dict[str, list[_Comparison]] = {kind: [] for kind in features}
    for first, second in itertools.combinations(features, 2):
        of_keys = _compare(features[first], features[second])
        scores[first] += of_keys
        scores[second] += of_keys
    return [problem for kind, partners in scores.items() for problem in _judge(kind, partners)]


def _turn_of_shape(samples: Samples) -> Values | None:
    """By which matrix a shape's normals are compared: other axes are no misalignment.

    None without normals in object space: there is nothing to compare with.
    """
    turns = []
    for kind in (kind for kind in samples if KINDS[kind].encoding == "unit_vector"):
        shapes = coarse_shapes(samples, kind)
        normals = {key: coarse_normals(samples[kind][key]) for key in shapes}
        if shapes and np.mean([one[..., 2].mean() for one in normals.values()]) < _FACING:
            turns.append(fit_turn(normals, shapes))
    return max(turns, key=lambda turn: turn.cosine).matrix if turns else None


def _copies(samples: Samples) -> set[str]:
    """Keys that are an earlier one once more, in all kinds: no partner can fit them best."""
    seen: set[tuple[bytes | None, ...]] = set()
    copies = set()
    for key in sorted({key for files in samples.values() for key in files}):
        maps = (files.get(key) for files in samples.values())
        digests = tuple(None if one is None else sha256(one.tobytes()).digest() for one in maps)
        if digests in seen:
            copies.add(key)
        seen.add(digests)
    return copies


def _judge(kind: str, partners: Sequence[_Comparison]) -> list[Problem]:
    medians = [float(np.median(list(scores.values()))) for _, scores in partners]
    if not medians:
        return []
    if max(medians) < _BY_CHANCE / np.sqrt(max(len(scores) for _, scores in partners)):
        reason = (
            "in the keys looked at, it fits no other map better than another key's "
            f"({max(medians):.1f} standard deviations)"
        )
        return [Problem("misaligned", kind, reason)]
    judged: set[str] = set()
    fitting: set[str] = set()
    for (one_by_one, scores), median in zip(partners, medians, strict=True):
        if one_by_one and median >= _STANDS_OUT:
            judged |= scores.keys()
            fitting |= {key for key, score in scores.items() if abs(score) >= _FITS}
    reason = f"its {kind} fits its other maps no better than another key's"
    return [Problem("misaligned", key, reason) for key in sorted(judged - fitting)]


def _compare(first: Mapping[str, _Features], second: Mapping[str, _Features]) -> list[_Comparison]:
    """How well each key of two kinds fits, once for each two features that can be compared."""
    keys = _of_one_size(sorted(first.keys() & second.keys()), first, second)
    if len(keys) < _LEAST_KEYS:
        return []
    one, other = first[keys[0]], second[keys[0]]
    found = []
    for a, b in itertools.product(one, other):
        if one[a].shape == other[b].shape:
            scores = _scores([first[key][a] for key in keys], [second[key][b] for key in keys])
            found.append((a in _ONE_BY_ONE, dict(zip(keys, scores, strict=True))))
    return found


def _of_one_size(keys: Sequence[str], *kinds: Mapping[str, _Features]) -> list[str]:
    """Keys whose features have the sizes that most keys have."""
    sizes = {
        key: tuple(f.shape for features in kinds for f in features[key].values()) for key in keys
    }
    [(usual, _)] = Counter(sizes.values()).most_common(1) or [((), 0)]
    return [key for key in keys if sizes[key] == usual]


def _scores(first: Sequence[Values], second: Sequence[Values]) -> list[float]:
    """By how many standard deviations of wrong pairs each right pair fits better than they.

    Where most fit by opposite signs (pores are dark and deep), that is what counts as fitting.
    """
    fits = np.stack(first).astype(np.float64) @ np.stack(second).astype(np.float64).T
    fits = -np.log(1.0001 - fits)  # fits near 1 differ little in themselves
    wrong = ~np.eye(len(first), dtype=bool)
    scores = (np.diagonal(fits) - fits[wrong].mean()) / max(float(fits[wrong].std()), 1e-9)
    return (scores if np.median(scores) >= 0 else -scores).tolist()


def _features(
    pixels: Mapping[str, Array], of_map: Callable[[Array], dict[str, Values]]
) -> dict[str, _Features]:
    """By key and name: flat features of unit length, whose product is a correlation."""
    return {
        key: {name: _normalised(feature) for name, feature in of_map(values).items()}
        for key, values in pixels.items()
        if min(values.shape[:2]) >= _SMALLEST
    }


def _of_shape(turn: Values, pixels: Array) -> dict[str, Values]:
    return {"coarse": coarse_shape_normals(pixels, _CELLS + 2) @ turn.T}


def _of_map(kind: str, pixels: Array) -> dict[str, Values]:
    if not KINDS[kind].is_vector:
        fine = pooled(as_floats(pixels[..., :3]).mean(axis=-1, keepdims=True), _SIDE)[..., 0]
        return {"height": _detail(fine), "strength": _strength(fine[..., None])}
    normals = vectors(pixels)
    fine = pooled(normals, _SIDE)
    return {
        "coarse": unit(pooled(normals, _CELLS + 2))[1:-1, 1:-1],
        "across": _detail(np.gradient(fine[..., 0], axis=1)),
        "down": _detail(np.gradient(fine[..., 1], axis=0)),
        "strength": _strength(fine),
    }


def _detail(values: Values) -> Values:
    """What a mean over 9 x 9 texels leaves, without the border."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    means = (sums[9:, 9:] - sums[:-9, 9:] - sums[9:, :-9] + sums[:-9, :-9]) / 81
    return values[4:-4, 4:-4] - means


def _strength(values: Values) -> Values:
    """Log of the detail's strength around each texel, ``(h, w, C)`` to ``(h', w')``."""
    power = sum(_detail(values[..., channel]) ** 2 for channel in range(values.shape[-1]))
    blocks = pooled(np.asarray(power)[..., None], _SIDE // 4)[..., 0]
    return _detail(np.log(blocks + 1e-8))


def _normalised(feature: Values) -> Values:
    """Flat, at unit length; coarse normals keep their mean, since it is what they tell."""
    flat = feature.ravel()
    if feature.ndim == 2:
        flat = flat - flat.mean()
    return (flat / max(float(np.sqrt((flat * flat).sum())), 1e-12)).astype(np.float32)
