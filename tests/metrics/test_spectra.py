"""Spectra on waves of known length and height."""

import itertools
import math

import pytest
import torch

from realface.metrics.spectra import (
    band_variance,
    decibels,
    low_passed_normals,
    micro_slopes,
    octave_bands,
    tilt_degrees,
)

BANDS = octave_bands(8.0, 4)  # 8-4, 4-2, 2-1, 1-0.5 mm


def places(height, width, millimetres):
    """Places down and across a region [mm], ``(h, w)`` each."""
    y = torch.arange(height) * millimetres[0]
    x = torch.arange(width) * millimetres[1]
    return torch.meshgrid(y, x, indexing="ij")


def wave(size, millimetres, wavelength, direction=0.0, amplitude=1.0, phase=0.4):
    y, x = places(*size, millimetres)
    along = x * math.cos(direction) + y * math.sin(direction)
    return (amplitude * torch.sin(2 * math.pi * along / wavelength + phase))[None, None]


def whole(values):
    return torch.ones_like(values[:, :1])


def test_octaves_adjoin():
    bands = octave_bands(16, 5)
    assert bands[0] == (16, 8)
    assert bands[-1] == (1, 0.5)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bands))


@pytest.mark.parametrize("direction", [0.0, 0.6, math.pi / 2])
@pytest.mark.parametrize(("wavelength", "band"), [(5.6, 0), (2.8, 1), (1.4, 2), (0.7, 3)])
def test_a_wave_lies_in_its_band_with_its_energy(wavelength, band, direction):
    millimetres = (0.11, 0.14)
    values = wave((220, 200), millimetres, wavelength, direction, amplitude=0.3)
    measured = band_variance(values, whole(values), millimetres, BANDS)[0, 0]
    assert measured[band] == pytest.approx(0.3**2 / 2, rel=0.05)  # a plane takes a little
    assert measured.sum() - measured[band] < 0.02 * measured[band]


def test_bands_add_up_to_the_variance():
    torch.manual_seed(0)
    values = torch.randn(1, 2, 128, 128)
    everything = [(1e9, 4.0), *octave_bands(4.0, 1), (2.0, 0.2 / math.sqrt(2) - 1e-6)]
    with pytest.raises(ValueError, match="at least two texels a wave"):
        band_variance(values, whole(values), (0.1, 0.1), everything)
    shown = band_variance(values, whole(values), (0.1, 0.1), [(1e9, 1.0), (1.0, 0.2)])
    inscribed = math.pi / 4  # of the square of frequencies: its corners are finer than two texels
    assert torch.allclose(shown.sum(-1), torch.full((1, 2), inscribed), rtol=0.06)


def test_white_noise_is_flat():
    torch.manual_seed(1)
    values = torch.randn(4, 2, 256, 256)
    measured = band_variance(values, whole(values), (0.1, 0.1), octave_bands(3.2, 4)).mean((0, 1))
    area = torch.tensor(
        [math.pi * (fine**-2 - coarse**-2) for coarse, fine in octave_bands(3.2, 4)]
    )
    assert torch.allclose(measured / area, torch.full((4,), 0.1**2), rtol=0.06)


def test_resampling_changes_nothing():
    torch.manual_seed(2)
    coarse = torch.nn.functional.interpolate(
        torch.randn(1, 1, 24, 24), (192, 192), mode="bicubic"
    )  # waves of 1.6 mm and longer on 0.1 mm
    y = torch.linspace(0, 191, 301)
    grid = torch.stack(torch.meshgrid(y, torch.arange(192.0), indexing="ij")[::-1], -1)
    finer = torch.nn.functional.grid_sample(
        coarse, (grid * 2 / 191 - 1)[None], mode="bicubic", align_corners=True
    )
    bands = [(6.4, 3.2), (3.2, 1.6)]
    here = band_variance(coarse, whole(coarse), (0.1, 0.1), bands)
    there = band_variance(finer, whole(finer), (0.1 * 191 / 300, 0.1), bands)
    assert decibels(there, here).abs().max() < 0.2


def test_mean_and_slope_do_not_count():
    values = wave((200, 200), (0.1, 0.1), 1.4)
    y, x = places(200, 200, (0.1, 0.1))
    sloped = values + 30 + 2 * y - 3 * x
    plain = band_variance(values, whole(values), (0.1, 0.1), BANDS)
    assert torch.allclose(band_variance(sloped, whole(values), (0.1, 0.1), BANDS), plain, atol=2e-4)


