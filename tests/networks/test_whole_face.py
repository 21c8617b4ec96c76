"""The network that sees a face whole."""

import pytest
import torch

from realface.maps.encoding import linear_to_srgb, unit
from realface.networks.whole_face import WholeFaceNetwork
from realface.shading import harmonics
from realface.shading.whole_light import log_shading

SIZE = (64, 96)


def face(seed=0):
    """Channels of a face of one albedo under the light that it holds, on a part of its map."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96), indexing="ij")
    normals = unit(torch.stack((x, -y, torch.ones_like(x)))[None])
    nine = 0.5 * torch.randn(1, 3, 9, generator=generator)
    nine[..., 0] = 1 / harmonics.Y0
    light = nine.flatten(1)[..., None, None].expand(-1, -1, *SIZE)
    texture = linear_to_srgb(0.2 * log_shading(light, normals).exp())
    mask = ((x.square() + y.square()) < 0.8).float()[None, None]
    position = torch.stack((x, -y, -x * x))[None]
    return torch.cat((2 * texture - 1, normals, position, light, torch.ones_like(mask)), 1) * mask


def network(**changes):
    torch.manual_seed(0)
    return WholeFaceNetwork(37, base_channels=4, downsamples=3, blocks=1, **changes).eval()


def test_a_fresh_one_returns_the_light_that_it_is_given():
    x = face()
    with torch.no_grad():
        light = network()(x)
    assert light.shape == (1, 27, *SIZE)
    torch.testing.assert_close(light, x[:, 9:36], atol=0.02, rtol=0)  # its head is near zero


def test_it_corrects_by_gains_and_turns():
    one, x = network(), face()
    torch.nn.init.normal_(one.everywhere.bias, std=0.2)
    with torch.no_grad():
        light = one(x).unflatten(1, (3, 9))[..., 32, 48]
    given = x[:, 9:36].unflatten(1, (3, 9))[..., 32, 48]
    bias = one.everywhere.bias.detach().unflatten(0, (3, 9))
    gain = bias[:, :1].exp()
    torch.testing.assert_close(light[0, :, :1], gain * given[0, :, :1], atol=0.02, rtol=0)
    wanted = gain * (given[0, :, 1:] + given[0, :, :1] * bias[:, 1:])
    torch.testing.assert_close(light[0, :, 1:], wanted, atol=0.05, rtol=0)


def test_more_room_beside_the_face_changes_its_light_little():
    one, x = network(), face()
    torch.nn.init.normal_(one.everywhere.weight, std=0.1)
    wide = torch.nn.functional.pad(x, (0, 32, 0, 32))
    inside = (x[:, -1:] > 0).expand(-1, 27, -1, -1)
    with torch.no_grad():
        alone, among = one(x), one(wide)[..., : SIZE[0], : SIZE[1]]
    assert (alone - among)[inside].abs().max() < 0.03
    assert alone[inside].std() > 0.1


def test_arguments_make_the_same_network_again():
    one = network()
    twin = WholeFaceNetwork(**one.arguments)
    twin.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(twin.eval()(face()), one(face()))


def test_all_of_it_learns():
    one = network()
    one(face()).square().mean().backward()
    assert all(weight.grad is not None for weight in one.parameters())


@pytest.mark.parametrize("channels", [(10, 27), (37, 3)])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match="must be 37 and 27"):
        WholeFaceNetwork(*channels)
