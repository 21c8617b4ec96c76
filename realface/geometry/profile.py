"""Landmarks of a face from its geometry alone: no image, no network, no template.

A roughly frontal, neutral face is drawn as a depth image, and the points of its midline profile
are found where anthropometry defines them: on bays and hills of the profile (names and places
after Farkas, "Anthropometry of the Head and Face", 2nd ed., 1994). Paired points follow from the
pits of the depth image beside the midline.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from realface.errors import InputError
from realface.geometry.padding import fill_from_around

MIDLINE = ("nasion", "nose_tip", "subnasale", "stomion", "pogonion")
"""Root of the nose, its tip, its foot, where the lips meet, the chin: downwards."""

PAIRED = ("inner_eye", "nose_wing", "mouth_corner")
"""Found on both sides, as ``<name>_left`` and ``<name>_right`` of the subject: left has larger x.

``ear_left`` and ``ear_right`` join them where the head has ears.
"""

_HALF_WIDTH, _ABOVE, _BELOW = 80, 110, 130  # of the depth image around the tip of the nose [mm]
_FACING = 0.05  # least z of a normal that the depth image takes
_SOFT = 0.8  # deviation of the blur of the depth image [mm]
_THROUGH = 4.0  # depth of a cell behind its neighbours that no fold of a face has [mm]
_EAR = 5.0  # how far ears stand out of the head above them, at least [mm]


def face_landmarks(shape: Tensor, normals: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Landmarks of a face that stands upright and looks towards +z.

    Distances in the search are adults' ranges, wide enough for a scale that is a fifth off.

    Args:
        shape: Positions [mm], object space, ``(3, H, W)``; any origin. Texels at most 2 mm.
        normals: Its unit normals, ``(3, H, W)``.
        mask: ``(1, H, W)``, valid where above 0.5.

    Returns:
        Name to position [mm], ``(3,)`` on the CPU: `MIDLINE`, `PAIRED`, and ears if there are.
        ``x`` of the midline's points is that of the tip of the nose.

    Raises:
        InputError: If there is no such face: empty, turned away, upside down, or flat.
    """
    valid = (mask[0] > 0.5) & torch.isfinite(shape).all(0)
    points = shape[:, valid].float().cpu()
    facing = normals[2][valid].cpu() > _FACING
    if not facing.any():
        raise _no_face("nothing that faces +z")
    tip = _nose_tip(points[:, facing])
    depth = _smooth(_depth_image(points[:, facing], tip))
    profile = depth[:, _HALF_WIDTH - 2 : _HALF_WIDTH + 3].median(dim=1).values
    rows = _midline_rows(profile)
    _require_face(depth, profile, rows)

    places = {name: (0, row) for name, row in rows.items()}
    for side, name in ((1, "left"), (-1, "right")):
        half = depth[:, _HALF_WIDTH:] if side > 0 else depth[:, : _HALF_WIDTH + 1].flip(1)
        for part, (column, row) in _paired(half, rows).items():
            places[f"{part}_{name}"] = (side * column, row)
    found = {
        name: tip
        + torch.tensor((float(x), float(_ABOVE - row), float(depth[row, _HALF_WIDTH + x])))
        for name, (x, row) in places.items()
    }
    return found | _ears(points, found)


def _no_face(given: str) -> InputError:
    return InputError(
        f"a mesh with {given}",
        "a face that stands upright (+y up) and looks towards +z, neutral, in a sensible scale",
        "turn the mesh, state its millimetres per unit, or give the landmarks in a file",
    )


def _nose_tip(points: Tensor) -> Tensor:
    """Most forward of ``(3, N)`` points near the middle of what faces the viewer, ``(3,)``."""
    low, high = points[0].min(), points[0].max()
    central = (points[0] - (low + high) / 2).abs() < 0.2 * (high - low)
    if not central.any():
        raise _no_face("nothing in the middle")
    points = points[:, central]
    return points[:, points[2].argmax()]


def _depth_image(points: Tensor, tip: Tensor) -> Tensor:
    """Foremost z - tip's z in cells of 1 mm around the tip; NaN where nothing is. Row 0 is up.

    Cells that lie far behind their neighbours are closed: what shows through between samples.
    """
    height, width = _ABOVE + _BELOW + 1, 2 * _HALF_WIDTH + 1
    column = (points[0] - tip[0]).round().long() + _HALF_WIDTH
    row = (tip[1] - points[1]).round().long() + _ABOVE
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    depth = torch.full((height * width,), -math.inf)
    cells = (row * width + column)[inside]
    depth.scatter_reduce_(0, cells, (points[2] - tip[2])[inside], "amax")
    depth = depth.view(height, width)
    closed = _closed(depth, 1)
    depth = torch.where(closed - depth > _THROUGH, closed, depth)
    return torch.where(depth.isinf(), math.nan, depth)


def _smooth(depth: Tensor) -> Tensor:
    """Holes filled from what surrounds them, and all blurred a little."""
    known = ~depth.isnan()
    return fill_from_around(depth.nan_to_num(0.0), known, (_SOFT, 3.0, 7.0, 20.0, 60.0))


