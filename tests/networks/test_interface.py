"""What a generator reads and writes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.maps.encoding import unit
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.networks.channels import assemble, map_to_output, output_to_map
from realface.networks.interface import Interface
from tests.faces import face_batch

UP = torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1)


def faces(size: int = 32) -> dict[str, torch.Tensor]:
    return {kind: values for kind, values in face_batch(size).items() if kind != "key"}


@given(st.lists(st.sampled_from(REFLECTANCE), min_size=1, unique=True))
@settings(deadline=None)
def test_outputs_are_joined_and_split_in_their_order(outputs):
    about, maps = Interface(("texture",), tuple(outputs)), faces()
    channels = about.join(maps)
    assert channels.shape[1] == about.out_channels == sum(KINDS[k].channels for k in outputs)
    apart = about.split(channels)
    assert list(apart) == outputs
    for kind, place in about.slices.items():
        assert torch.equal(channels[:, place], map_to_output(maps[kind], kind))
        torch.testing.assert_close(apart[kind], maps[kind])


def test_one_output_in_object_space_is_what_channels_say():
    about, maps = Interface(("grey_albedo", "shape_normals"), ("specular_normals",)), faces()
    assert about.frame(maps) is None
    assert torch.equal(about.read(maps, None), assemble(maps, about.inputs) * maps["mask"])
    raw = torch.randn(2, 3, 32, 32)
    made = about.absolute(about.split(raw), None)["specular_normals"]
    assert torch.equal(made, output_to_map(raw, "specular_normals"))


def tangent(sigma: float = 3.0) -> Interface:
    inputs = ("grey_albedo", "shape_normals")
    return Interface(inputs, ("specular_normals",), "tangent", sigma)


def test_tangent_normals_come_back_to_object_space():
    about, maps = tangent(), faces()
    frame = about.frame(maps)
    there = about.relative({"specular_normals": maps["specular_normals"]}, frame)
    back = about.absolute(there, frame)["specular_normals"]
    torch.testing.assert_close(back, maps["specular_normals"], atol=1e-5, rtol=0)


def test_tangent_normals_are_flat_where_the_shape_is_smooth():
    """What object space spends on the head's form is gone; the ripple stays."""
    about, maps = tangent(), faces(64)
    inside = (maps["mask"] > 0.5).expand_as(maps["shape_normals"])
    seen = about.read(maps, about.frame(maps))[:, 1:]
    leaning = (maps["shape_normals"] - UP)[inside].abs().mean()
    assert (seen - UP)[inside].abs().mean() < 0.2 * leaning


def test_a_shape_alone_in_its_frame_points_straight_up():
    maps = faces()
    maps["shape_normals"] = unit(torch.tensor((0.5, -0.3, 0.6)).view(1, 3, 1, 1)).expand(
        2, 3, 32, 32
    )
    about = tangent()
    seen = about.read({**maps, "mask": torch.ones(2, 1, 32, 32)}, about.frame(maps))[:, 1:]
    torch.testing.assert_close(seen, UP.expand_as(seen), atol=1e-5, rtol=0)


def test_a_mirrored_face_has_the_mirrored_tangent_normals():
    about, maps = tangent(), faces()
    flip = torch.tensor((-1.0, 1.0, 1.0)).view(1, 3, 1, 1)
    mirrored = {
        kind: (values.flip(-1) * flip) if KINDS[kind].encoding == "unit_vector" else values.flip(-1)
        for kind, values in maps.items()
    }
    plain = about.read(maps, about.frame(maps))[:, 1:]
    other = about.read(mirrored, about.frame(mirrored))[:, 1:]
    torch.testing.assert_close(other, plain.flip(-1) * flip, atol=1e-5, rtol=0)


def test_frames_of_windows_agree_within_the_reach():
    maps = faces(96)
    about = tangent(12.0)  # reached on a map reduced by two
    cut = {kind: values[..., 16:, 16:] for kind, values in maps.items()}
    whole, window = (about.frame(one).normals for one in (maps, cut))
    reach = about.frame_reach
    assert reach < 64
    torch.testing.assert_close(
        window[..., reach:, reach:], whole[..., 16 + reach :, 16 + reach :], atol=1e-6, rtol=0
    )


def test_tangent_space_reads_the_shape_whatever_the_inputs_are():
    assert Interface(("diffuse_albedo",), ("specular_normals",), "tangent").kinds == (
        "diffuse_albedo",
        "shape_normals",
    )


@pytest.mark.parametrize("outputs", [(), ("texture",), ("diffuse_albedo", "diffuse_albedo")])
def test_outputs_that_mean_nothing_are_refused(outputs):
    with pytest.raises(InputError, match="outputs"):
        Interface(("texture",), outputs)


def test_what_a_residual_generator_starts_from():
    about = Interface(("texture", "shape_normals"), REFLECTANCE)
    assert about.residual_channels() == [0, 1, 2, None, 3, 4, 5, 3, 4, 5]
    assert about.typical()[3] == -0.6
    with pytest.raises(InputError, match="shape_normals"):
        Interface(("texture",), REFLECTANCE).residual_channels()
