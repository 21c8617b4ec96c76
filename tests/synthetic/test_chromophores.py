"""Skin from its pigments: known limits, known directions, and the range of human skin."""

import pytest
import torch

from realface.synthetic import chromophores
from realface.synthetic.chromophores import BLOOD, MELANIN, OXYGENATION, read_table, skin_table


def colour(melanin, blood, oxygenation=0.75, depth=0.08, pheomelanin=0.1, carotene=0.1):
    """Linear sRGB of one place."""
    table = skin_table(*(torch.tensor([value]) for value in (depth, pheomelanin, carotene)))
    place = (torch.full((1, 1, 1), value) for value in (melanin, blood, oxygenation))
    return read_table(table, *place)[0, :, 0, 0]


def lightness(linear):
    """CIE L* of linear sRGB."""
    luminance = linear @ torch.tensor((0.2126, 0.7152, 0.0722))
    return 116 * luminance ** (1 / 3) - 16


def test_a_layer_that_absorbs_nothing_loses_nothing():
    depth = torch.tensor([0.01, 0.1, 1.0], dtype=torch.float64)
    back, through = chromophores._layer(torch.full_like(depth, 1e-9), 3.0, depth)
    assert torch.allclose(back + through, torch.ones_like(depth), atol=1e-6)
    assert torch.allclose(back, 3 * depth / (1 + 3 * depth), atol=1e-6)  # Kubelka's limit


def test_a_thick_layer_is_the_endless_one():
    absorb, scatter = torch.tensor(0.7, dtype=torch.float64), 2.5
    back, through = chromophores._layer(absorb, scatter, torch.tensor(40.0, dtype=torch.float64))
    ratio = absorb / scatter
    assert back == pytest.approx((1 + ratio - (ratio * (ratio + 2)).sqrt()).item(), abs=1e-9)
    assert through < 1e-9


def test_white_stays_white():
    flat = torch.full((2, 31), 0.37)
    assert torch.allclose(chromophores._linear_srgb(flat), torch.full((2, 3), 0.37), atol=1e-5)


def test_the_table_reads_as_the_model_says():
    """Between its knots, within half an 8-bit level of sRGB's steepest part."""
    generator = torch.Generator().manual_seed(1)
    one = torch.ones(1)
    table = skin_table(0.08 * one, 0.1 * one, 0.1 * one)
    dense = chromophores._SIDES
    try:
        chromophores._SIDES = (185, 153, 41)  # every eighth knot is the table's
        fine = skin_table(0.08 * one, 0.1 * one, 0.1 * one)
    finally:
        chromophores._SIDES = dense
    shares = torch.rand(3, 1, 50, 50, generator=generator)
    melanin, blood = (
        low * (high / low) ** share
        for (low, high), share in zip((MELANIN, BLOOD), shares[:2], strict=True)
    )
    oxygenation = OXYGENATION[0] + (OXYGENATION[1] - OXYGENATION[0]) * shares[2]
    place = melanin, blood, oxygenation
    assert (read_table(table, *place) - read_table(fine, *place)).abs().max() < 0.004


def test_melanin_darkens_and_blood_reddens():
    fair, dark = colour(0.02, 0.01), colour(0.1, 0.01)
    assert (dark < fair).all()
    assert dark[2] / fair[2] < 0.75 * dark[0] / fair[0]  # blue first
    pale, flushed = colour(0.02, 0.003), colour(0.02, 0.03)
    assert (flushed < pale).all()  # every channel
    assert flushed[1] / pale[1] < 0.7  # green most
    assert flushed[0] / pale[0] > 0.8


def test_blood_without_oxygen_is_bluer():
    artery, vein = colour(0.02, 0.03, 0.95), colour(0.02, 0.03, 0.4)
    assert vein[0] < artery[0]
    assert vein[2] / vein[0] > artery[2] / artery[0]


def test_a_deeper_epidermis_hides_the_blood_behind_more_melanin():
    assert (colour(0.05, 0.01, depth=0.12) < colour(0.05, 0.01, depth=0.05)).all()


def test_red_melanin_and_carotene_make_skin_yellower():
    plain = colour(0.05, 0.01, pheomelanin=0.0, carotene=0.0)
    for other in (colour(0.05, 0.01, pheomelanin=0.5), colour(0.05, 0.01, carotene=0.8)):
        assert other[2] / other[0] < plain[2] / plain[0]


def test_the_range_of_human_skin_is_covered():
    """L* of about 70 on the fairest foreheads to about 30 on the darkest, without the surface."""
    assert 66 < lightness(colour(0.013, 0.004)) < 76
    assert 22 < lightness(colour(0.17, 0.01)) < 34


def test_batches_do_not_mix():
    pair = skin_table(torch.tensor([0.06, 0.1]), torch.tensor([0.0, 0.4]), torch.tensor([0.0, 0.5]))
    for index in range(2):
        alone = skin_table(
            torch.tensor([0.06, 0.1])[index : index + 1],
            torch.tensor([0.0, 0.4])[index : index + 1],
            torch.tensor([0.0, 0.5])[index : index + 1],
        )
        assert torch.allclose(pair[index], alone[0], atol=1e-6)
