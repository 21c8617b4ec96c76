"""Generators: sizes, ranges, reach, descriptors."""

import json
from typing import get_args

import pytest
import torch
from torch import nn

from realface.networks.generator import (
    GENERATORS,
    Generator,
    GlobalGenerator,
    LocalGenerator,
    UNet,
)
from realface.networks.norms import Norm

TINY = {"in_channels": 3, "out_channels": 2, "base_channels": 2, "downsamples": 1, "blocks": 1}


PIX2PIXHD = ["global", "local"]
NORMS = get_args(Norm)


def parameters(network: nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def ways(name: str, upsampling: str) -> dict[str, str]:
    """The argument, of generators that have the choice."""
    return {"upsampling": upsampling} if name in PIX2PIXHD else {}


def tiny(name: str, **changes) -> Generator:
    torch.manual_seed(0)
    return GENERATORS[name](**{**TINY, **changes})


@pytest.mark.parametrize(
    ("build", "arguments", "millions"),
    [
        (GlobalGenerator, {}, 182.4),
        (GlobalGenerator, {"downsamples": 3}, 45.6),
        (LocalGenerator, {}, 182.7),
        (LocalGenerator, {"base_channels": 64}, 730.7),
        (UNet, {}, 1.435),
    ],
)
def test_parameter_counts_are_pix2pixhds_and_ours(build, arguments, millions):
    with torch.device("meta"):
        network = build(3, 3, **arguments)
        assert parameters(network) == pytest.approx(millions, rel=1e-3)
        assert network(torch.empty(2, 3, 256, 192)).shape == (2, 3, 256, 192)


@pytest.mark.parametrize(
    ("build", "multiple"), [(GlobalGenerator, 16), (LocalGenerator, 32), (UNet, 16)]
)
def test_the_networks_need_these_multiples(build, multiple):
    with torch.device("meta"):
        assert build(4, 3).multiple_of == multiple


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_keeps_the_size_and_stays_in_range(name, norm, upsampling):
    network = tiny(name, norm=norm, **ways(name, upsampling))
    made = network(10 * torch.randn(2, 3, 24, 16))
    assert made.shape == (2, 2, 24, 16)
    assert made.abs().max() <= 1
    assert network.spatial_statistics == (norm == "instance")


@pytest.mark.parametrize("name", GENERATORS)
def test_runs_at_its_minimum_size(name):
    network = tiny(name, downsamples=2)
    side = network.minimum_size
    assert network(torch.randn(1, 3, side, side)).shape == (1, 2, side, side)


@pytest.mark.parametrize(
    ("size", "advice"), [((50, 64), "52x64"), ((64, 4), "64x8"), ((5, 6), "8x8")]
)
def test_a_size_that_does_not_fit_is_refused_with_one_that_does(size, advice):
    network = tiny("global", downsamples=2)
    with pytest.raises(ValueError, match=rf"{size[0]}x{size[1]}.*multiples of 4.*{advice}"):
        network(torch.zeros(1, 3, *size))
    assert network(torch.zeros(1, 3, *map(int, advice.split("x")))).isfinite().all()


def test_a_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r"4 channels.*in_channels=3"):
        tiny("global")(torch.zeros(1, 4, 16, 16))


def measured_margin(network: Generator) -> int:
    """Farthest input texel with a gradient, over all output phases in the middle.

    Weights and inputs are positive, so that no ReLU closes a path, and small, as gates multiply.
    """
    for parameter in network.parameters():
        parameter.data = 0.3 * parameter.data.abs() + 1e-3
    period, reach = network.multiple_of, network.receptive_margin + network.multiple_of
    middle = -(-reach // period) * period
    width, height = 2 * middle + period, network.minimum_size
    farthest = 0
    for position in range(middle, middle + period):
        x = torch.ones(1, 3, height, width, dtype=torch.float64, requires_grad=True)
        network(x)[..., position].sum().backward()
        touched = (x.grad != 0).any(dim=2).any(dim=1)[0].nonzero().flatten()
        farthest = max(farthest, position - int(touched[0]), int(touched[-1]) - position)
    return farthest


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("global", {}),
        ("global", {"downsamples": 2, "blocks": 2}),
        ("global", {"downsamples": 3, "blocks": 0}),
        ("local", {}),
        ("local", {"downsamples": 2, "blocks": 1, "local_blocks": 1}),
        ("local", {"downsamples": 1, "blocks": 0, "local_blocks": 0}),
        ("unet", {}),
        ("unet", {"downsamples": 2, "blocks": 2}),
        ("unet", {"downsamples": 3, "blocks": 0}),
    ],
)
def test_the_margin_is_exactly_the_reach_at_the_worst_position(name, changes, upsampling):
    network = tiny(
        name, norm="none", **ways(name, upsampling), residual_channels=[0, 1], **changes
    ).double()
    assert measured_margin(network) == network.receptive_margin


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize("norm", ["batch_renorm", "position", "none"])
def test_windows_on_the_stride_grid_agree_beyond_the_margin(name, upsampling, norm):
    """What tiling rests on: crop then translate equals translate then crop."""
    network = tiny(name, norm=norm, **ways(name, upsampling)).double().eval()
    margin, start = network.receptive_margin, 3 * network.multiple_of
    x = torch.randn(1, 3, 32, start + 2 * margin + 16, dtype=torch.float64)
    width = (x.shape[-1] - start) // network.multiple_of * network.multiple_of
    x = x[..., : start + width]
    whole, part = network(x)[..., start:], network(x[..., start:])
    torch.testing.assert_close(part[..., margin:], whole[..., margin:], rtol=1e-9, atol=1e-12)


