import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.maps.encoding import unit
from realface.maps.kinds import KINDS

angles = st.floats(-360, 360)


def turn(degrees):
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    c, s = angle.cos(), angle.sin()
    return torch.stack((c, -s, s, c)).view(2, 2)


def some(kind, *leading):
    generator = torch.Generator().manual_seed(0)
    shape = (*leading, KINDS[kind].channels, 4, 5)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_vectors_turn_about_z_and_colours_stay(kind):
    values = some(kind)
    moved = KINDS[kind].moved(values, turn(90.0))
    if KINDS[kind].is_vector:
        x, y, z = values
        torch.testing.assert_close(moved, torch.stack((-y, x, z)))
    else:
        assert torch.equal(moved, values)


@given(angles, angles)
def test_two_moves_are_their_product(one, other):
    kind = KINDS["specular_normals"]
    values = some("specular_normals")
    twice = kind.moved(kind.moved(values, turn(one)), turn(other))
    torch.testing.assert_close(twice, kind.moved(values, turn(other) @ turn(one)))
    torch.testing.assert_close(twice.norm(dim=-3), values.norm(dim=-3))


def test_each_sample_of_a_batch_has_its_own_matrix():
    kind, values = KINDS["shape"], some("shape", 2)
    matrices = torch.stack((turn(20.0), turn(-70.0)))
    moved = kind.moved(values, matrices)
    for number in range(2):
        assert torch.equal(moved[number], kind.moved(values[number], matrices[number]))


def test_the_argument_stays_as_it_was():
    values = some("shape")
    before = values.clone()
    KINDS["shape"].moved(values, turn(30.0))
    assert torch.equal(values, before)


def test_the_table_is_read_without_torch():
    program = "import sys, realface.maps.kinds; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_mirrored_surface_has_the_mirrored_normals():
    """Normals by differences of mirrored positions are the mirrored normals."""
    y, x = torch.meshgrid(torch.linspace(1, -1, 20), torch.linspace(-1, 1, 30), indexing="ij")
    shape = torch.stack((x, y, torch.sin(2 * x + y)))

    def normals(positions):
        down, along = torch.gradient(positions, dim=(1, 2))
        return unit(torch.linalg.cross(along, -down, dim=0))

    mirror = torch.tensor(((-1.0, 0.0), (0.0, 1.0)))
    mirrored = KINDS["shape"].moved(shape.flip(-1), mirror)
    expected = KINDS["shape_normals"].moved(normals(shape).flip(-1), mirror)
    torch.testing.assert_close(normals(mirrored), expected)
    assert (normals(shape)[2] > 0).all()
