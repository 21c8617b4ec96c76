"""Which metrics a kind of map is measured by."""

from collections.abc import Mapping

from torch import Tensor

from realface.maps.kinds import KINDS
from realface.metrics.angular import angular_error_degrees
from realface.metrics.image import psnr, ssim


def measure(prediction: Tensor, truth: Tensor, mask: Tensor, kind: str) -> Mapping[str, Tensor]:
    """Metrics of a prediction ``(B, C, H, W)``: PSNR and SSIM; for normals the angle as well.

    Albedos are measured as encoded, normals as ``0.5 n + 0.5``, both clamped to [0, 1].
    """
    if KINDS[kind].encoding != "unit_vector":
        made = prediction.clamp(0, 1)
        return {"psnr": psnr(made, truth, mask), "ssim": ssim(made, truth, mask)}
    return {
        "angle": angular_error_degrees(prediction, truth, mask),
        "psnr": psnr(0.5 * prediction + 0.5, 0.5 * truth + 0.5, mask),
        "ssim": ssim(0.5 * prediction + 0.5, 0.5 * truth + 0.5, mask),
    }
