"""The network that sees a face whole."""

import pytest
import torch

from realface.maps.encoding import linear_to_srgb, unit
from realface.networks.whole_face import WholeFaceNetwork
from realface.shading.whole_light import log_shading

SIZE = (64, 96)


def face(seed=0):
    """Channels of a face of one albedo under a smooth light, on a part of its map."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96), indexing="ij")
    normals = unit(torch.stack((x, -y, torch.ones_like(x)))[None])
    light = 0.3 * torch.randn(1, 27, 1, 1, generator=generator)
    texture = linear_to_srgb(0.2 * log_shading(light.expand(-1, -1, *SIZE), normals).exp())
    mask = ((x.square() + y.square()) < 0.8).float()[None, None]
    position = torch.stack((x, -y, -x * x))[None]
    return torch.cat((2 * texture - 1, normals, position, torch.ones_like(mask)), 1) * mask


def network(**changes):
    torch.manual_seed(0)
    return WholeFaceNetwork(10, base_channels=4, downsamples=3, blocks=1, **changes).eval()


def test_a_fresh_one_divides_by_a_fit():
    x = face()
    with torch.no_grad():
        light = network()(x)
    assert light.shape == (1, 27, *SIZE)
    mask = x[:, -1:] > 0
    shading = log_shading(light, x[:, 3:6])
    albedo = (((x[:, :3] + 1) / 2).clamp(min=1e-3) ** 2.2).log() - shading
    spread = [albedo[:, c][mask[:, 0]].std() for c in range(3)]
    assert max(spread) < 0.12


def test_more_room_beside_the_face_changes_its_light_little():
    x = face()
    wide = torch.nn.functional.pad(x, (0, 32, 0, 32))
    inside = (x[:, -1:] > 0).expand(-1, 27, -1, -1)
    with torch.no_grad():
        alone, among = network()(x), network()(wide)[..., : SIZE[0], : SIZE[1]]
    assert (alone - among)[inside].abs().max() < 0.01
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


@pytest.mark.parametrize("channels", [(9, 27), (10, 3)])
def test_other_channels_are_refused(channels):
    with pytest.raises(ValueError, match="must be 10 and 27"):
        WholeFaceNetwork(*channels)
