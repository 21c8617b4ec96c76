"""Blocks: what they keep of their input, and how far they look."""

import pytest
import torch

from realface.networks.blocks import (
    GatedBlock,
    GatedConvolution,
    OutputHead,
    SimpleGate,
    initialise,
)


@pytest.mark.parametrize("make", [GatedBlock, GatedConvolution])
@pytest.mark.parametrize("norm", ["instance", "batch_renorm", "position", "none"])
def test_a_fresh_block_is_nearly_the_identity_and_all_of_it_learns(make, norm):
    torch.manual_seed(0)
    block, x = make(16, norm), torch.randn(2, 16, 12, 12)
    made = block(x)
    assert (made - x).std() < 0.3
    assert abs(float(made.detach().std()) - 1) < 0.1
    made.square().mean().backward()
    assert all(p.grad.abs().max() > 0 for p in block.parameters())


@pytest.mark.parametrize("make", [GatedBlock, GatedConvolution])
@pytest.mark.parametrize("norm", ["batch_renorm", "position", "none"])
def test_a_texel_looks_at_its_neighbours_and_no_further(make, norm):
    block = make(4, norm).eval().double()
    x = torch.randn(1, 4, 9, 9, dtype=torch.float64, requires_grad=True)
    block(x)[..., 4, 4].sum().backward()
    seen = (x.grad != 0).any(dim=1)[0]
    assert seen[3:6, 3:6].all()
    assert seen.sum() == 9


@pytest.mark.parametrize("make", [GatedBlock, GatedConvolution])
def test_channels_last_stays_so_through_a_block(make):
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    made = make(8, "position")(x)
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate"])
def test_paddings_differ_at_the_border_alone(padding_mode):
    torch.manual_seed(0)
    block = GatedBlock(4, "position", padding_mode)
    plain = GatedBlock(4, "position", "zeros")
    plain.load_state_dict(block.state_dict())
    x = torch.randn(1, 4, 8, 8)
    difference = (block(x) - plain(x)).abs()
    assert difference[..., 1:-1, 1:-1].max() == 0
    assert (difference.max() > 0) == (padding_mode != "zeros")


def test_the_gate_multiplies_the_halves():
    x = torch.tensor([2.0, 3.0, 5.0, 7.0]).reshape(1, 4, 1, 1)
    assert SimpleGate()(x).flatten().tolist() == [10, 21]


def test_the_papers_initialisation_leaves_gated_blocks_theirs():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3), GatedBlock(64, "position"))
    initialise(network, "position")
    assert float(network[0].weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    expand = network[1].spatial[1]
    assert float(expand.weight.detach().std()) == pytest.approx(64**-0.5, rel=0.05)


def test_the_head_has_the_kernel_asked_for():
    head = OutputHead(2, 1, None, kernel=3)
    assert head.convolution.weight.shape == (1, 2, 3, 3)
    assert head(torch.randn(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).shape == (1, 1, 4, 4)