def _midline_rows(profile: Tensor) -> dict[str, int]:
    """Rows of the midline's landmarks in the profile ``(rows,)``, one a millimetre."""
    tip = _ABOVE
    nasion = _deepest(profile, tip - 75, tip, tip - 60, tip - 20)
    lip = tip + 20 + int(profile[tip + 20 : tip + 45].argmax())
    subnasale = _deepest(profile, tip, lip, tip + 5, lip - 2)
    stomion = _first_notch(profile, subnasale + 9, subnasale + 42, 2)
    sulcus = _first_notch(profile, stomion + 9, stomion + 26, 8)
    pogonion = sulcus + 4 + int(profile[sulcus + 4 : sulcus + 30].argmax())
    return {
        "nasion": nasion,
        "nose_tip": tip,
        "subnasale": subnasale,
        "stomion": stomion,
        "pogonion": pogonion,
    }


def _deepest(profile: Tensor, start: int, end: int, first: int, last: int) -> int:
    """Row in [first, last] that lies farthest behind the chord of the rows start and end."""
    at = torch.arange(first, max(last, first) + 1)
    share = (at - start) / (end - start)
    chord = profile[start] + share * (profile[end] - profile[start])
    return first + int((chord - profile[at]).argmax())


def _first_notch(profile: Tensor, first: int, last: int, reach: int) -> int:
    """Uppermost notch of [first, last], by second difference over ``reach`` rows.

    A notch counts if it is half as sharp as the sharpest: the fold below the lips may be sharper
    than where they meet.
    """
    at = torch.arange(first, last + 1)
    sharp = profile[at - reach] + profile[at + reach] - 2 * profile[at]
    peak = (sharp[1:-1] >= sharp[:-2]) & (sharp[1:-1] > sharp[2:]) & (sharp[1:-1] > sharp.max() / 2)
    return int(at[1:-1][peak][0]) if peak.any() else int(at[sharp.argmax()])


def _require_face(depth: Tensor, profile: Tensor, rows: dict[str, int]) -> None:
    """A nose that stands out, overhangs downwards, and has a root above and lips below it."""
    tip, aside = rows["nose_tip"], 30
    beside = (depth[tip, _HALF_WIDTH - aside] + depth[tip, _HALF_WIDTH + aside]) / 2
    if not 8 < -float(beside) < 60:
        raise _no_face(f"a foremost point that stands {-float(beside):.0f} mm before its sides")
    if float(profile[tip + 14]) > float(profile[tip - 14]):
        raise _no_face("a nose that falls off more slowly downwards than upwards")
    if float(profile[rows["nasion"]]) > -6:
        raise _no_face("no root of the nose above its tip")


def _paired(half: Tensor, rows: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Column outwards and row of the paired landmarks; ``half`` starts at the midline."""
    eye = _top(_pits(half, 7), rows["nasion"] - 4, rows["nasion"] + 14, 10, 22)
    across = half[:, :-2] - half[:, 2:]  # how it falls outwards, at the column between
    tip = rows["nose_tip"]
    wing = int(across[tip - 2 : rows["subnasale"] + 1, 9:27].mean(0).argmax()) + 10
    return {
        "inner_eye": eye,
        "nose_wing": (wing, (tip + rows["subnasale"]) // 2),
        "mouth_corner": _mouth_corner(half, rows["stomion"]),
    }


def _pits(depth: Tensor, reach: int) -> Tensor:
    """Depth of what is narrower than twice ``reach`` both ways: grey closing minus the image."""
    return _closed(depth, reach) - depth


def _closed(image: Tensor, reach: int) -> Tensor:
    """Grey closing of ``(h, w)`` by a square of side 2 ``reach`` + 1."""
    side = 2 * reach + 1
    grown = max_pool2d(image[None], side, 1, reach)
    return -max_pool2d(-grown, side, 1, reach)[0]


def _top(image: Tensor, top: int, bottom: int, left: int, right: int) -> tuple[int, int]:
    """Column and row of the largest value of a window, ends included."""
    window = image[top : bottom + 1, left : right + 1]
    index = int(window.argmax())
    return left + index % window.shape[1], top + index // window.shape[1]


def _mouth_corner(half: Tensor, stomion: int) -> tuple[int, int]:
    """Where the groove between the lips ends, outwards."""
    first, last = stomion - 5, stomion + 7  # corners hang rather than rise
    depth, row = _pits(half[:, :40], 6)[first : last + 1].max(dim=0)
    ended = depth[10:] < 0.2 * depth[:10].median()
    end = 10 + int(ended.int().argmax()) if ended.any() else 25
    return end, first + int(row[end - 4])


def _ears(points: Tensor, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Middle of each ear's rim, if both ears stand out of the head above them."""
    middle, top, bottom = found["nose_tip"][0], found["nasion"][1], found["subnasale"][1]
    ears: dict[str, Tensor] = {}
    for side, name in ((1.0, "left"), (-1.0, "right")):
        outward = (points[0] - middle) * side
        beside = (points[1] < top + 10) & (points[1] > bottom - 5)
        above = (points[1] > top + 30) & (points[1] < top + 50)
        if not (beside.any() and above.any()):
            return {}
        furthest = outward[beside].max()
        if furthest < outward[above].max() + _EAR:
            return {}
        ears[f"ear_{name}"] = points[:, beside & (outward > furthest - 6)].median(dim=1).values
    return ears
