"""A subject folder from a texture: with the mesh that it belongs to, or on a flat sheet."""

import json
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realface.errors import InputError
from realface.geometry.flat_sheet import EAR_TO_EAR, flat_sheet, texel_from_width
from realface.geometry.subject_maps import add_map, bake_subject
from realface.maps.background import Background, texture_mask
from realface.maps.files import read_form
from realface.maps.io import MapFile
from realface.maps.kinds import KINDS
from realface.maps.record import SubjectRecord
from realface.maps.subject import Subject, record_of, save_map
from realface.pipeline.stages import Offsets, chains, given_kinds, lay_windows, offset_kinds
from realface.pipeline.statistics import Mode
from realface.pipeline.tuning import first_plan
from realface.weights import TrainedTranslator

log = logging.getLogger(__name__)

_STAMP_NAME = "made_from.json"
_MOST_BACKGROUND = 0.25  # of a mesh's UVs over a texture's background: more looks like a mistake


@dataclass(frozen=True)
class TextureFiles:
    """What a user gives in place of a subject folder.

    Attributes:
        texture: The image.
        mesh: With UVs; None: there is none, and a flat sheet stands for it.
        mask: White where the texture is valid; None: the texture's own, see ``background``.
        background: Whether the texture tells its mask where none is given.
        flip_v: The mesh's v runs downwards.
        millimetres_per_unit: Of the mesh; None: estimated.
        texel: Side of a texel on the skin [mm]; None: the mesh's, or assumed.
    """

    texture: Path
    mesh: Path | None = None
    mask: Path | None = None
    background: Background = "auto"
    flip_v: bool = False
    millimetres_per_unit: float | None = None
    texel: float | None = None

    def check(self) -> None:
        """Refuse, before any work, what cannot be used.

        Raises:
            InputError: With what is at fault.
        """
        if not self.texture.exists():
            raise InputError(
                f"--input {self.texture}, which does not exist",
                "a subject folder, or a texture",
                "check the path",
            )
        for name, given in (
            ("--flip-v", self.flip_v or None),
            ("--millimetres-per-unit", self.millimetres_per_unit),
        ):
            if self.mesh is None and given is not None:
                raise InputError(
                    f"{name} without a --mesh",
                    "what it is said of",
                    "give the mesh, or leave it out",
                )
        if self.texel is not None and not 0 < self.texel < math.inf:
            raise InputError(f"--texel {self.texel:g}", "a positive number", "correct the flag")
        if self.texel is not None and self.millimetres_per_unit is not None:
            raise InputError(
                "--texel and --millimetres-per-unit",
                "one of them: either tells the scale of the mesh",
                "leave one out",
            )
        self.about()
        size = read_form(self.texture)[0]
        if self.mask is not None and read_form(self.mask)[0] != size:
            raise InputError(
                f"{self.mask}, which is not {size[0]}x{size[1]} (height x width)",
                f"a mask of the texture's size ({self.texture})",
                "resample the mask",
            )

    def about(self) -> SubjectRecord:
        """What the subject's json says besides its maps."""
        if self.mesh is None:
            return SubjectRecord(millimetres_per_unit=1.0, source=self.texture.name)
        try:
            return SubjectRecord(
                millimetres_per_unit=self.millimetres_per_unit, source=self.mesh.name
            )
        except ValueError as error:
            raise InputError(
                f"--millimetres-per-unit: {error}",
                "a positive number",
                "give the mesh's scale, or leave it out to have it estimated",
            ) from error

    def stamp(self) -> str:
        """Files by name, size and time, and what is said of them: the same need no second bake."""
        paths = [path for path in (self.texture, self.mesh, self.mask) if path is not None]
        stats = [(path.resolve().as_posix(), path.stat()) for path in paths if path.exists()]
        files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        mine = (self.millimetres_per_unit, self.background, self.flip_v, self.texel)
        sheet = None if self.mesh is not None else "flat sheet"
        return json.dumps([*files, *mine, sheet, self.mask is None]) + "\n"


def check_kinds(texture: Path, translators: Mapping[str, TrainedTranslator]) -> None:
    """Refuse translators that read what neither a texture nor a mesh gives.

    Raises:
        InputError: With the kinds that are missing.
    """
    kinds = given_kinds(translators)
    missing = [kind for kind in kinds if kind not in ("texture", "shape", "shape_normals")]
    if missing:
        raise InputError(
            f"{texture} and a mesh, without {', '.join(missing)}",
            f"all that {', '.join(translators)} read",
            "give the translator that makes it too, or a subject folder that holds it",
        )


