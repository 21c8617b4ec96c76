import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.maps.encoding import unit
from realface.maps.spaces import (
    bitangents,
    flip_green,
    level_tangents,
    object_to_offset,
    object_to_tangent,
    offset_to_object,
    tangent_to_object,
)

seeds = st.integers(0, 2**31)


def frame(generator):
    """Random orthonormal frames: tangents, normals, handedness."""
    normals, other = (
        unit(torch.randn(3, 6, 5, dtype=torch.float64, generator=generator)) for _ in range(2)
    )
    tangents = unit(torch.linalg.cross(other, normals, dim=0))
    signs = torch.randint(2, (1, 6, 5), generator=generator).double() * 2 - 1
    return tangents, normals, signs


@given(seeds)
def test_tangent_and_object_space_are_inverse(seed):
    generator = torch.Generator().manual_seed(seed)
    axes = frame(generator)
    vectors = unit(torch.randn(3, 6, 5, dtype=torch.float64, generator=generator))
    there = tangent_to_object(vectors, *axes)
    torch.testing.assert_close(object_to_tangent(there, *axes), vectors)
    there = object_to_tangent(vectors, *axes)
    torch.testing.assert_close(tangent_to_object(there, *axes), vectors)


@given(seeds)
def test_the_axes_of_the_frame(seed):
    tangents, normals, signs = axes = frame(torch.Generator().manual_seed(seed))
    for vector, expected in (
        ((0, 0, 1), normals),
        ((1, 0, 0), tangents),
        ((0, 1, 0), bitangents(*axes)),
    ):
        flat = torch.tensor(vector).double().view(3, 1, 1).expand(3, 6, 5)
        torch.testing.assert_close(tangent_to_object(flat, *axes), expected)
    determinant = (torch.linalg.cross(normals, tangents, dim=0) * bitangents(*axes)).sum(0)
    torch.testing.assert_close(determinant, signs[0])


def test_a_frontal_frame_changes_nothing():
    tangents = torch.tensor((1.0, 0.0, 0.0)).view(3, 1, 1).expand(3, 4, 4)
    normals = torch.tensor((0.0, 0.0, 1.0)).view(3, 1, 1).expand(3, 4, 4)
    vectors = unit(torch.randn(3, 4, 4))
    same = tangent_to_object(vectors, tangents, normals, torch.ones(1, 4, 4))
    torch.testing.assert_close(same, vectors)


@given(seeds)
def test_offset_is_inverse_where_both_normals_face_the_viewer(seed):
    generator = torch.Generator().manual_seed(seed)
    normals = unit(torch.rand(3, 6, 5, dtype=torch.float64, generator=generator) + 0.2)
    offset = 0.3 * torch.randn(3, 6, 5, dtype=torch.float64, generator=generator).clamp(-2, 2)
    vectors = offset_to_object(offset, normals)
    back = object_to_offset(vectors, normals)
    torch.testing.assert_close(back[:2], offset[:2])
    torch.testing.assert_close(offset_to_object(back, normals), vectors)


def test_no_offset_is_the_base_normal():
    normals = unit(torch.rand(3, 4, 4) + 0.1)
    torch.testing.assert_close(offset_to_object(torch.zeros(3, 4, 4), normals), normals)


def test_offset_is_not_a_tangent_frame():
    """AvatarMe's form ignores z and rotates nothing."""
    normals = torch.tensor((1.0, 0.0, 0.0)).view(3, 1, 1)
    tilted = torch.tensor((0.0, 0.5, 123.0)).view(3, 1, 1)
    expected = unit(torch.tensor((1.0, 0.5, 0.0)).view(3, 1, 1))
    torch.testing.assert_close(offset_to_object(tilted, normals), expected)


def test_a_flip_is_its_own_inverse_and_touches_one_component():
    vectors = torch.randn(2, 3, 4, 5)
    assert torch.equal(flip_green(flip_green(vectors)), vectors)
    assert torch.equal(flip_green(vectors)[:, [0, 2]], vectors[:, [0, 2]])


@given(seeds)
def test_level_frames_are_what_the_shortest_turn_makes_of_the_axes(seed):
    generator = torch.Generator().manual_seed(seed)
    normals = unit(torch.randn(3, 6, 5, dtype=torch.float64, generator=generator))
    tangents = level_tangents(normals)
    up = bitangents(tangents, normals, torch.ones(1, dtype=torch.float64))
    axes = torch.stack((tangents, up, normals))  # rows of the turn's transpose
    gram = torch.einsum("ichw,jchw->ijhw", axes, axes)
    identity = torch.eye(3, dtype=torch.float64)[..., None, None].expand_as(gram)
    torch.testing.assert_close(gram, identity, atol=1e-9, rtol=0)
    # The turn's own axis, at right angles to z and the normal, stays where it is.
    x, y, z = normals
    axis = torch.stack((-y, x, torch.zeros_like(z)))
    turned = axis[0] * tangents + axis[1] * up + axis[2] * normals
    torch.testing.assert_close(turned, axis, atol=1e-9, rtol=0)


def test_level_frames_ahead_aside_and_behind():
    normals = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, -1, 0], [0, 0, -1], [1e-6, 0, -1]]).T
    tangents = level_tangents(normals[..., None])[..., 0].T
    torch.testing.assert_close(tangents[:2], torch.tensor([[1.0, 0, 0], [0, 0, -1]]))
    assert tangents.isfinite().all()
    torch.testing.assert_close(tangents.norm(dim=1), torch.ones(5))