def test_masked_texels_are_not_read_and_energy_is_kept():
    values = wave((200, 200), (0.1, 0.1), 1.4, direction=0.5)
    mask = whole(values)
    mask[..., 120:, 90:] = 0
    spoiled = torch.where(mask > 0, values, float("nan"))
    measured = band_variance(spoiled, mask, (0.1, 0.1), BANDS)[0, 0]
    assert measured[2] == pytest.approx(0.5, rel=0.05)
    assert measured[0] < 0.02


def test_an_empty_mask_gives_no_number():
    values = torch.ones(1, 1, 128, 128)
    assert band_variance(values, values * 0, (0.1, 0.1), [(4.0, 2.0)]).isnan().all()


@pytest.mark.parametrize("bands", [[(0.3, 0.15)], [(64.0, 32.0)]])
def test_bands_that_the_region_cannot_show_are_refused(bands):
    values = torch.ones(1, 1, 64, 64)
    with pytest.raises(ValueError, match="band"):
        band_variance(values, values, (0.1, 0.1), bands)


def test_decibels():
    assert float(decibels(torch.tensor(2.0), torch.tensor(1.0))) == pytest.approx(3.01, abs=0.01)


def rotation(axis, angle):
    x, y, z = torch.nn.functional.normalize(torch.tensor(axis), dim=0)
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return torch.linalg.matrix_exp(angle * cross)


def normals_of(slope_x, slope_y):
    flat = torch.stack((-slope_x, -slope_y, torch.ones_like(slope_x)), 1)
    return torch.nn.functional.normalize(flat, dim=1)


def test_slopes_over_a_plane_are_derivatives():
    torch.manual_seed(3)
    slope_x, slope_y = 0.3 * torch.randn(2, 1, 8, 8)
    ahead = normals_of(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8))
    slopes = micro_slopes(normals_of(slope_x, slope_y), ahead)
    assert torch.allclose(slopes, torch.stack((slope_x, slope_y), 1), atol=1e-5)


def test_slopes_against_a_turned_base_have_the_same_steepness():
    torch.manual_seed(4)
    normals = normals_of(*0.3 * torch.randn(2, 1, 8, 8))
    base = normals_of(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8))
    turn = rotation((0.3, 1.0, -0.2), 0.7)
    turned = [torch.einsum("ij,bjhw->bihw", turn, n) for n in (normals, base)]
    straight = micro_slopes(normals, base).norm(dim=1)
    assert torch.allclose(micro_slopes(*turned).norm(dim=1), straight, atol=1e-5)


def test_a_normal_against_itself_is_level():
    normals = normals_of(torch.rand(1, 4, 4), torch.rand(1, 4, 4))
    assert micro_slopes(normals, normals).abs().max() < 1e-6


def test_low_pass_halves_the_wave_it_names_and_keeps_long_ones():
    for wavelength, kept in ((4.0, 0.5), (40.0, 0.99)):
        rise = 0.05 * wave((400, 400), (0.1, 0.1), wavelength)[0]
        normals = normals_of(rise, torch.zeros_like(rise))
        low = low_passed_normals(normals, whole(normals), (0.1, 0.1), 4.0)
        ratio = (low[:, 0] / normals[:, 0])[..., 100:300, 100:300].median()
        assert float(ratio) == pytest.approx(kept, abs=0.01)
        assert torch.allclose(low.norm(dim=1), torch.ones(1, 400, 400), atol=1e-5)


def test_low_pass_reads_only_valid_normals():
    normals = normals_of(torch.full((1, 60, 60), 0.2), torch.zeros(1, 60, 60))
    mask = whole(normals)
    mask[..., :20] = 0
    spoiled = torch.where(mask > 0, normals, torch.tensor(float("nan")))
    low = low_passed_normals(spoiled, mask, (0.5, 0.5), 4.0)
    assert torch.allclose(low[..., 20:], normals[..., 20:], atol=1e-5)


def test_tilts_are_angles():
    slopes = torch.zeros(1, 2, 1, 101)
    slopes[0, 0, 0] = torch.tan(torch.deg2rad(torch.arange(101) * 0.5))
    mask = torch.ones(1, 1, 1, 101)
    tilts = tilt_degrees(slopes, mask, (0.0, 0.5, 1.0))
    assert torch.allclose(tilts, torch.tensor([0.0, 25.0, 50.0]), atol=1e-3)
    with pytest.raises(ValueError, match="valid"):
        tilt_degrees(slopes, mask * 0, (0.5,))
