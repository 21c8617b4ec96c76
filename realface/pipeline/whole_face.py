"""The whole-face stage of de-lighting: a subject's light, and its de-lit texture by windows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.data.packing.whole_faces import reduce_in_bands
from realface.errors import InputError
from realface.geometry.padding import pad_islands
from realface.networks.channels import DELIT_TEXTURE, FITTED_LIGHT, WHOLE_LIGHT
from realface.shading.light_fit import fitted_light, openings
from realface.shading.occlusion import enlarged_window
from realface.shading.whole_light import delit, even_light, log_shading
from realface.tiling.engine import Source
from realface.tiling.windows import next_multiple
from realface.weights import WHOLE_FACE, TrainedTranslator

log = logging.getLogger(__name__)

READ = ("texture", "shape_normals", "shape")
"""Kinds of map that the light on a face is found from, and the mask where there is one."""

WIDEST = 768
"""Of the light's map where it is not known at how many millimetres a texel its stage was trained:
an eighth of 6144."""

_RIM = 4  # texels of the small map that its light is carried on beyond the face


def whole_face_of(
    translators: Mapping[str, TrainedTranslator], read: Sequence[str]
) -> TrainedTranslator | None:
    """The whole-face stage, where one of the kinds that are read is made by it and it is there.

    Args:
        translators: By what they make.
        read: Kinds of all translators.

    Raises:
        InputError: If it is all there is.
    """
    if set(translators) == {WHOLE_LIGHT}:
        raise InputError(
            f"{translators[WHOLE_LIGHT].source}, the whole-face stage alone",
            "translators that make maps, of which diffuse_albedo reads its light",
            "add their checkpoints, or a weights folder that holds them all",
        )
    if DELIT_TEXTURE not in read:
        return None
    if WHOLE_LIGHT not in translators:
        log.warning(
            "without the whole-face stage's weights (%s) the light on the face is that of lamps "
            "fitted to a face of one albedo: good on bare skin, less so with hair and beards",
            WHOLE_FACE,
        )
    return translators.get(WHOLE_LIGHT)


def factor_for(size: tuple[int, int], texel: float, trained: float | None) -> int:
    """How many times smaller a face is shown to its stage, at least once.

    Args:
        size: ``(height, width)`` of its maps [px].
        texel: Of them [mm].
        trained: Texel that the stage was trained at [mm]; None: not known.
    """
    if trained is None:
        return -(-max(size) // WIDEST)
    return max(1, round(trained / texel))


def whole_light(
    stage: TrainedTranslator | None,
    sources: Mapping[str, Source],
    factor: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The light on a face, from its maps at ``1 / factor`` of their size.

    Args:
        stage: The whole-face stage; None: the light that it starts from.
        sources: ``texture``, ``shape_normals``, ``shape`` [mm from the median], and ``mask`` where
            there is one; read in bands.
        factor: Texels of the maps along the side of one of the light's.
        device: Where the network runs.

    Returns:
        Coefficients ``(27, ceil(H / factor), ceil(W / factor))`` as
        `realface.shading.whole_light` has them, on the CPU; even far from the face.
    """
    height, width = sources["texture"].size

    def band(y: int, rows: int) -> dict[str, Tensor]:
        return {kind: source.read(y, 0, rows, width) for kind, source in sources.items()}

    small = {kind: one[None] for kind, one in reduce_in_bands(band, height, factor).items()}
    texture = small["texture"]
    mask = (small["mask"] > 0.5).float() if "mask" in small else torch.ones_like(texture[:, :1])
    rows, columns = texture.shape[-2:]
    multiple = 1 if stage is None else stage.descriptor.multiple_of
    room = (0, next_multiple(columns, multiple) - columns, 0, next_multiple(rows, multiple) - rows)
    maps = {kind: F.pad(one, room).to(device) for kind, one in {**small, "mask": mask}.items()}
    seen = openings(maps["shape"], maps["shape_normals"], maps["mask"])
    maps[FITTED_LIGHT] = fitted_light(maps["texture"], maps["shape_normals"], maps["mask"], seen)
    made = maps[FITTED_LIGHT]
    if stage is not None:
        stage.to(device)
        try:
            made = _averaged(stage, maps)
        finally:
            stage.to("cpu")
    light = made[0, :, :rows, :columns].cpu()
    inside = torch.where(mask[0] > 0.5, light, even_light(light[None])[0])
    return pad_islands(inside, mask[0], _RIM)


def _averaged(stage: TrainedTranslator, maps: Mapping[str, Tensor]) -> Tensor:
    """The mean of what a stage makes of a chart in its four quarter turns ``(B, 27, H, W)``.

    A face is lit alike whichever way its chart lies; where the network thinks otherwise it errs,
    and the mean errs less.
    """
    total = torch.zeros_like(maps[FITTED_LIGHT])
    for quarters in range(4):
        lying = {kind: one.rot90(quarters, (2, 3)).contiguous() for kind, one in maps.items()}
        (light,) = stage(lying).values()
        total += light.rot90(-quarters, (2, 3))
    return total / 4


@dataclass(frozen=True)
class DelitTexture:
    """The texture with the whole face's shading divided out: a source for tiling.

    Attributes:
        texture: SRGB.
        shape_normals: Object space.
        light: From `whole_light`.
        factor: As there.
    """

    texture: Source
    shape_normals: Source
    light: Tensor
    factor: int

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` [px]."""
        return self.texture.size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """One window ``(3, height, width)``, sRGB in [0, 1]."""
        texture = self.texture.read(y, x, height, width)[None]
        normals = self.shape_normals.read(y, x, height, width)[None]
        light = enlarged_window(self.light[None], self.factor, y, x, height, width)
        return delit(texture, log_shading(light, normals))[0]
