"""Who is drawn: evenly over tones, as often as is said, and each from the seed alone."""

import pytest
import torch

from realface.maps.encoding import linear_to_srgb
from realface.metrics.skin_tone import lab, tone_counts, typology_angle
from realface.synthetic.chromophores import BLOOD, MELANIN, OXYGENATION, read_table, skin_table
from realface.synthetic.traits import draw_traits

MANY = 600


@pytest.fixture(scope="module")
def traits():
    return draw_traits(range(MANY), torch.device("cpu"))


def share(values):
    return (values != 0).float().mean().item()


def test_a_batch_is_its_members(traits):
    alone = draw_traits([17], torch.device("cpu"))
    for name, values in vars(alone).items():
        assert torch.equal(values[0], getattr(traits, name)[17]), name


def test_pigments_lie_within_the_table(traits):
    for values, (low, high) in (
        (traits.melanin, MELANIN),
        (traits.blood, BLOOD),
        (traits.oxygenation, OXYGENATION),
    ):
        assert low < values.min()
        assert values.max() < high
    assert (traits.melanin.max() / traits.melanin.min()) > 20


def test_bare_skin_is_spread_evenly_over_the_classes_of_tone(traits):
    table = skin_table(
        *(v.flatten() for v in (traits.epidermis, traits.pheomelanin, traits.carotene))
    )
    colour = read_table(table, traits.melanin, traits.blood, traits.oxygenation)[..., 0, 0]
    counts = tone_counts(typology_angle(lab(linear_to_srgb(colour))))
    assert len(counts) == 6
    for name, count in counts.items():
        assert 0.09 < count / MANY < 0.26, name


def test_rare_things_are_as_rare_as_said(traits):
    assert share(traits.vitiligo) == pytest.approx(0.015, abs=0.015)
    assert share(traits.birthmark) == pytest.approx(0.015, abs=0.015)
    assert share(traits.face_paint) == pytest.approx(0.02, abs=0.017)
    assert share(traits.dirt) == pytest.approx(0.04, abs=0.025)
    women = traits.masculinity <= 0.5
    worn = (traits.lipstick + traits.blush + traits.eye_shadow + traits.eyeliner) > 0
    assert worn[women].float().mean() == pytest.approx(0.43, abs=0.08)
    assert worn[~women].float().mean() < 0.08


def test_only_men_have_beards_and_men_have_all_kinds(traits):
    women = traits.masculinity <= 0.5
    assert (traits.beard + traits.goatee + traits.moustache)[women].max() == 0
    men = {name: getattr(traits, name)[~women] for name in ("beard", "moustache", "beard_fill")}
    assert (men["beard"] < 0.36).float().mean() == pytest.approx(0.55, abs=0.09)
    assert ((men["beard"] > 0.7) & (men["beard_fill"] > 0)).float().mean() > 0.15
    assert ((men["beard"] < 0.3) & (men["moustache"] > 0.5)).float().mean() > 0.1


def test_hair_begins_anywhere(traits):
    assert share(traits.scalp) == pytest.approx(0.92, abs=0.04)
    assert 0.03 < (traits.hairline < 77).float().mean() < 0.25  # fringes
    assert (traits.hairline > 98).float().mean() > 0.05  # receding
    assert 0.1 < (traits.curtain < 150).float().mean() < 0.35
