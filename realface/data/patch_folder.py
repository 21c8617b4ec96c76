"""A folder of patches by kind, as RealFaceDB is lent: no subjects, no positions.

A layout file says where each kind lies and, where it is not the kind's default, what it holds::

    diffuse_albedo: DiffuseAlbedo/{key}.png
    specular_normals: {files: "SpecularNormals/{key}.png", space: object, green: dx}
    specular_albedo: {files: "SpecularAlbedo/{key}.png", encoding: srgb}
"""

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from torch import Tensor

from realface.data.samples import Patch
from realface.errors import InputError
from realface.geometry.normals import normals_from_shape
from realface.maps.files import SUFFIXES
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS, REFLECTANCE, Encoding, Green, Space
from realface.maps.record import MapRecord
from realface.maps.subject import record_of

log = logging.getLogger(__name__)

REALFACEDB_MILLIMETRES_PER_UNIT = 90.0
"""Of RealFaceDB's decoded positions (2 v - 1): a face of about 150 mm fills its range."""

_SHAPE_BLUR = 8.0  # texels: an 8-bit level is 0.7 mm, a 512 patch only 25 to 50 levels deep


@dataclass(frozen=True)
class Entry:
    """One kind of a layout.

    Attributes:
        files: Pattern with one ``{key}``, relative to the source.
        space: Of normals; None: object.
        green: Of normals; None: gl.
        encoding: Of colours; None: the kind's own, linear in files of floats.
    """

    files: str
    space: Space | None = None
    green: Green | None = None
    encoding: Encoding | None = None


class PatchFolder:
    """Patches as ``<kind>/<key>.png``, or wherever a layout file says.

    Args:
        source: The folder.
        layout: YAML as above; None: ``<kind>/{key}`` with any image suffix.
        millimetres_per_unit: Of ``shape`` as decoded; None: RealFaceDB's, stated above.

    Raises:
        InputError: If a kind is unknown, nothing is found, the kinds do not pair, or normals are
            not in object space.
    """

    def __init__(
        self, source: Path, layout: Path | None, millimetres_per_unit: float | None
    ) -> None:
        self._scale = millimetres_per_unit or REALFACEDB_MILLIMETRES_PER_UNIT
        self._layout = read_layout(layout) if layout else _default_layout(source)
        _check_spaces(self._layout)
        self._files = _find(source, self._layout)
        _check(source, self._files)
        for kind, files in self._files.items():
            record = self._record(kind, files[min(files)])
            log.info("%s: taken as %s", kind, record.meaning)
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
            record = self._record(kind, files[key])
            maps[kind] = MapFile(files[key], KINDS[kind], record).whole()
            bits[kind] = record.bits
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

    def _record(self, kind: str, path: Path) -> MapRecord:
        record, said = record_of(path, kind), self._layout[kind]
        return replace(
            record,
            encoding=said.encoding or record.encoding,
            space=said.space or record.space,
            green=said.green or record.green,
        )


def read_layout(path: Path) -> dict[str, Entry]:
    """Entries by kind from a YAML file.

    Raises:
        InputError: If it is no mapping of kinds to patterns with one ``{key}``, or an entry says
            what its kind does not have.
    """
    try:
        layout = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {error}", "a YAML layout file", "check the file") from error
    if not isinstance(layout, dict) or not all(kind in KINDS for kind in layout):
        raise InputError(
            f"{path} with {layout!r}",
            "lines such as `diffuse_albedo: DiffuseAlbedo/{key}.png`",
            f"use the kinds {', '.join(KINDS)}",
        )
    return {kind: _entry(path, kind, said) for kind, said in layout.items()}


def _entry(path: Path, kind: str, said: Any) -> Entry:
    keys = said if isinstance(said, dict) else {"files": said}
    normals, vectors = KINDS[kind].encoding == "unit_vector", KINDS[kind].is_vector
    allowed = {
        "space": get_args(Space) if normals else (),
        "green": get_args(Green) if normals else (),
        "encoding": () if vectors else KINDS[kind].encodings,
    }
    files = keys.get("files")
    good = isinstance(files, str) and files.count("{key}") == 1
    good = good and keys.keys() <= {field.name for field in fields(Entry)}
    if not good or any(keys[name] not in allowed[name] for name in keys.keys() & allowed.keys()):
        choices = [f"{name}: {'|'.join(values)}" for name, values in allowed.items() if values]
        raise InputError(
            f"{path} with {kind}: {said!r}",
            f"a pattern with one {{key}}, or {{files: pattern, {', '.join(choices)}}}",
            "correct this line of the layout",
        )
    return Entry(**keys)


def _check_spaces(layout: Mapping[str, Entry]) -> None:
    for kind, entry in layout.items():
        if entry.space not in (None, "object"):
            raise InputError(
                f"{kind} patches in {entry.space} space",
                "object-space normals: a patch alone has no frame to convert it by",
                f"convert whole maps with `realface add SUBJECT {kind} FILE --space "
                f"{entry.space}` and pack the subjects, or leave {kind} out of the layout",
            )


def _default_layout(source: Path) -> dict[str, Entry]:
    return {kind: Entry(f"{kind}/{{key}}") for kind in KINDS if (source / kind).is_dir()}


def _find(source: Path, layout: Mapping[str, Entry]) -> dict[str, dict[str, Path]]:
    """Files by kind and key."""
    found: dict[str, dict[str, Path]] = {}
    for kind, entry in layout.items():
        before, after = entry.files.split("{key}")
        for path in sorted(source.glob(f"{before}*{after or '.*'}")):
            name = path.relative_to(source).as_posix().removeprefix(before)
            key = name.removesuffix(after) if after else Path(name).stem
            if path.suffix.lower() not in SUFFIXES:
                continue
            if (other := found.setdefault(kind, {}).setdefault(key, path)) != path:
                raise InputError(
                    f"{source} with {other.name} and {path.name} for one {kind}",
                    "one file for each key",
                    "remove one, or give the suffix in a --layout file",
                )
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
