"""Lent patches, as RealFaceDB's are: no subjects, no positions, each patch its own files."""

from dataclasses import dataclass

import torch
from torch import Tensor

from realface.data.packing.captures import Capture, SourceMap
from realface.data.packing.groups import Signature, signature
from realface.data.samples import Patch
from realface.geometry.quantised import normals_from_quantised
from realface.maps.kinds import REFLECTANCE
from realface.maps.record import SIGNED_RANGE

REALFACEDB_MILLIMETRES_PER_UNIT = 90.0
"""Of RealFaceDB's decoded positions (2 v - 1): a face of about 150 mm fills its range."""


@dataclass(frozen=True)
class LentPatch:
    """A patch of a source that knows neither subjects nor positions, before it is read.

    Attributes:
        capture: Its files; its name is the key in the source.
        number: Its place among all, which becomes its key.
        source: What `About.source` says.
        scale: Millimetres per unit of ``shape``.
    """

    capture: Capture
    number: int
    source: str
    scale: float

    def sample(self) -> Patch:
        """The patch; ``shape_normals`` are derived from ``shape`` where they are not there."""
        maps: dict[str, Tensor] = {}
        bits: dict[str, int] = {}
        for item in self.capture.maps:
            maps[item.kind] = item.open().whole()
            bits[item.kind] = item.record.bits
        if "shape" in maps:
            maps["shape"] = maps["shape"] * self.scale
            if "shape_normals" not in maps:
                maps["shape_normals"] = self._shape_normals(maps["shape"])
                bits["shape_normals"] = 16
        return Patch(
            key=f"{self.number:06d}", subject=None, y=None, x=None, map_size=None,
            millimetres_per_texel=None, centre=(0.0, 0.0, 0.0), source=self.source,
            bits=bits, maps=maps,
        )  # fmt: skip

    def _shape_normals(self, shape: Tensor) -> Tensor:
        item = self.capture.map_of("shape")
        assert item is not None
        level = _level(item, shape / self.scale) * self.scale
        return normals_from_quantised(shape, torch.ones_like(shape[:1]), level)


def _level(item: SourceMap, shape: Tensor) -> float:
    """Distance between the levels of a stored shape, in its units; 0 for floats."""
    if item.record.range is None or item.record.range == SIGNED_RANGE:
        return 0.0
    span, offset = item.record.range.scale, torch.tensor(item.record.range.offset)
    if item.record.bits == 16:
        stored = (shape - offset.view(3, 1, 1)) / span * 255
        if (stored - stored.round()).abs().max() < 1e-3:  # 8 bits in a file of 16
            return span / 255
    return float(span / (2**item.record.bits - 1))


def signature_of(capture: Capture, scale: float) -> Signature:
    """What near-duplicates of a patch are found by.

    Args:
        capture: The patch; it has a ``shape``.
        scale: Millimetres per unit of it.

    Raises:
        InputError: If a map cannot be read.
    """
    kind = next(kind for kind in REFLECTANCE if kind in capture.kinds)
    reflectance, shape = capture.map_of(kind), capture.map_of("shape")
    assert reflectance is not None
    assert shape is not None
    return signature(reflectance.open().whole(), shape.open().whole() * scale)
