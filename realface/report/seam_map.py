"""Where windows of a stitched map disagreed, for people to look at."""

from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F

from realface.maps.files import write_image
from realface.report.page import Tile, page, to_bytes
from realface.tiling.disagreement import Disagreement

_TILE = 768  # px wide
_ROUNDING = 1e-6  # drawn at full contrast, a last bit would look like a seam


def write_seam_map(disagreements: Mapping[str, Disagreement], path: Path) -> bool:
    """Draw how far cross-faded windows differed, square by square of the map.

    Args:
        disagreements: By map; those of windows that were cut, or that differ by rounding alone,
            have nothing to show.
        path: PNG to write.

    Returns:
        Whether there was anything to draw.

    Raises:
        FailureError: If the disk refuses.
    """
    rows = [[_tile(name, one)] for name, one in disagreements.items() if one.max > _ROUNDING]
    if rows:
        write_image(path, page(rows, _TILE, 1))
    return bool(rows)


def _tile(name: str, one: Disagreement) -> Tile:
    scale = max(1, _TILE // one.picture.shape[1])
    shown = (one.picture / one.max).sqrt()[None, None]  # small differences are to be seen too
    large = F.interpolate(shown, scale_factor=scale, mode="nearest")[0]
    return Tile(f"{name}: black 0, white {one.max:.3g}, mean {one.mean:.3g}", to_bytes(large))
