"""Maps to channels and back."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.networks.channels import (
    DELIT_TEXTURE,
    FITTED_LIGHT,
    INPUTS,
    WHOLE_TEXTURE,
    assemble,
    input_channels,
    input_kinds,
    map_to_output,
    output_to_map,
    residual_channels,
)


def subject(seed: int = 0, size: tuple[int, int] = (5, 4)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = {}
    for kind in KINDS.values():
        values = torch.rand(2, kind.channels, *size, generator=generator)
        if kind.encoding == "unit_vector":
            values = F.normalize(2 * values - 1, dim=1)
        maps[kind.name] = values
    maps["shape"] = 200 * (maps["shape"] - 0.5)
    for kind in (WHOLE_TEXTURE, DELIT_TEXTURE):
        maps[kind] = torch.rand(2, 3, *size, generator=generator)
    maps[FITTED_LIGHT] = torch.rand(2, 27, *size, generator=generator)
    return maps


@given(st.lists(st.sampled_from(list(INPUTS)), min_size=1, unique=True))
@settings(deadline=None)
def test_any_list_of_inputs_assembles_in_its_order(inputs):
    maps = subject()
    x = assemble(maps, inputs)
    assert x.shape == (2, input_channels(inputs), 5, 4)
    assert x.abs().max() <= 1 + 1e-6
    assert set(input_kinds(inputs)) == {INPUTS[word].kind for word in inputs}
    for word in inputs:
        alone = assemble(maps, [word])
        assert torch.equal(x[:, residual_channels(inputs, word)], alone)


def test_the_words_mean_what_they_say():
    maps = subject()
    x = assemble(maps, ["texture", "grey_albedo", "depth", "shape_normals"])
    torch.testing.assert_close(x[:, :3], 2 * maps["texture"] - 1)
    luma = (maps["diffuse_albedo"] * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    torch.testing.assert_close(x[:, 3], 2 * luma - 1, atol=1e-5, rtol=0)
    torch.testing.assert_close(x[:, 4], maps["shape"][:, 2] / 100)
    assert torch.equal(x[:, 5:8], maps["shape_normals"])


@given(st.sampled_from(REFLECTANCE), st.integers(0, 100))
@settings(deadline=None)
def test_outputs_go_to_maps_and_back(kind, seed):
    truth = subject(seed)[kind]
    again = output_to_map(map_to_output(truth, kind), kind)
    torch.testing.assert_close(again, truth, atol=1e-6, rtol=1e-5)


def test_albedo_is_not_clamped():
    raw = torch.tensor([-1.5, 1.5]).view(1, 1, 1, 2).requires_grad_()
    made = output_to_map(raw, "specular_albedo")
    assert made.flatten().tolist() == [-0.25, 1.25]
    made.sum().backward()
    assert torch.equal(raw.grad, torch.full_like(raw, 0.5))


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-6, 1e-3, 1.0, 1e15])
@pytest.mark.parametrize("direction", [(1.0, 0, 0), (0, 0, -1.0), (0.6, 0, 0.8)])
def test_normals_have_unit_length_and_finite_gradients_whatever_was_predicted(length, direction):
    raw = (length * torch.tensor(direction)).view(1, 3, 1, 1).requires_grad_()
    made = output_to_map(raw, "diffuse_normals")
    assert made.norm(dim=1).item() == pytest.approx(1, abs=1e-5)
    made.sum().backward()
    assert raw.grad.isfinite().all()
    assert raw.grad.abs().max() < 2e4


def test_half_precision_outputs_become_float32():
    assert output_to_map(torch.randn(1, 3, 2, 2).bfloat16(), "diffuse_normals").dtype == (
        torch.float32
    )


def test_residual_channels():
    inputs = ["depth", "diffuse_albedo", "grey_albedo"]
    assert residual_channels(inputs, "diffuse_albedo") == [1, 2, 3]
    assert residual_channels(inputs, "grey_albedo") == [4]
    with pytest.raises(InputError, match="one of the inputs"):
        residual_channels(inputs, "texture")


@pytest.mark.parametrize("inputs", [["normals"], [], ["depth", "depth"]])
def test_lists_that_mean_nothing_are_refused(inputs):
    for refuse in (input_kinds, input_channels, lambda words: assemble(subject(), words)):
        with pytest.raises(InputError):
            refuse(inputs)


def test_an_unknown_word_is_answered_with_the_known_ones():
    with pytest.raises(InputError) as caught:
        input_kinds(["texture", "albedo"])
    assert caught.value.given == "inputs albedo"
    assert all(word in caught.value.expected for word in INPUTS)


def test_maps_that_do_not_fit_are_refused():
    maps = subject()
    with pytest.raises(InputError, match="also shape"):
        assemble({"texture": maps["texture"]}, ["texture", "depth"])
    with pytest.raises(InputError, match="one size"):
        assemble(maps | {"shape": maps["shape"][..., 1:]}, ["texture", "depth"])
    with pytest.raises(InputError, match=r"\(batch, 3, height, width\)"):
        assemble(maps | {"texture": maps["texture"][:, :1]}, ["texture"])
    with pytest.raises(InputError, match="one of"):
        output_to_map(maps["shape"], "shape")
