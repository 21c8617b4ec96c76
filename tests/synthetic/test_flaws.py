"""Flaws of captured maps: what each does, and what it must leave alone."""

import pytest
import torch

from realface.maps.encoding import unit
from realface.synthetic import ProceduralSubject
from realface.synthetic.flaws import FLAWS, IN_INPUTS, IN_TRUTH, SHIFT, apply_flaws

HEIGHT, WIDTH = 96, 144
REFLECTANCE = ("diffuse_albedo", "specular_albedo", "diffuse_normals", "specular_normals")
KEPT = ("shape", "shape_normals", "occlusion")


@pytest.fixture(scope="module")
def face():
    return ProceduralSubject(2).maps(HEIGHT, WIDTH)


def degrees(a, b, dim=0):
    return torch.rad2deg(2 * torch.asin(((a - b).norm(dim=dim) / 2).clamp(max=1)))


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_changes_maps_and_keeps_the_rest(face, name):
    before = {kind: values.clone() for kind, values in face.items()}
    made = apply_flaws(face, [name], [7])
    assert list(made) == list(face)
    for kind, values in made.items():
        assert values.shape == face[kind].shape
        assert values.dtype == torch.float32
        assert torch.equal(face[kind], before[kind]), "the argument was changed"
        if kind in KEPT or (kind == "mask" and name != "noise_fill"):
            assert torch.equal(values, face[kind]), kind
    assert any(not torch.equal(made[kind], face[kind]) for kind in REFLECTANCE)


@pytest.mark.parametrize("name", FLAWS)
def test_normals_stay_unit_within_the_mask(face, name):
    made = apply_flaws(face, [name], [7])
    inside = face["mask"][0] > 0
    for kind in ("diffuse_normals", "specular_normals"):
        length = made[kind].norm(dim=0)[inside]
        torch.testing.assert_close(length, torch.ones_like(length), atol=1e-5, rtol=0)
    for kind in ("diffuse_albedo", "specular_albedo"):
        assert 0 <= made[kind].min() <= made[kind].max() <= 1


def test_no_strength_is_no_flaw(face):
    made = apply_flaws(face, list(FLAWS), [7], strength=0.0)
    assert all(torch.equal(made[kind], values) for kind, values in face.items())


def test_no_flaws_leave_maps_alone_whatever_the_seed(face):
    made = apply_flaws(face, [], [10**20])
    assert made is not face
    assert all(made[kind] is values for kind, values in face.items())


@pytest.mark.parametrize("name", sorted(set(FLAWS) - {"background"}))
def test_little_strength_is_little_flaw(face, name):
    made = apply_flaws(face, [name], [7], strength=0.02)
    inside = (face["mask"] * made["mask"])[0] > 0
    for kind in REFLECTANCE:
        assert (made[kind] - face[kind]).abs()[:, inside].median() < 0.02, kind


@pytest.mark.parametrize("name", sorted(set(FLAWS) - {"quantisation"}))
def test_the_seed_decides(face, name):
    first, again, other = (apply_flaws(face, [name], [seed]) for seed in (7, 7, 8))
    assert all(torch.equal(first[kind], again[kind]) for kind in face)
    assert any(not torch.equal(first[kind], other[kind]) for kind in face)


def test_members_of_a_batch_do_not_meet(face):
    batch = {kind: torch.stack((values, values)) for kind, values in face.items()}
    made = apply_flaws(batch, list(FLAWS), [7, 8])
    for member, seed in enumerate((7, 8)):
        alone = apply_flaws(face, list(FLAWS), [seed])
        for kind, values in alone.items():
            torch.testing.assert_close(made[kind][member], values, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FLAWS)
def test_a_window_agrees_with_the_whole(face, name):
    window = (20, 31, 48, 64)
    top, left, height, width = window
    part = (slice(None), slice(top, top + height), slice(left, left + width))
    whole = apply_flaws(face, [name], [7])
    cut = {kind: values[part] for kind, values in face.items()}
    made = apply_flaws(cut, [name], [7], windows=[window], map_width=WIDTH)
    rim = {"blur": 3, "misregistration": SHIFT}.get(name, 0)
    inner = (slice(None), slice(rim, height - rim), slice(rim, width - rim))
    for kind, values in made.items():
        torch.testing.assert_close(values[inner], whole[kind][part][inner], atol=1e-4, rtol=0)


def test_captured_normals_lean_as_measured():
    """26 degrees (median) from the mesh's in the central face; x and y about 0.7 of its."""
    angles, shares = [], []
    for subject in (1, 4):
        maps = ProceduralSubject(subject).maps(64, 96)
        centre = (slice(None), slice(12, 54), slice(26, 70))
        base = maps["shape_normals"][centre]
        for seed in range(8):
            leant = apply_flaws(maps, ["leaning_normals"], [seed])["specular_normals"][centre]
            angles.append(degrees(base, leant).median())
            shares.append((base[:2] * leant[:2]).sum() / base[:2].square().sum())
    assert torch.stack(angles).mean() == pytest.approx(26, abs=3)
    assert torch.stack(shares).mean() == pytest.approx(0.7, abs=0.1)