def check_windows(
    texture: Path,
    translators: Mapping[str, TrainedTranslator],
    layout: Mapping[str, Any],
    *,
    fused: bool,
    statistics: Mode,
    offsets: Offsets,
) -> None:
    """Refuse, before the long bake, windows that do not fit the texture.

    Raises:
        InputError: As `realface.pipeline.Job`.
    """
    size = read_form(texture)[0]
    for chain in chains(translators, fused):
        agree = not chain.spatial_statistics or statistics != "live"
        lay = partial(lay_windows, size, chain, chain.kinds, agree=agree, **layout)
        laid = first_plan(lay, layout.get("window"))
        offset_kinds(offsets, chain, laid, agree)


def subject_of_texture(files: TextureFiles, folder: Path) -> Subject:
    """A subject folder; one that was made from the same files is kept.

    Args:
        files: Checked.
        folder: Of the subject; replaced where it is there and of other files.

    Raises:
        InputError: If a file cannot be used, or no texel is left.
        FailureError: If the disk refuses; nothing is left half-made.
    """
    stamp = files.stamp()
    if _read_stamp(folder) == stamp:
        return Subject(folder)
    unfinished = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        valid = _valid(files)
        if files.mesh is None:
            _lay_flat(files, valid, unfinished)
        else:
            height, width = read_form(files.texture)[0]
            bake_subject(
                files.mesh, unfinished, height, width, flip_v=files.flip_v, about=files.about()
            )
            _narrow_mask(files, valid, unfinished)
        add_map(unfinished, "texture", files.texture)
        (unfinished / _STAMP_NAME).write_text(stamp, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    log.info("%s: made from %s and %s", folder, files.texture, files.mesh or "a flat sheet")
    return Subject(folder)


def _valid(files: TextureFiles) -> Tensor | None:
    """The valid texels by the given mask or the texture's own, ``(1, H, W)``; None: all."""
    if files.mask is not None:
        valid = MapFile(files.mask, KINDS["mask"], record_of(files.mask, "mask")).whole() > 0.5
    elif files.background == "none":
        return None
    else:
        own = texture_mask(files.texture)
        if own is None:
            return None
        valid = torch.from_numpy(own)[None]
    if not valid.any():
        of = files.mask or f"{files.texture}'s alpha channel"
        raise InputError(
            f"{of}, which leaves no texel",
            "a mask that is white where the face is",
            "check it, or give another --mask" if files.mask else "give --background none",
        )
    return valid


def _lay_flat(files: TextureFiles, valid: Tensor | None, folder: Path) -> None:
    height, width = read_form(files.texture)[0]
    mask = torch.ones(1, height, width) if valid is None else valid.float()
    texel, whence = files.texel, "as given"
    if texel is None:
        texel = texel_from_width(mask)
        whence = f"as if its width were {EAR_TO_EAR:g} mm of skin; --texel says better"
    log.warning(
        "%s has no mesh: the face is taken for a flat sheet that faces the viewer, %.3g mm a texel "
        "(%s). No light can be told by its shape, so shading of nose and cheeks stays in the "
        "albedo, and normals are relief on that sheet, as in tangent space. With --mesh it is "
        "done right",
        files.texture,
        texel,
        whence,
    )
    maps = flat_sheet(height, width, texel)
    save_map(folder, "shape", maps["shape"], derived=True, about=files.about())
    save_map(folder, "shape_normals", maps["shape_normals"], derived=True)
    if valid is not None:
        save_map(folder, "mask", mask, bits=8)


def _narrow_mask(files: TextureFiles, valid: Tensor | None, folder: Path) -> None:
    """Keep of the baked mask what is valid: beyond it there is no surface."""
    if valid is None:
        return
    baked = Subject(folder).open("mask").whole() > 0.5
    both = baked & valid
    missed = 1 - float(both.sum() / baked.sum())
    if not both.any():
        raise InputError(
            f"{files.mask or files.texture}, whose valid texels the UVs of {files.mesh} all miss",
            "UVs that lie over the face in the texture",
            _uv_remedy(files, baked, valid, missed),
        )
    if files.mask is None and missed > _MOST_BACKGROUND:
        log.warning(
            "%.0f %% of what the UVs of %s cover is background of %s: do they belong together? %s",
            100 * missed,
            files.mesh,
            files.texture,
            _uv_remedy(files, baked, valid, missed),
        )
    save_map(folder, "mask", both.float(), bits=8)


def _uv_remedy(files: TextureFiles, baked: Tensor, valid: Tensor, missed: float) -> str:
    flipped = 1 - float((baked.flip(1) & valid).sum() / baked.sum())
    if flipped < missed / 2:
        turn = "leave --flip-v out" if files.flip_v else "give --flip-v"
        return f"{turn}: upside down, {100 * flipped:.0f} % would miss the face"
    return "check the files, give a --mask, or --background none if all of it is face"


def _read_stamp(folder: Path) -> str | None:
    try:
        return (folder / _STAMP_NAME).read_text(encoding="utf-8")
    except OSError:
        return None
