"""Lights on a face: point lights and ambient, linear RGB, object space in millimetres."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

# Around the head, relative to the median of its surface; a studio's key, fill and rim-from-top.
_KEY_FILL_TOP = ((-500.0, 300.0, 700.0), (600.0, 0.0, 600.0), (0.0, 800.0, 400.0))
_INTENSITY = (0.60, 0.30, 0.25)


@dataclass(frozen=True)
class Lights:
    """Point lights and ambient light of a batch.

    Attributes:
        positions: ``(B, L, 3)`` [mm], relative to the subject's median position.
        colours: ``(B, L, 3)`` linear RGB; no attenuation with distance, as in AvatarMe++.
        ambient: ``(B, 3)`` linear RGB.
    """

    positions: Tensor
    colours: Tensor
    ambient: Tensor

    def mirrored(self) -> "Lights":
        """The lights that go with mirrored maps: x negated."""
        flip = self.positions.new_tensor((-1.0, 1.0, 1.0))
        return replace(self, positions=self.positions * flip)


def random_lights(
    batch: int,
    *,
    spread: float = 0.35,
    tint: float = 0.15,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Lights:
    r"""Three point lights and ambient light, scattered around a studio set-up.

    AvatarMe lights its training textures with three perturbed point lights and an environment
    (CVPR 2020), AvatarMe++ draws :math:`L_i \sim \mathcal N(L_d, \sigma)` (TPAMI 2021). The
    set-up :math:`L_d` and the numbers are ours.

    Args:
        batch: Number of light sets.
        spread: Standard deviation of directions, as a share of their length, and of the logarithm
            of distance and intensity: no lamp ends up inside the head.
        tint: Standard deviation of the logarithm of each colour channel.
        device: Where the tensors live.
        generator: Of random numbers, on ``device``; None for torch's own.
    """
    centre = torch.tensor(_KEY_FILL_TOP, device=device)
    count = len(_KEY_FILL_TOP)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, device=device, generator=generator)

    distance = centre.norm(dim=1, keepdim=True)
    directions = F.normalize(centre / distance + spread * normal(count, 3), dim=2)
    positions = directions * distance * torch.exp(spread * normal(count, 1))
    intensity = torch.tensor(_INTENSITY, device=device).view(1, count, 1)
    colours = intensity * torch.exp(spread * normal(count, 1) + tint * normal(count, 3))
    ambient = 0.25 * torch.exp(spread * normal(1) + tint * normal(3))
    return Lights(positions, colours, ambient)
