"""A folder of patches by kind, as RealFaceDB is lent: no subjects, no positions."""

import logging
import random
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from torch import Tensor

from realface.data.samples import Patch
from realface.errors import InputError
from realface.geometry.normals import normals_from_shape
from realface.maps.files import SUFFIXES, read_image
from realface.maps.io import decode
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.maps.subject import record_of

log = logging.getLogger(__name__)

REALFACEDB_MILLIMETRES_PER_UNIT = 90.0
"""Of RealFaceDB's decoded positions (2 v - 1): a face of about 150 mm fills its range."""

_SHAPE_BLUR = 8.0  # texels: an 8-bit level is 0.7 mm, a 512 patch only 25 to 50 levels deep


class PatchFolder:
    """Patches as ``<kind>/<key>.png``, or wherever a layout file says.

    Args:
        source: The folder.
        layout: YAML of ``kind: pattern`` with one ``{key}`` each, relative to ``source``; None:
            ``<kind>/{key}`` with any image suffix.
        millimetres_per_unit: Of ``shape`` as decoded; None: RealFaceDB's, stated above.

    Raises:
        InputError: If a kind is unknown, nothing is found, or the kinds do not pair.
    """

    def __init__(
        self, source: Path, layout: Path | None, millimetres_per_unit: float | None
    ) -> None:
        self._scale = millimetres_per_unit or REALFACEDB_MILLIMETRES_PER_UNIT
        self._files = _find(source, read_layout(layout) if layout else _default_layout(source))
        _check(source, self._files)
        if "shape" in self._files and millimetres_per_unit is None:
            log.warning("shape is taken as %g millimetres per unit", self._scale)
        self.keys = sorted(next(iter(self._files.values())))
        log.info("%d patches of %s", len(self.keys), ", ".join(sorted(self._files)))

    def split(self, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
        """Numbers of the training and validation patches, at random: no subject is known."""
        log.warning("no subjects are known: validation patches may show faces seen in training")
        numbers = list(range(len(self.keys)))
        random.Random(seed).shuffle(numbers)
        held = min(max(1, round(val_fraction * len(numbers))), len(numbers) - 1)
        return sorted(numbers[held:]), sorted(numbers[:held])

    def read(self, number: int) -> Patch:
        """One patch; ``shape_normals`` are derived from ``shape`` where they are not there."""
        key = self.keys[number]
        maps: dict[str, Tensor] = {}
        bits: dict[str, int] = {}
        for kind, files in self._files.items():
            pixels = read_image(files[key])
            record = record_of(files[key], kind, pixels)
            maps[kind], bits[kind] = decode(pixels, KINDS[kind], record), record.bits
        sizes = {kind: tuple(values.shape[-2:]) for kind, values in maps.items()}
        if len(set(sizes.values())) != 1:
            raise InputError(
                f"patch {key} with maps of sizes {sizes}", "one size", "mend or remove this patch"
            )
        if "shape" in maps:
            maps["shape"] = maps["shape"] * self._scale
            if "shape_normals" not in maps:
                valid = torch.ones_like(maps["shape"][:1])
                maps["shape_normals"] = normals_from_shape(maps["shape"], valid, _SHAPE_BLUR)
                bits["shape_normals"] = 16
        return Patch(
            key=f"{number:06d}", subject=None, y=None, x=None, map_size=None,
            millimetres_per_texel=None, centre=(0.0, 0.0, 0.0), bits=bits, maps=maps,
        )  # fmt: skip


def read_layout(path: Path) -> dict[str, str]:
    """Patterns by kind from a YAML file.

    Raises:
        InputError: If it is no mapping of kinds to patterns with one ``{key}``.
    """
    try:
        patterns = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {error}", "a YAML layout file", "check the file") from error
    good = isinstance(patterns, dict) and all(
        kind in KINDS and isinstance(pattern, str) and pattern.count("{key}") == 1
        for kind, pattern in patterns.items()
    )
    if not good:
        raise InputError(
            f"{path} with {patterns!r}",
            "lines such as `diffuse_albedo: DiffuseAlbedo/{key}.png`",
            f"use the kinds {', '.join(KINDS)} and one {{key}} in each pattern",
        )
    return dict(patterns)


def _default_layout(source: Path) -> dict[str, str]:
    return {kind: f"{kind}/{{key}}" for kind in KINDS if (source / kind).is_dir()}


def _find(source: Path, layout: Mapping[str, str]) -> dict[str, dict[str, Path]]:
    """Files by kind and key."""
    found: dict[str, dict[str, Path]] = {}
    for kind, pattern in layout.items():
        before, after = pattern.split("{key}")
        for path in sorted(source.glob(f"{before}*{after or '.*'}")):
            name = path.relative_to(source).as_posix().removeprefix(before)
            key = name.removesuffix(after) if after else Path(name).stem
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(kind, {})[key] = path
    return found


def _check(source: Path, files: Mapping[str, Mapping[str, Path]]) -> None:
    if not any(kind in files for kind in REFLECTANCE):
        raise InputError(
            f"{source} without patches of any reflectance map",
            f"subject folders with a subject.json, or folders named {', '.join(REFLECTANCE)}",
            "give a --layout file that says where each kind lies",
        )
    everything = set().union(*files.values())
    lacking = {kind: everything - set(paths) for kind, paths in files.items()}
    if any(lacking.values()):
        listed = "; ".join(
            f"{kind} lacks {len(keys)}: {', '.join(sorted(keys)[:5])}"
            for kind, keys in lacking.items()
            if keys
        )
        raise InputError(
            f"{source}: {listed}",
            "the same keys for every kind",
            "complete or remove these patches",
        )
    if len(everything) < 2:
        raise InputError(
            f"{source} with one patch", "at least two: training and validation", "add patches"
        )
