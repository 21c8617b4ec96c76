"""What micro-relief promises: scattered light sees less of it the finer it is, and where it is."""

import math
from dataclasses import replace

import pytest
import torch

from realface.shading.subsurface import SKIN_RADII, scatter
from realface.synthetic.lattice import texel_grid
from realface.synthetic.relief import relief, scattered
from realface.synthetic.traits import draw_traits

WIDTH, SIDE = 6144, 192  # 9.4 mm
CPU = torch.device("cpu")


def fields_at(grid, **weights):
    """Even skin around the place (0, 0), with these weights of regions."""
    place_y, place_x = grid.mesh()
    flat = torch.zeros(grid.size)
    named = {"pores": 0.5, "lines": 0.25, "beard": 0.0, "lips": 0.0, "crease": 0.0} | weights
    fields = {name: flat + value for name, value in named.items()}
    return fields | {"place_x": flat + place_x, "place_y": flat + place_y}


def relief_at(x, y, seed=3, width=WIDTH, **given):
    """Relief around a place [mm]; what is given is a trait or a region's weight."""
    texel = 300 / width
    window = (
        round((104 - y) / texel) - SIDE // 2,
        round((150 + x) / texel) - SIDE // 2,
        SIDE,
        SIDE,
    )
    grid, traits = texel_grid(width, [window], CPU), draw_traits([seed], CPU)
    own = {name: torch.full((1, 1, 1), given.pop(name)) for name in ("age",) if name in given}
    own |= {"beard": torch.full((1, 1, 1), given.pop("stubble"))} if "stubble" in given else {}
    return relief(grid, fields_at(grid, **given), replace(traits, **own))


def steepness(heights):
    return float(heights.diff(dim=2).std() + heights.diff(dim=1).std())


@pytest.mark.parametrize("wavelength", [1.6, 3.2, 6.4])
def test_waves_are_scattered_as_shading_scatters_light(wavelength):
    """A wave of light through `subsurface.scatter` keeps the share that `scattered` names."""
    pitch = 0.1
    columns = torch.arange(512) * pitch
    wave = 1 + 0.5 * torch.cos(2 * math.pi * columns / wavelength).expand(1, 3, 256, 512)
    light = scatter(wave, None, torch.full((1, 1, 256, 512), pitch), SKIN_RADII)[
        0, :2, 128, 192:320
    ]
    share = (light.amax(1) - light.amin(1)).mean()
    assert share == pytest.approx(scattered(wavelength), abs=0.04)


def test_soft_relief_loses_more_the_finer_it_is():
    found = relief_at(35, 5)
    shares = []
    for knots in (32, 8, 2):  # texels that are averaged, so from coarse to fine
        coarse, fine = (
            [torch.nn.functional.avg_pool2d(h[:, None], n)[:, 0] for h in (found.soft, found.sharp)]
            for n in (knots, max(1, knots // 4))
        )
        spread = [
            (f - c.repeat_interleave(f.shape[1] // c.shape[1], 1)
                  .repeat_interleave(f.shape[2] // c.shape[2], 2)).std()
            for c, f in zip(coarse, fine, strict=True)
        ]  # fmt: skip
        shares.append(float(spread[0] / spread[1]))
    assert 0.8 > shares[0] > shares[1] > shares[2] > 0


def test_old_skin_is_rougher_than_young():
    for place in ((0, 70), (35, 5), (52, 24)):
        assert steepness(relief_at(*place, age=0.95).sharp) > steepness(
            relief_at(*place, age=0.05).sharp
        )


def test_stubbled_skin_has_more_follicles_than_bare():
    stubbled = relief_at(20, -62, beard=1.0, stubble=0.9)
    assert stubbled.pits.mean() > 1.2 * relief_at(20, -62, beard=1.0, stubble=0.0).pits.mean()


def test_the_forehead_runs_level_and_cheeks_do_not():
    forehead, cheek = relief_at(0, 70, lines=1.1, age=0.8), relief_at(35, 5, age=0.8)
    ratio = [
        float(r.sharp.diff(dim=1).std() / r.sharp.diff(dim=2).std()) for r in (forehead, cheek)
    ]
    assert ratio[0] > 1.4
    assert 0.75 < ratio[1] < 1.33


def test_lips_have_upright_fissures_that_darken():
    lips = relief_at(0, -40, lips=1.0, pores=0.0)
    assert lips.sharp.diff(dim=2).std() > 1.3 * lips.sharp.diff(dim=1).std()
    deep = lips.pits > lips.pits.quantile(0.95)
    assert lips.sharp[deep].mean() < lips.sharp.mean() - 0.02


def test_pores_differ_in_depth_and_are_pits():
    porous, even = relief_at(0, 5, pores=1.2), relief_at(0, 5, pores=0.0)
    added = porous.sharp - even.sharp
    assert added.amin() < -0.05
    assert added.amax() < 0.03
    assert 0.3 < (porous.pits - even.pits).amax() <= 1
    deep = added[0][porous.pits[0] > 0.3]
    assert deep.std() > 0.01


def test_relief_too_fine_for_the_texels_is_left_out():
    coarse = relief_at(0, 5, width=192)  # 1.6 mm a texel
    assert coarse.pits.amax() == 0
    assert coarse.sharp.isfinite().all()
