"""What a fresh U-Net sees."""

import pytest
import torch

from realface.networks.unet import UNet


@pytest.mark.parametrize("base_channels", [1, 5, 16])
def test_half_of_a_fresh_stem_sees_detail_alone(base_channels):
    torch.manual_seed(0)
    stem = UNet(3, 1, base_channels=base_channels).stem
    detail = slice(base_channels // 2, None)
    even = torch.tensor((0.3, -0.5, 0.9)).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    pored = even + 0.02 * torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        seen = [stem(one)[:, detail] for one in (even, pored)]
    torch.testing.assert_close(seen[0], torch.zeros_like(seen[0]), atol=1e-5, rtol=0)
    assert seen[1].std() > 0.05  # 0.02 alone, were it not amplified
