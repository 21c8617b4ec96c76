"""Discriminator: sizes, pyramid, field of view."""

import pytest
import torch

from realface.networks.discriminator import MultiScaleDiscriminator


def test_parameter_count_of_one_scale():
    with torch.device("meta"):
        network = MultiScaleDiscriminator(7, scales=1)
    count = sum(p.numel() for p in network.parameters())
    assert count == pytest.approx(2.8e6, rel=0.02)


@pytest.mark.parametrize(("layers", "scales"), [(1, 1), (2, 3), (3, 2)])
def test_one_list_of_features_for_each_scale_logits_last(layers, scales):
    network = MultiScaleDiscriminator(4, base_channels=4, layers=layers, scales=scales)
    verdicts = network(torch.randn(2, 4, 64, 48))
    assert [len(features) for features in verdicts] == [layers + 2] * scales
    assert all(features[-1].shape[:2] == (2, 1) for features in verdicts)
    heights = [features[0].shape[2] for features in verdicts]
    assert heights == sorted(heights, reverse=True)


def test_logits_are_not_squashed():
    network = MultiScaleDiscriminator(1, base_channels=4)
    for parameter in network.parameters():
        parameter.data *= 100
    assert network(torch.randn(1, 1, 32, 32))[0][-1].abs().max() > 1


def test_a_verdict_looks_at_70_texels():
    network = MultiScaleDiscriminator(1, base_channels=2, scales=1, norm="none").double()
    x = torch.randn(1, 1, 160, 8, dtype=torch.float64, requires_grad=True)
    logits = network(x)[0][-1]
    logits[0, 0, logits.shape[2] // 2].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 70


def test_spectral_norm_bounds_every_weight_and_bfloat16_does_not_harm_it():
    network = MultiScaleDiscriminator(3, base_channels=4, norm="spectral")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(20):
            network(torch.randn(1, 3, 32, 32))
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1).float(), 2)
        assert float(norm) == pytest.approx(1.0, abs=0.02)
    assert len(layers) == 2 * 5


def test_a_training_pass_goes_on_from_the_stored_vectors():
    torch.manual_seed(0)
    one, other = (MultiScaleDiscriminator(3, base_channels=4, norm="spectral") for _ in range(2))
    other.load_state_dict(one.state_dict())
    x = torch.randn(1, 3, 32, 32)
    for _ in range(2):
        assert torch.equal(one(x)[0][-1], other(x)[0][-1])


def test_an_unknown_norm_is_refused_by_name():
    with pytest.raises(ValueError, match=r"norm='position'.*instance, spectral, none"):
        MultiScaleDiscriminator(3, norm="position")


def test_numbers_out_of_range_are_refused_by_name():
    with pytest.raises(ValueError, match="scales=0"):
        MultiScaleDiscriminator(3, scales=0)
    with pytest.raises(TypeError, match="num_D"):
        MultiScaleDiscriminator(3, num_D=2)


def test_finite_under_bfloat16_autocast():
    network = MultiScaleDiscriminator(3, base_channels=4)
    with torch.autocast("cpu", torch.bfloat16):
        verdicts = network(1e4 * torch.randn(1, 3, 32, 32))
    assert all(feature.isfinite().all() for features in verdicts for feature in features)
