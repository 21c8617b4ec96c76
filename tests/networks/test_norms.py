"""Normalisation: moments, precision."""

import pytest
import torch

from realface.networks.generator import GlobalGenerator
from realface.networks.norms import (
    ChannelStatistics,
    InstanceNorm,
    instance_norms,
    is_local,
    normalisation,
    release,
    without_norms,
)


def test_each_channel_of_each_sample_gets_zero_mean_and_unit_variance():
    made = InstanceNorm()(5 + 3 * torch.randn(2, 4, 16, 16))
    torch.testing.assert_close(made.mean((2, 3)), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.var((2, 3), correction=0), torch.ones(2, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(kind):
    """A deviation of 1e4 has a variance of 1e8; float16 ends at 65504."""
    x = 1e4 * torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    made = InstanceNorm()(x.to(kind))
    assert made.dtype == kind
    torch.testing.assert_close(made.float(), InstanceNorm()(x), atol=0.05, rtol=0.02)


def test_small_ripples_on_a_large_mean_survive():
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    made = InstanceNorm()(1000 + x)
    torch.testing.assert_close(made, InstanceNorm()(x), atol=2e-3, rtol=0)


def test_autocast_does_not_widen_the_map():
    x = torch.randn(1, 3, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert InstanceNorm()(x).dtype == torch.bfloat16


def test_equals_torchs_own():
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(InstanceNorm()(x), torch.nn.InstanceNorm2d(3)(x))


def test_double_precision_is_kept():
    assert InstanceNorm()(torch.randn(1, 1, 4, 4, dtype=torch.float64)).dtype == torch.float64


def test_gradient():
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(InstanceNorm(), x)


def test_none_changes_nothing():
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(normalisation("none", 3)(x), x)


def statistics_of(x: torch.Tensor) -> ChannelStatistics:
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    return ChannelStatistics(mean, variance)


def frozen(statistics: ChannelStatistics) -> InstanceNorm:
    norm = InstanceNorm()
    norm.statistics = statistics
    return norm


def test_frozen_by_its_own_statistics_it_is_itself():
    x = 5 + 3 * torch.randn(1, 4, 16, 16)
    torch.testing.assert_close(frozen(statistics_of(x))(x), InstanceNorm()(x), atol=1e-5, rtol=0)


def test_frozen_every_texel_is_by_itself():
    x = torch.randn(2, 3, 16, 24)
    norm = frozen(statistics_of(x))
    for part in (x[..., 3:14, 5:].contiguous(), x[1:, :, :7].contiguous()):
        top, left = (3, 5) if part.shape[0] == 2 else (0, 0)
        whole = norm(x)[-part.shape[0] :, :, top:, left:][..., : part.shape[2], : part.shape[3]]
        assert torch.equal(norm(part), whole)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_frozen_statistics_are_not_of_the_features_precision(kind):
    """A variance of 1e8 is beyond float16."""
    x = 1e4 * torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    norm = frozen(statistics_of(x))
    made = norm(x.to(kind))
    assert made.dtype == kind
    torch.testing.assert_close(made.float(), norm(x), atol=0.05, rtol=0.02)


def test_frozen_statistics_are_no_part_of_the_weights():
    network = GlobalGenerator(1, 1, base_channels=2, downsamples=1, blocks=1)
    before = set(network.state_dict())
    assert not is_local(network)
    for norm in instance_norms(network):
        norm.statistics = statistics_of(torch.randn(1, 2, 4, 4))
    assert set(network.state_dict()) == before
    assert is_local(network)
    release(network)
    assert not is_local(network)


def test_without_norms_is_undone_after_an_error():
    network = torch.nn.Sequential(frozen(statistics_of(torch.randn(1, 2, 4, 4))), InstanceNorm())
    before = [norm.statistics for norm in network]
    x = torch.randn(1, 2, 4, 4)
    with without_norms(network):
        assert torch.equal(network(x), x)
    with pytest.raises(RuntimeError), without_norms(network):
        raise RuntimeError
    assert [norm.statistics for norm in network] == before
