"""Distance of a face relit by predicted maps from the same face relit by the true ones."""

from torch import Tensor

from realface.losses.masked import valid_texels

_SMALLEST = 1e-12  # of a mean square: keeps the root's gradient finite where images are equal


def rendering(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Un-squared L2 norm of each image's difference, :math:`\| R^* - R \|_2 / \sqrt{n}`.

    AvatarMe++'s :math:`L_R` (Lattas et al., TPAMI 2021, doi:10.1109/TPAMI.2021.3125598), divided by
    the root of the number of values, so that it does not depend on the size of the crop: the root
    mean square over an image's valid texels and channels, averaged over the images.

    Args:
        predicted: Renders ``(B, 3, H, W)``, any range.
        truth: Same shape and range, under the same lights.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.

    Returns:
        A scalar, float32 or wider; zero where no texel is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = valid_texels(mask, predicted, truth)
    count = (mask > 0.5).flatten(1).sum(dim=1).clamp(min=1) * predicted.shape[1]
    square = (predicted - truth).square().flatten(1).sum(dim=1) / count
    return (square + _SMALLEST).sqrt().mean()