def test_instance_norm_couples_the_whole_window():
    network = tiny("global", norm="instance").double()
    x = torch.randn(1, 3, 16, 128, dtype=torch.float64)
    changed = x.clone()
    changed[..., -1] += 5
    assert network.receptive_margin < 64
    assert (network(x) - network(changed))[..., :32].abs().max() > 1e-6


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_generator_starts_near_its_base(name, norm):
    network = tiny(name, norm=norm, residual_channels=[2, 0], base_channels=32)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    correction = network(x) - x[:, [2, 0]]
    assert 0 < correction.abs().max() < 0.05


def test_every_layer_of_a_residual_generator_learns_from_the_first_step():
    network = tiny("local", residual_channels=[0, 1])
    network(torch.randn(1, 3, 16, 16)).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("residual", [None, (1, 1)])
def test_arguments_rebuild_the_same_module_through_json(name, residual):
    network = tiny(name, norm="none", **ways(name, "resize"), residual_channels=residual)
    arguments = json.loads(json.dumps(network.arguments))
    assert arguments == network.arguments
    twin = GENERATORS[name](**arguments)
    twin.load_state_dict(network.state_dict(), strict=True)
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(twin(x), network(x))


def test_arguments_are_read_only():
    network = tiny("global", residual_channels=[0, 1])
    network.arguments["residual_channels"].append(7)
    assert network.arguments["residual_channels"] == [0, 1]
    with pytest.raises(AttributeError):
        network.arguments = {}


@pytest.mark.parametrize("name", GENERATORS)
def test_an_unknown_argument_is_refused_by_name(name):
    with pytest.raises(TypeError, match="base_chanels"):
        tiny(name, base_chanels=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "batch"}, "norm='batch'.*instance, batch_renorm, position, none"),
        ({"upsampling": "cubic"}, "upsampling='cubic'.*transposed, resize"),
        ({"downsamples": 0}, "downsamples=0"),
        ({"blocks": -1}, "blocks=-1"),
        ({"residual_channels": [0]}, "out_channels=2"),
        ({"residual_channels": [0, 3]}, r"\[0, in_channels = 3\)"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny("local", **changes)


@pytest.mark.parametrize("name", GENERATORS)
def test_finite_and_full_precision_under_bfloat16_autocast(name):
    network = tiny(name)
    x = 1e4 * torch.randn(1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        made = network(x)
    assert made.dtype == torch.float32
    assert made.isfinite().all()
    made.sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_a_global_generator_starts_a_local_one():
    """The paper's staged training: the local generator holds the global one's features."""
    trained = tiny("global", base_channels=4)
    local = tiny("local", base_channels=2)
    local.global_features.load_state_dict(trained.features.state_dict(), strict=True)


def test_fresh_weights_have_the_papers_spread():
    torch.manual_seed(0)
    network = GlobalGenerator(3, 3, base_channels=16, downsamples=2, blocks=1)
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=1e-3)


def test_without_a_norm_the_signal_reaches_the_last_layer():
    """N(0, 0.02) weights, right before a norm, would leave a millionth of it after six layers."""
    generator = GlobalGenerator(3, 1, base_channels=8, downsamples=2, blocks=2, norm="none")
    features = generator.features(torch.randn(1, 3, 32, 32))
    assert 0.1 < float(features.detach().std()) < 10


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_a_fresh_residual_network_starts_at_what_it_is_told_where_nothing_is_close(norm):
    generator = GlobalGenerator(
        3, 2, base_channels=8, downsamples=2, blocks=2, norm=norm, residual_channels=[1, None]
    )
    generator.head.start_at([0.5, -0.6])
    x = torch.randn(1, 3, 32, 32)
    made = generator(x)
    torch.testing.assert_close(made[:, 0], x[:, 1], atol=0.05, rtol=0)
    torch.testing.assert_close(made[:, 1], torch.full_like(made[:, 1], -0.6), atol=0.05, rtol=0)
