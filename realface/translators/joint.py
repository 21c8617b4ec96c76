"""AvatarMe++: one generator from texture and shape normals to all four maps."""

from typing import Any

import torch

from realface.losses.rendering import rendering
from realface.maps.kinds import REFLECTANCE
from realface.networks.interface import Frame
from realface.networks.precision import full_precision
from realface.shading.capture import LIT_FROM, random_lights
from realface.shading.shade import lit_texture
from realface.translators.base import Maps, Translator
from realface.translators.checks import check_numbers


class Joint(Translator):
    """All four maps at once, held together by how they look when they are relit.

    Lattas et al., "AvatarMe++", TPAMI 2021, doi:10.1109/TPAMI.2021.3125598: L_GAN + L_FM + L_R.

    Args:
        inputs: As `Translator`.
        rendering_weight: Of the rendering loss.
        rendering_lights: Fresh sets of lights for it, each step.
        **arguments: As `Translator`.

    Raises:
        InputError: As `Translator`.
        ValueError: Likewise.
    """

    name = "joint"
    outputs = REFLECTANCE

    def __init__(
        self,
        inputs: list[str],
        rendering_weight: float = 10.0,
        rendering_lights: int = 3,
        **arguments: Any,
    ) -> None:
        check_numbers({"rendering_weight": rendering_weight, "rendering_lights": rendering_lights})
        super().__init__(inputs, **arguments)
        self.weights["rendering"] = rendering_weight
        self.rendering_lights = rendering_lights

    @property
    def required_kinds(self) -> tuple[str, ...]:
        """What rendering needs, whatever is read."""
        return tuple(dict.fromkeys((*LIT_FROM, *super().required_kinds)))

    def map_losses(
        self, made: Maps, truth: Maps, maps: Maps, frame: Frame | None, mask: torch.Tensor
    ) -> Maps:
        """The rendering loss too: truth and prediction under the same lights.

        Direct light with the sample's occlusion, nothing cast or scattered, sRGB and not clipped:
        every texel has a gradient, over-exposed ones as well.
        """
        losses = super().map_losses(made, truth, maps, frame, mask)
        if not self.weights["rendering"]:
            return losses
        predicted = {**maps, **self.interface.absolute(made, frame)}
        each = []
        with full_precision(mask.device):
            for _ in range(self.rendering_lights):
                lights = random_lights(len(mask), self.lighting, mask.device)
                with torch.no_grad():
                    wanted = lit_texture(maps, lights, clipped=False)
                each.append(rendering(lit_texture(predicted, lights, clipped=False), wanted, mask))
        return {**losses, "rendering": torch.stack(each).mean()}
