"""Measured margins: bounds, exactness against the whole image, tolerances."""

import pytest
import torch

from realface.networks.generator import GENERATORS, Generator
from realface.networks.moments import Moments
from realface.networks.norms import InstanceNorm, instance_norms, without_norms
from realface.networks.receptive import margin_for, measured_margin

SHAPES = [
    ("global", {"downsamples": 1, "blocks": 0}),
    ("global", {"downsamples": 2, "blocks": 2}),
    ("global", {"downsamples": 3, "blocks": 1}),
    ("global", {"downsamples": 4, "blocks": 1}),
    ("local", {"downsamples": 1, "blocks": 0, "local_blocks": 0}),
    ("local", {"downsamples": 1, "blocks": 1, "local_blocks": 2}),
    ("local", {"downsamples": 2, "blocks": 1, "local_blocks": 1}),
    ("unet", {"downsamples": 1, "blocks": 1}),
    ("unet", {"downsamples": 2, "blocks": 0}),
]
DEEP = [
    ("unet", {"downsamples": 2, "blocks": 2}),
    ("unet", {"downsamples": 3, "blocks": 2}),
    ("unet", {"downsamples": 4, "blocks": 1}),
]
"""Too many gates, each of which multiplies two sums, for sums that are exact in any order."""

shapes = pytest.mark.parametrize(("name", "shape"), SHAPES)
upsamplings = pytest.mark.parametrize("upsampling", ["transposed", "resize"])


def build(name: str, **changes) -> Generator:
    torch.manual_seed(0)
    arguments = {"in_channels": 2, "out_channels": 2, "base_channels": 2, **changes}
    if name == "unet":
        arguments.pop("upsampling", None)
    return GENERATORS[name](**arguments).eval().requires_grad_(False)


def whole_numbers(generator: Generator) -> Generator:
    """Positive and whole: no ReLU closes a path, and sums are exact in any order."""
    for parameter in generator.parameters():
        parameter.copy_(torch.randint(1, 3, parameter.shape))
    return generator.double()


def freeze(generator: Generator, inputs: torch.Tensor) -> None:
    """Each norm by what it sees of these inputs."""

    def see(norm: InstanceNorm, given) -> None:
        moments = Moments()
        moments.add(given[0][0])
        norm.statistics = moments.result()

    handles = [norm.register_forward_pre_hook(see) for norm in instance_norms(generator)]
    generator(inputs)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(("name", "shape"), SHAPES + DEEP)
@upsamplings
def test_it_is_the_declared_margin_or_less_by_under_a_stride(name, shape, upsampling):
    generator = build(name, norm="none", upsampling=upsampling, **shape)
    margin = measured_margin(generator)
    assert generator.receptive_margin - generator.multiple_of < margin
    assert margin <= generator.receptive_margin


@shapes
@upsamplings
@pytest.mark.parametrize("axis", [2, 3])
def test_dropping_the_margin_gives_the_whole_image_and_a_pixel_less_does_not(
    name, shape, upsampling, axis
):
    generator = build(name, norm="none", upsampling=upsampling, residual_channels=[0, 1], **shape)
    generator = whole_numbers(generator)
    margin, stride = measured_margin(generator), generator.multiple_of
    length = 2 * (margin // stride + 2) * stride
    size = [1, 2, generator.minimum_size, generator.minimum_size]
    size[axis] = 2 * length
    inputs = torch.randint(0, 3, size).double()
    whole = generator(inputs)
    errors = []
    for start in (0, length):
        part = generator(inputs.narrow(axis, start, length))
        error = (part - whole.narrow(axis, start, length)).abs().amax((0, 1, 5 - axis))
        errors.append(error if start else error.flip(0))
    wrong = [int(error.nonzero().max()) + 1 for error in errors]
    assert max(wrong) == margin


def test_live_statistics_have_no_margin():
    generator = build("global", downsamples=1, blocks=1)
    assert measured_margin(generator) is None
    with without_norms(generator):
        assert measured_margin(generator) == 12
    assert measured_margin(generator) is None


def test_frozen_statistics_have_the_margin_of_no_norm():
    generator = build("local", downsamples=1, blocks=1)
    freeze(generator, torch.randn(1, 2, 32, 32))
    assert measured_margin(generator) == measured_margin(
        build("local", downsamples=1, blocks=1, norm="none")
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_a_tolerance_buys_a_margin_that_keeps_it(name):
    # In double precision what comes from afar is not rounded away.
    generator = build(name, downsamples=2, blocks=3, base_channels=4).double()
    stride, exact = generator.multiple_of, generator.receptive_margin
    inputs = torch.randn(1, 2, generator.minimum_size, 4 * (exact // stride + 1) * stride).double()
    freeze(generator, inputs)
    margins = [margin_for(generator, inputs, tolerance) for tolerance in (0.0, 1e-3, 0.05, 10.0)]
    assert margins == sorted(margins, reverse=True)
    assert margins[0] == -(-measured_margin(generator) // stride) * stride
    assert margins[0] > margins[2] > margins[3] == 0
    whole, middle = generator(inputs), inputs.shape[3] // 2
    part = generator(inputs[..., middle:])
    assert (part - whole[..., middle:])[..., margins[1] :].abs().max() <= 1e-3


def test_inputs_too_short_to_tell_are_refused_with_a_length():
    generator = build("global", downsamples=2, blocks=3)
    freeze(generator, torch.randn(1, 2, 32, 32))
    with pytest.raises(ValueError, match=r"24 px are too short.*give 80 px"):
        margin_for(generator, torch.randn(1, 2, 8, 24), 0.0)


def test_live_statistics_are_refused():
    with pytest.raises(ValueError, match="freeze them first"):
        margin_for(build("global", downsamples=1), torch.randn(1, 2, 64, 64), 0.1)