def test_leaning_is_slow_and_keeps_the_detail(face):
    made = apply_flaws(face, ["leaning_normals"], [7])
    inner = (slice(15, 80), slice(30, 114))
    for kind in ("diffuse_normals", "specular_normals"):
        before = degrees(face[kind], face["shape_normals"])[inner]
        # Equal inputs turn equally: the angle between captured and leant base is kept.
        base = {**face, kind: face["shape_normals"]}
        after = degrees(made[kind], apply_flaws(base, ["leaning_normals"], [7])[kind])[inner]
        torch.testing.assert_close(after, before, atol=0.05, rtol=0)
    flat = {k: torch.zeros(3, HEIGHT, WIDTH).index_fill(0, torch.tensor(2), 1.0) for k in
            ("shape_normals", "specular_normals")}  # fmt: skip
    leant = apply_flaws(flat, ["leaning_normals"], [7])["specular_normals"]
    step = degrees(leant[:, :, 1:], leant[:, :, :-1])  # over 2 mm
    assert 0.05 < step.mean() < 3
    assert degrees(leant, flat["shape_normals"]).max() > 10


def apart(fields):
    """Distance of the two fields of ``(n, texels)`` that are most alike."""
    return torch.pdist(fields, p=torch.inf).min()


def test_no_two_subjects_lean_alike_about_any_axis():
    """About x and y, 50 subjects: 100 fields, read off how (0, 0, 1) turns."""
    ahead = torch.zeros(50, 3, 16, 24).index_fill(1, torch.tensor(2), 1.0)
    maps = {"shape_normals": ahead, "specular_normals": ahead}
    leant = apply_flaws(maps, ["leaning_normals"], range(50))["specular_normals"]
    x, y, z = leant.unbind(1)
    by_angle = torch.acos(z.clamp(-1, 1)) / (x**2 + y**2).sqrt().clamp(min=1e-6)
    assert apart(torch.cat((x * by_angle, -y * by_angle)).flatten(1)) > 0.01


def test_no_two_maps_of_any_subjects_hold_the_same_noise():
    """50 subjects of four maps, closed everywhere; colours are 0.4 of what normals are made of."""
    closed = {"occlusion": torch.zeros(50, 1, 4, 6), "mask": torch.ones(50, 1, 4, 6)}
    maps = {kind: torch.zeros(50, 3, 4, 6) for kind in REFLECTANCE} | closed
    made = apply_flaws(maps, ["noise_fill"], range(50))
    for kind in ("diffuse_albedo", "specular_albedo"):
        made[kind] = unit(made[kind] / 0.4 - 0.5)
    assert apart(torch.cat([made[kind] for kind in REFLECTANCE]).flatten(1)) > 0.1


def test_the_background_is_filled_as_files_have_it(face):
    seen = set()
    outside = face["mask"][0] == 0
    for seed in range(12):
        made = apply_flaws(face, ["background"], [seed])
        for kind in REFLECTANCE:
            values = made[kind][:, outside]
            assert (values == values[:, :1]).all()
            assert torch.equal(made[kind][:, ~outside], face[kind][:, ~outside])
            seen.add((len(values), *values[:, 0].tolist()))
    assert {(3, -1.0, -1.0, -1.0), (3, 0.0, 0.0, 1.0), (1, 1.0), (1, 0.0)} <= seen


def test_noise_leaves_the_mask_and_is_where_light_is_not(face):
    made = apply_flaws(face, ["noise_fill"], [7])
    gone = (face["mask"] > made["mask"])[0]
    assert 0.001 < gone.float().mean() < 0.06
    assert face["occlusion"][0][gone].max() < face["occlusion"][0][~gone].median()
    for kind in REFLECTANCE:
        assert torch.equal(made[kind][:, ~gone], face[kind][:, ~gone])
        assert made[kind][:, gone].std() > 0.05


def test_eight_bits_are_eight_bits(face):
    made = apply_flaws(face, ["quantisation"], [7])
    for kind in ("diffuse_albedo", "specular_albedo"):
        levels = made[kind] * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
        assert (made[kind] - face[kind]).abs().max() <= 0.5 / 255 + 1e-6
    off = degrees(made["specular_normals"], face["specular_normals"])[face["mask"][0] > 0]
    assert off.max() < 0.5


def test_blur_differs_from_map_to_map_and_keeps_the_mean():
    noise = torch.rand(1, 64, 64)
    maps = {"diffuse_albedo": noise.repeat(3, 1, 1), "specular_albedo": noise}
    share = []
    for seed in range(6):
        made = apply_flaws(maps, ["blur"], [seed])
        spread = [made[kind][:1].std() / noise.std() for kind in maps]
        assert all(0.3 < value <= 1 for value in spread)
        assert made["specular_albedo"].mean() == pytest.approx(float(noise.mean()), abs=0.005)
        share.append(spread[0] - spread[1])
    assert max(share) > 0.1
    assert min(share) < -0.1


def test_misregistration_shifts_by_whole_texels():
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    maps = {"specular_albedo": ((row + 32 * column) / 1024)[None]}
    shifts = set()
    for seed in range(20):
        made = apply_flaws(maps, ["misregistration"], [seed])["specular_albedo"][0]
        moved = (made - maps["specular_albedo"][0])[4:-4, 4:-4] * 1024
        assert (moved - moved[0, 0]).abs().max() < 1e-2
        shifts.add(round(float(moved[0, 0])))
    assert len(shifts) > 5
    assert max(abs(shift) for shift in shifts) <= SHIFT * 33


def test_every_flaw_is_of_the_truth_or_of_inputs():
    assert sorted(IN_TRUTH + IN_INPUTS) == sorted(FLAWS)


@pytest.mark.parametrize(
    ("names", "seeds", "maps"),
    [
        (["dust"], [1], ("mask",)),
        (["noise_fill"], [1], ("mask",)),
        (["blur"], [1, 2], ("mask",)),
    ],
)
def test_what_cannot_be_done_is_refused(face, names, seeds, maps):
    with pytest.raises(ValueError, match=r"flaw|seeds"):
        apply_flaws({kind: face[kind] for kind in maps}, names, seeds)
