"""De-lighting: texture and depth to diffuse albedo."""

import torch
from torch import Tensor

from realface.errors import InputError
from realface.shading.camera import camera_flaws
from realface.shading.capture import SCATTERING_MARGIN, known_light, random_texture
from realface.translators.base import Maps, Translator

_LIT_FROM = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals", "shape")


class DiffuseAlbedo(Translator):
    """AvatarMe's delta: RGBZ to RGB.

    The texture is not stored: each step shades it from the sample's own maps with fresh lights.
    """

    output = "diffuse_albedo"
    residual_base = "texture"

    @property
    def required_kinds(self) -> tuple[str, ...]:
        """What lighting needs, and the inputs other than the texture."""
        inputs = [kind for kind in super().required_kinds if kind != "texture"]
        return tuple(dict.fromkeys((*_LIT_FROM, *inputs)))

    @property
    def optional_kinds(self) -> tuple[str, ...]:
        """What dims light, sharpens or dulls highlights, and scatters, where it is there."""
        return ("occlusion", "exponent", "translucency")

    def setup(self, stage: str) -> None:
        """Refuse crops that are all rim.

        Raises:
            InputError: If no texel of a crop lies farther from its edge than light scatters.
        """
        super().setup(stage)
        data = self.trainer.datamodule
        crop = getattr(data, "crop", None)
        texel = getattr(data, "millimetres_per_texel", None)
        if self.lighting != "varied" or crop is None or texel is None:
            return
        least = 2 * SCATTERING_MARGIN / texel
        if crop <= least:
            raise InputError(
                f"data.crop {crop}, {crop * texel:.2g} mm",
                f"more than {least:.0f}: light scatters in from {SCATTERING_MARGIN} mm beyond "
                "every edge, and such texels are not judged",
                "give larger crops, or --model.init_args.lighting studio, which scatters nothing",
            )

    @torch.no_grad()
    def prepare(self, batch: Maps, generator: torch.Generator | None) -> Maps:
        """Light the batch; training textures (no ``generator``) get a camera's flaws too.

        Under scattering the light near a patch's edge comes from outside it and is not known.
        """
        mask: Tensor = batch["mask"]
        # Shading stays in float32 under autocast: powers and normalisations need it.
        with torch.autocast(mask.device.type, enabled=False):
            texture = random_texture(batch, self.lighting, generator)
            known = known_light(mask, batch["shape"]) if self.lighting == "varied" else mask
        if generator is None:
            texture = camera_flaws(texture, self.flaw_probability)
        return {**batch, "texture": texture, "known": known}
