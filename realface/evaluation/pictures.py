"""Where a prediction is wrong, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.evaluation.pairs import Pair
from realface.maps.encoding import linear_to_srgb
from realface.maps.files import write_image
from realface.maps.kinds import KINDS
from realface.metrics.angular import angular_error_map
from realface.report.gallery import label
from realface.report.page import Tile, page, picture, to_bytes

SHOWN = 4
"""Subjects that are drawn, the first by name."""

_TILE = 400  # px wide
_TIMES = 4  # errors of albedos
_WHITE = 20.0  # degrees, the angle that is drawn white


def write_errors(pairs: Sequence[Pair], path: Path) -> None:
    """Draw predicted map, true map and error, a row a map; errors are averaged after they arise.

    Args:
        pairs: The first `SHOWN` are drawn.
        path: PNG to write.

    Raises:
        InputError: If a map cannot be read.
        FailureError: If the disk refuses.
    """
    rows = []
    for pair in pairs[:SHOWN]:
        mask = _mask(pair)
        rows += [_row(pair, mask, kind) for kind in pair.kinds]
    write_image(path, page(rows, _TILE, 3))


def _mask(pair: Pair) -> Tensor:
    """The valid texels, ``(1, 1, H, W)`` in {0, 1}."""
    if pair.mask is None:
        return torch.ones(1, 1, *pair.size)
    return (pair.mask.whole()[None] > 0.5).float()


def _row(pair: Pair, mask: Tensor, kind: str) -> list[Tile]:
    made, true = (s.open(kind).whole()[None] for s in (pair.predicted, pair.truth))
    if KINDS[kind].encoding == "unit_vector":
        error = angular_error_map(made, true) / _WHITE
        words = f"angle, white: {_WHITE:g} deg"
    else:
        a, b = (_srgb(values, kind) for values in (made, true))
        error = _TIMES * (a - b).abs()
        words = f"error x{_TIMES}"
    valid = _small(mask)
    return [
        *(
            Tile(label(pair.name, f"{word} {kind}"), picture(_small(values) * valid, kind))
            for word, values in (("predicted", made), ("true", true))
        ),
        Tile(f"{kind}: {words}", to_bytes(_small(error.clamp(max=1) * mask))),
    ]


def _srgb(values: Tensor, kind: str) -> Tensor:
    return linear_to_srgb(values) if KINDS[kind].encoding == "linear" else values


def _small(values: Tensor) -> Tensor:
    """``(1, C, H, W)`` to ``(C, h, w)``, a tile wide."""
    height, width = values.shape[-2:]
    size = max(1, round(height * _TILE / width)), _TILE
    mode = "nearest" if width <= _TILE else "area"
    return F.interpolate(values, size, mode=mode)[0]
