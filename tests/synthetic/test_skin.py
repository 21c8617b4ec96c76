"""The skin's pigments and gloss on a face: where what is more, and independent of what."""

import dataclasses

import pytest
import torch

from realface.maps.encoding import srgb_to_linear
from realface.metrics.skin_tone import lab
from realface.synthetic import subject
from realface.synthetic.lattice import CHART_TOP, CHART_WIDTH
from realface.synthetic.traits import draw_traits

HEIGHT, WIDTH = 256, 384
MARKS = ("freckles", "moles", "blemishes", "age_spots", "capillaries", "veins", "vitiligo")
MARKS += ("birthmark", "melasma", "tan_line", "lip_melanin")
WORN = ("blush", "eye_shadow", "eyeliner", "lipstick", "dirt", "face_paint")
HAIR = ("scalp", "beard", "goatee", "moustache")
PLAIN = dict.fromkeys(MARKS + WORN + HAIR, 0.0) | {
    "curtain": 300.0,
    "under_eye": 0.5,
    "mottling": 0.3,
    "flush": 0.5,
}


@pytest.fixture
def face(monkeypatch):
    """Maps of subject 4 with some of its traits replaced."""

    def made(height=HEIGHT, window=None, **traits):
        def drawn(seeds, device):
            one = draw_traits(seeds, device)
            changed = {
                name: torch.full_like(one.age, value) for name, value in (PLAIN | traits).items()
            }
            return dataclasses.replace(one, **changed)

        monkeypatch.setattr(subject, "draw_traits", drawn)
        return subject.ProceduralSubject(4).maps(height, height * 3 // 2, window)

    return made


def at(values, x, y, half=3.0):
    """Median over a square around a place on the chart [mm], per channel."""
    texel = CHART_WIDTH / values.shape[2]
    row, column = round((CHART_TOP - y) / texel), round((CHART_WIDTH / 2 + x) / texel)
    r = max(1, round(half / texel))
    return values[:, row - r : row + r, column - r : column + r].flatten(1).median(dim=1).values


def test_cheeks_are_redder_and_foreheads_darker(face):
    albedo = face(melanin=0.015)["diffuse_albedo"]
    cheek, forehead, lips = (lab(at(albedo, *place)) for place in ((44, 2), (0, 70), (0, -41)))
    assert 0.3 < cheek[1] - forehead[1] < 4
    assert 0.2 < cheek[0] - forehead[0] < 6
    assert lips[1] - cheek[1] > 3
    assert -25 < lips[0] - cheek[0] < -2


def test_more_melanin_is_darker_everywhere(face):
    fair, dark = (face(melanin=m)["diffuse_albedo"] for m in (0.01, 0.12))
    inside = fair.sum(0) > 0
    assert (dark <= fair + 1e-3)[:, inside].float().mean() > 0.99
    assert at(dark, 44, 2).mean() < 0.65 * at(fair, 44, 2).mean()


def test_shadows_under_the_eyes_are_darker_and_bluer(face):
    none, strong = (face(under_eye=u)["diffuse_albedo"] for u in (0.0, 1.5))
    rested, tired = (at(m, 25, 18, 2) for m in (none, strong))
    assert lab(tired)[0] < lab(rested)[0] - 4
    assert at(none, 44, -30).allclose(at(strong, 44, -30), atol=0.01)  # nowhere else


def test_gloss_is_blind_to_pigments(face):
    fair, dark = (face(melanin=m)["specular_albedo"] for m in (0.01, 0.12))
    assert torch.equal(fair, dark)


def test_gloss_varies_over_the_face_as_captured(face):
    gloss = face(oiliness=0.5)["specular_albedo"]
    tip, forehead, cheek, under, side = (
        at(gloss, *place).item() for place in ((0, 2), (0, 68), (34, 0), (30, 16), (74, -14))
    )
    assert tip > forehead > cheek > max(under, side)
    central = gloss[:, 31:237, 115:269].flatten()
    assert 0.19 < central.mean() < 0.25
    assert central.quantile(0.99) < 0.36


def test_black_hair_is_black_and_hides_the_skin(face):
    maps = face(scalp=1.0, hair_melanin=1.0, hair_red=0.0, hair_grey=0.0, hairline=60.0)
    hair = srgb_to_linear(at(maps["diffuse_albedo"], 0, 85))
    assert 0.004 < hair.mean() < 0.03
    assert at(maps["specular_albedo"], 0, 85) < 0.5 * at(maps["specular_albedo"], 0, 20)


def test_hair_leaves_the_ear_free_and_follows_it(face):
    """Around the ear's middle at (128, 14) skin; above and behind it hair."""
    albedo = face(scalp=1.0, hair_melanin=1.0, hair_grey=0.0, melanin=0.01)["diffuse_albedo"]
    free, above, behind = (
        at(albedo, *place, 1.5).mean() for place in ((128, 14), (124, 58), (145, 20))
    )
    assert free > 0.4
    assert above < 0.25
    assert behind < 0.3


@pytest.mark.parametrize(
    ("traits", "place"),
    [
        ({"lipstick": 0.9, "make_up_hue": 1.0}, (0, -41)),
        ({"eye_shadow": 0.8, "make_up_depth": 1.0}, (32, 30)),
        ({"goatee": 1.0, "beard_fill": 1.0, "beard_length": 1.0, "hair_grey": 0.0}, (0, -62)),
        ({"beard": 1.0, "beard_fill": 1.0, "beard_length": 1.0, "hair_grey": 0.0}, (60, -60)),
        ({"hairline": 55.0, "scalp": 1.0, "hair_grey": 0.0}, (0, 75)),
        ({"curtain": 80.0, "scalp": 1.0, "hair_grey": 0.0}, (110, -10)),
    ],
)
def test_what_lies_over_the_skin_darkens_its_place_only(face, traits, place):
    bare = face(melanin=0.012, hair_melanin=1.0, beard_edge=0.0)["diffuse_albedo"]
    worn = face(melanin=0.012, hair_melanin=1.0, beard_edge=0.0, **traits)["diffuse_albedo"]
    assert at(worn, *place).mean() < 0.75 * at(bare, *place).mean()
    assert at(worn, 40, -8).allclose(at(bare, 40, -8), atol=0.02)


def test_vitiligo_takes_melanin_away_and_a_birthmark_adds_blood(face):
    bare = face(melanin=0.08)["diffuse_albedo"]
    pale = face(melanin=0.08, vitiligo=1.0)["diffuse_albedo"]
    assert (pale > bare + 0.1).float().mean() > 0.02
    bare = face(melanin=0.012)["diffuse_albedo"]
    red = face(melanin=0.012, birthmark=1.0)["diffuse_albedo"]
    assert ((red[1] < 0.85 * bare[1]) & (red[0] > 0.85 * bare[0])).float().mean() > 0.005


def test_painted_and_bare_members_share_a_batch(monkeypatch):
    """Where one of a batch wears paint, the others stay as they are alone."""

    def drawn(seeds, device):
        one = draw_traits(seeds, device)
        some = torch.tensor([[[0.9 if seed == 3 else 0.0]] for seed in seeds])
        return dataclasses.replace(one, face_paint=some, dirt=some * 0, lipstick=some * 0)

    monkeypatch.setattr(subject, "draw_traits", drawn)
    window = (60, 90, 40, 60)
    both = subject.subject_windows([3, 4], 128, 192, [window] * 2)
    for index, seed in enumerate((3, 4)):
        alone = subject.subject_windows([seed], 128, 192, [window])
        torch.testing.assert_close(
            both["diffuse_albedo"][index], alone["diffuse_albedo"][0], atol=1e-4, rtol=1e-5
        )
