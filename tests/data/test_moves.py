"""A moved face under moved lights is the moved image of the face."""

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realface.data.moves import Moves, mirror, move, quarter_turns, rotate
from realface.maps.encoding import srgb_to_linear, unit
from realface.maps.kinds import KINDS
from realface.shading.random_lights import varied_lights
from realface.shading.shade import shade
from tests.faces import face_batch

ALL, NONE = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)


def lit(batch, lights):
    return shade(
        srgb_to_linear(batch["diffuse_albedo"]),
        batch["specular_albedo"],
        batch["diffuse_normals"],
        batch["specular_normals"],
        batch["shape"],
        lights,
    )


def some_lights(seed):
    """Lamps and surroundings; without mirrored ones, which a turn resamples."""
    lights = varied_lights(3, generator=torch.Generator().manual_seed(seed))
    return replace(lights, reflections=None)


def about_z(degrees):
    """Rotation matrices ``(B, 3, 3)``, counterclockwise seen from +z."""
    turns = []
    for angle in torch.as_tensor(degrees).deg2rad().tolist():
        c, s = math.cos(angle), math.sin(angle)
        turns.append(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
    return torch.tensor(turns)


def turned(batch, quarters):
    return quarter_turns(batch, torch.full((3,), quarters))


def maps_of(batch):
    return {kind: values for kind, values in batch.items() if kind in KINDS}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for kind, values in maps_of(one).items():
        assert torch.equal(values, other[kind]), kind


@pytest.mark.parametrize("seed", range(4))
def test_a_mirrored_face_under_mirrored_lights_is_the_mirrored_image(seed):
    batch = face_batch(24, 3)
    lights = varied_lights(3, generator=torch.Generator().manual_seed(seed))
    mirrored = lit(mirror(batch, ALL), lights.mirrored())
    torch.testing.assert_close(mirrored, lit(batch, lights).flip(-1))
    # The same lights, not mirrored, give another image: the test can fail.
    assert (lit(mirror(batch, ALL), lights) - mirrored).abs().max() > 0.01


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("quarters", range(1, 4))
def test_a_turned_face_under_turned_lights_is_the_turned_image(seed, quarters):
    batch, lights = face_batch(24, 3), some_lights(seed)
    image = lit(turned(batch, quarters), lights.rotated(about_z((90.0 * quarters,) * 3)))
    expected = lit(batch, lights).rot90(quarters, (-2, -1))
    torch.testing.assert_close(image, expected, atol=2e-5, rtol=2e-5)
    wrong = lit(turned(batch, quarters), lights.rotated(about_z((-90.0 * quarters + 45,) * 3)))
    assert (wrong - expected).abs().max() > 0.01


def test_the_symmetries_of_the_square():
    batch = face_batch(16, 3)
    assert_same(mirror(mirror(batch, ALL), ALL), batch)
    assert_same(turned(batch, 0), batch)
    four = batch
    for number in range(1, 5):
        four = turned(four, 1)
        assert_same(four, turned(batch, number % 4))
    for quarters in range(4):
        assert_same(mirror(turned(batch, quarters), ALL), turned(mirror(batch, ALL), -quarters % 4))


def test_moves_take_the_chosen_samples_and_leave_the_rest():
    batch = face_batch(16, 3)
    once = mirror(batch, torch.tensor([True, False, True]))
    assert once["key"] == batch["key"]
    turns = quarter_turns(batch, torch.tensor([0, 3, 2]))
    for kind, values in maps_of(batch).items():
        assert torch.equal(once[kind][1], values[1])
        assert torch.equal(once[kind][0], mirror(batch, ALL)[kind][0])
        assert torch.equal(turns[kind][0], values[0])
        assert torch.equal(turns[kind][1], turned(batch, 3)[kind][1])
        assert torch.equal(turns[kind][2], turned(batch, 2)[kind][2])


def test_colours_move_and_stay_the_same_vectors_turn():
    batch = face_batch(16, 3)
    for kind, values in maps_of(mirror(batch, ALL)).items():
        sign = torch.tensor((-1.0, 1, 1)).view(3, 1, 1) if KINDS[kind].is_vector else 1.0
        assert torch.equal(values, batch[kind].flip(-1) * sign), kind


def smooth_batch(size):
    """Faces whose mask is the whole square: nothing jumps."""
    batch = face_batch(size, 3)
    x, y = batch["shape"][:, :1], batch["shape"][:, 1:2]
    base = unit(torch.cat((x / 72, y / 50, torch.ones_like(x)), dim=1))
    skin = 0.5 + 0.1 * torch.sin(0.05 * x) * torch.cos(0.06 * y)
    whole = {"mask": torch.ones_like(x), "diffuse_albedo": skin.expand(-1, 3, -1, -1)}
    normals = {kind: base for kind in batch if kind.endswith("normals")}
    return {**batch, **whole, **normals, "specular_albedo": 0.5 * skin}


@pytest.mark.parametrize("seed", range(3))
def test_a_rotated_face_under_rotated_lights_is_the_rotated_image(seed):
    """To interpolation error, which falls with the square of the texel."""
    angles, zooms = torch.tensor((-20.0, 5.0, 33.0)), torch.tensor((0.9, 1.0, 1.2))
    lights, worst = some_lights(seed), []
    for size in (32, 64):
        batch = smooth_batch(size)
        image = {"diffuse_albedo": lit(batch, lights), "mask": batch["mask"]}
        expected = rotate(image, angles, zooms)
        moved = rotate(batch, angles, zooms)
        assert torch.equal(moved["mask"], expected["mask"])
        assert 0.5 < moved["mask"].mean() < 0.95
        error = lit(moved, lights.rotated(about_z(angles))) - expected["diffuse_albedo"]
        worst.append(float((error * moved["mask"]).abs().max()))
        wrong = lit(moved, lights) - expected["diffuse_albedo"]
        assert (wrong * moved["mask"]).abs().max() > 5 * worst[-1]
    assert worst[0] < 1e-2
    assert worst[1] < 0.5 * worst[0]


@given(st.floats(-180, 180), st.floats(0.5, 2.0))
def test_a_plane_in_millimetres_turns_and_zooms_into_itself(angle, zoom):
    """At (x, y) lies (x, y): wherever it is turned to, and 1 / zoom of it where it is zoomed."""
    y, x = torch.meshgrid(torch.arange(12.0, -13, -1), torch.arange(-15.0, 16), indexing="ij")
    plane = torch.stack((x, y, torch.full_like(x, 7.0)))[None]
    moved = rotate(
        {"shape": plane, "mask": torch.ones(1, 1, 25, 31)},
        torch.tensor([angle]),
        torch.tensor([zoom]),
    )
    scaled = plane / torch.tensor((zoom, zoom, 1.0)).view(3, 1, 1)
    assert moved["mask"][0, 0, 12, 15] == 1
    assert ((moved["shape"] - scaled) * moved["mask"]).abs().max() < 1e-3 * 15


def test_no_rotation_is_nothing_and_a_right_angle_a_quarter_turn():
    batch = face_batch(17, 3)
    for angle, expected in ((0.0, batch), (90.0, turned(batch, 1))):
        moved = rotate(batch, torch.full((3,), angle), torch.ones(3))
        for kind, values in maps_of(moved).items():
            torch.testing.assert_close(values, expected[kind], atol=2e-4, rtol=0)


@given(st.floats(-45, 45), st.floats(0.7, 1.4), st.integers(0, 2**31 - 1))
def test_nothing_invalid_gets_into_what_is_learnt(angle, zoom, seed):
    """Valid texels hold 0 and the others 1: what the new mask keeps is 0."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(1, 1, 20, 20, generator=generator) > 0.1).float()
    batch = {"mask": mask, "diffuse_albedo": (1 - mask).expand(-1, 3, -1, -1)}
    moved = rotate(batch, torch.tensor([angle]), torch.tensor([zoom]))
    assert set(moved["mask"].unique().tolist()) <= {0.0, 1.0}
    assert (moved["diffuse_albedo"] * moved["mask"]).max() <= 1.001e-3
    everything = rotate(
        {"mask": torch.ones_like(mask)}, torch.tensor([angle]), torch.tensor([zoom])
    )
    assert (moved["mask"] <= everything["mask"]).all()


def test_rotated_normals_are_unit():
    moved = rotate(face_batch(24, 3), torch.tensor((10.0, -30, 45)), torch.tensor((0.8, 1.1, 1)))
    for kind in ("diffuse_normals", "specular_normals", "shape_normals"):
        torch.testing.assert_close(moved[kind].norm(dim=1), torch.ones(3, 24, 24))


@given(st.integers(0, 2**31 - 1))
def test_draws_follow_from_the_generator_and_stay_within_their_ranges(seed):
    moves = Moves(mirror_probability=0.5, quarter_turns=True, rotation=12.0, zoom=1.25)
    drawn = moves.draw(random.Random(seed))
    assert drawn == moves.draw(random.Random(seed))
    assert drawn["mirrored"] in (False, True)
    assert drawn["quarters"] in range(4)
    assert -12 <= drawn["angle"] <= 12
    assert 1 / 1.25 - 1e-9 <= drawn["zoom"] <= 1.25 + 1e-9


def test_only_what_is_asked_for_is_drawn_and_each_as_often():
    assert Moves().draw(random.Random(0)) == {}
    assert set(Moves(rotation=3.0).draw(random.Random(0))) == {"angle", "zoom"}
    assert Moves(rotation=3.0).draw(random.Random(0))["zoom"] == 1
    rng, moves = random.Random(0), Moves(mirror_probability=0.25, quarter_turns=True)
    drawn = [moves.draw(rng) for _ in range(2000)]
    assert 400 < sum(one["mirrored"] for one in drawn) < 600
    for quarters in range(4):
        assert 400 < sum(one["quarters"] == quarters for one in drawn) < 600


def test_a_batch_is_moved_as_it_was_drawn():
    batch = face_batch(16, 3)
    assert move(batch) == batch
    mirrored, quarters = torch.tensor([True, False, True]), torch.tensor([1, 2, 0])
    angles, zooms = torch.tensor((3.0, 0, -8)), torch.tensor((1.0, 1.1, 0.9))
    drawn = {"mirrored": mirrored, "quarters": quarters, "angle": angles, "zoom": zooms}
    expected = rotate(quarter_turns(mirror(batch, mirrored), quarters), angles, zooms)
    assert_same(move({**batch, **drawn}), expected)
    assert_same(move({**batch, "mirrored": NONE}), batch)


def test_turning_an_oblong_sample_is_refused():
    oblong = {"mask": torch.ones(1, 1, 4, 6)}
    with pytest.raises(RuntimeError):
        quarter_turns(oblong, torch.tensor([1]))
