"""Distance of a predicted map's detail from the true one's: of differences between texels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from realface.losses.masked import masked_mean, valid_texels

STEPS = (1, 2, 4)
"""Distances between the texels of a pair [px]: pores, and the wrinkles between them."""


def gradient(
    predicted: Tensor, truth: Tensor, mask: Tensor, steps: Sequence[int] = STEPS
) -> Tensor:
    r"""Mean absolute error of the differences between neighbours, along x and y.

    :math:`|(p_{i+s} - p_i) - (t_{i+s} - t_i)|` over the pairs of which both texels are valid, the
    mean over steps s and directions: the gradient matching of Eigen and Fergus (ICCV 2015,
    arXiv:1411.4734), in L1 and at several scales as Ranftl et al. have it (TPAMI 2020,
    arXiv:1907.01341). A constant offset costs nothing, blurred detail does.

    For albedo as encoded, where equal steps look about equal; and for normals component by
    component: unit vectors are bounded and smooth all around a face, while slopes (x / z) grow
    without bound where the surface turns away from the axis of object space. Steps are apart and
    not averaged over: an average over texels beyond the mask's edge would be of garbage.

    Args:
        predicted: ``(B, C, H, W)``, any range; normals of unit length.
        truth: Same shape, range and space.
        mask: ``(B, 1, H, W)``, 1 where a texel counts.
        steps: Distances [px], each at least 1; those that the map is too small for add zero.

    Returns:
        A scalar, float32 or wider; zero where no pair is valid.

    Raises:
        ValueError: If the shapes do not fit.
    """
    predicted, truth = valid_texels(mask, predicted, truth)
    error, valid = predicted - truth, mask > 0.5
    each = [
        masked_mean(_difference(error, step, axis).abs(), _pairs(valid, step, axis))
        for step in steps
        for axis in (-2, -1)
    ]
    return torch.stack(each).mean()


def _difference(values: Tensor, step: int, axis: int) -> Tensor:
    first, second = _ends(values, step, axis)
    return second - first


def _pairs(valid: Tensor, step: int, axis: int) -> Tensor:
    first, second = _ends(valid, step, axis)
    return first & second


def _ends(values: Tensor, step: int, axis: int) -> tuple[Tensor, Tensor]:
    count = max(values.shape[axis] - step, 0)
    return values.narrow(axis, 0, count), values.narrow(axis, values.shape[axis] - count, count)
