"""Normalisation: moments, precision."""

import copy
from typing import get_args

import pytest
import torch

from realface.networks.generator import GlobalGenerator
from realface.networks.norms import (
    D_LIMIT,
    R_LIMIT,
    RAMP,
    BatchRenorm,
    ChannelStatistics,
    InstanceNorm,
    Norm,
    PositionNorm,
    instance_norms,
    is_local,
    normalisation,
    recomputing,
    release,
    removes_bias,
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


def warm(channels: int = 3, steps: int = RAMP) -> BatchRenorm:
    """A batch renorm in the middle of a run, its statistics near those of N(1, 2)."""
    norm = BatchRenorm(channels)
    norm.steps.fill_(steps)
    norm.running_mean.fill_(1.1)
    norm.running_variance.fill_(4.4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return norm


def test_batch_renorm_trains_as_it_runs_while_corrections_are_within_limits():
    norm, x = warm(), 1 + 2 * torch.randn(2, 3, 16, 16)
    expected = copy.deepcopy(norm).eval()(x)
    torch.testing.assert_close(norm(x), expected)


def test_batch_renorm_starts_as_batch_norm():
    norm, x = BatchRenorm(3), 5 + 3 * torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(norm(x), torch.nn.BatchNorm2d(3)(x))
    torch.testing.assert_close(norm.eval()(x), torch.nn.BatchNorm2d(3)(x))


def test_batch_renorms_corrections_are_limited():
    """A batch far from the running statistics is held at the limits, not blown up by them."""
    norm = BatchRenorm(1)
    norm.steps.fill_(RAMP)
    made = norm(1e4 + 1e3 * torch.randn(1, 1, 64, 64))
    assert float(made.detach().mean()) == pytest.approx(D_LIMIT, rel=1e-3)
    assert float(made.detach().std()) == pytest.approx(R_LIMIT, rel=1e-2)


def test_batch_renorms_gradient_takes_its_corrections_as_given():
    norm, x = warm(2).double(), torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    norm(x)
    with recomputing(norm):
        assert torch.autograd.gradcheck(norm, x)
    norm(x).sum().backward()
    # The batch's mean and variance are differentiated: a shift of the whole batch changes nothing.
    torch.testing.assert_close(x.grad.sum((0, 2, 3)), torch.zeros(2, dtype=torch.float64))


def test_running_statistics_come_to_those_of_the_data():
    norm = BatchRenorm(2)
    for _ in range(60):
        norm(3 + 2 * torch.randn(4, 2, 16, 16))
    torch.testing.assert_close(norm.running_mean, torch.full((2,), 3.0), atol=0.05, rtol=0)
    torch.testing.assert_close(norm.running_variance, torch.full((2,), 4.0), atol=0.2, rtol=0)


def test_what_is_computed_again_is_what_was_computed_and_counts_once():
    norm, x = warm(), torch.randn(2, 3, 8, 8)
    first = norm(x)
    before = copy.deepcopy(norm.state_dict())
    with recomputing(norm):
        again = norm(x)
    assert torch.equal(first, again)
    assert all(torch.equal(one, before[name]) for name, one in norm.state_dict().items())
    norm(x)
    assert norm.steps == before["steps"] + 1


def test_a_batch_renorm_goes_on_from_its_state():
    one, x = warm(steps=500), [torch.randn(2, 3, 8, 8) for _ in range(3)]
    one(x[0])
    other = BatchRenorm(3)
    other.load_state_dict(one.state_dict())
    for batch in x[1:]:
        assert torch.equal(one(batch), other(batch))


def test_position_norm_gives_each_texel_zero_mean_and_unit_variance():
    made = PositionNorm(16)(5 + 3 * torch.randn(2, 16, 4, 6))
    torch.testing.assert_close(made.mean(1), torch.zeros(2, 4, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.var(1, correction=0), torch.ones(2, 4, 6), atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [BatchRenorm, PositionNorm])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_at_inference_each_texel_is_normalised_by_itself(make, memory):
    norm, x = make(5).eval(), torch.randn(2, 5, 37, 51).to(memory_format=memory)
    whole = norm(x)
    for top, left, height, width in ((0, 0, 37, 51), (3, 7, 16, 32), (20, 1, 1, 9)):
        rows, columns = slice(top, top + height), slice(left, left + width)
        assert torch.equal(norm(x[..., rows, columns]), whole[..., rows, columns])


@pytest.mark.parametrize("make", [BatchRenorm, PositionNorm])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_half_precision_stays_and_its_statistics_are_wide(make, kind, training):
    """Values whose squares float16 cannot hold, far from their mean."""
    norm, x = make(8).train(training), 3000 + 300 * torch.randn(2, 8, 16, 16)
    if make is BatchRenorm:
        norm.running_mean.fill_(3000)
        norm.running_variance.fill_(9e4)
    x = x.to(kind)
    expected = copy.deepcopy(norm)(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        made = norm(x)
    assert made.dtype == kind
    torch.testing.assert_close(made.float(), expected, atol=0.03, rtol=0.02)


@pytest.mark.parametrize("name", get_args(Norm))
def test_a_bias_that_a_norm_removes_is_the_one_that_has_no_effect(name):
    norm, x = normalisation(name, 4), torch.randn(2, 4, 8, 8)
    bias = torch.tensor([1.0, -2.0, 0.5, 3.0])[:, None, None]
    unchanged = torch.allclose(norm(x), normalisation(name, 4)(x + bias), atol=1e-4)
    assert removes_bias(name) == unchanged


def test_an_unknown_norm_is_refused_by_name():
    with pytest.raises(ValueError, match=r"norm='batch'.*batch_renorm"):
        normalisation("batch", 3)
