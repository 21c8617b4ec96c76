"""Distance of a predicted map from the true one, texel by texel."""

from torch import Tensor

from realface.losses.masked import masked_mean, valid_texels


def reconstruction(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over the valid texels and their channels.

    Not part of AvatarMe's or pix2pixHD's losses: an aid to short trainings.

    Args:
        predicted: ``(B, C, H, W)``, any range.
        truth: Same shape and range.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.

    Returns:
        A scalar, float32 or wider; zero where no texel is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = valid_texels(mask, predicted, truth)
    return masked_mean((predicted - truth).abs(), mask)
