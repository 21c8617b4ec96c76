"""R1, the discriminator's regulariser: Mescheder et al., ICML 2018, arXiv:1801.04406."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Judge = Callable[[Tensor], Sequence[Sequence[Tensor]]]


def gradient_penalty(judge: Judge, real: Tensor, mask: Tensor) -> Tensor:
    r"""Half the mean square of the verdict's gradient at the truth, :math:`\frac12 \|\nabla D\|^2`.

    Equation 9 without its weight. A discriminator that is steep where the data lies makes the game
    go round in circles; one that is flat there lets it settle. The paper's gives one number for an
    image. Here each scale gives a map of them: its sum is differentiated, the square is taken for
    each valid texel over its channels, and the texels' mean is summed over the scales as the
    adversarial loss is, so that nothing depends on the crop's size.

    Args:
        judge: The discriminator as a function of the maps alone: per scale its features, the
            logits last. It must be differentiable twice: not compiled by torch.compile.
        real: The true maps ``(B, C, H, W)``, float32 or wider.
        mask: ``(B, 1, H, W)``, 1 where a texel counts; `judge` sees nothing of the others.

    Returns:
        A scalar with a graph to the discriminator's weights; zero where no texel is valid.
    """
    real = real.detach().requires_grad_()
    count = (mask > 0.5).sum().clamp(min=1)
    each = []
    for scale in judge(real):
        (slope,) = torch.autograd.grad(scale[-1].sum(), real, create_graph=True)
        each.append(0.5 * slope.square().sum() / count)
    return torch.stack(each).sum()
