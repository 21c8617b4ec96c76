"""Flaws of a camera: random by sample, in range, repeatable, of the right kinds."""

import subprocess
import sys

import torch

from realface.shading.camera import camera_flaws


def ramp(batch: int = 8, height: int = 24, width: int = 40) -> torch.Tensor:
    """Textures with edges, from black to white."""
    columns = torch.linspace(0, 1, width).expand(batch, 3, height, width).clone()
    columns[..., ::6] = 1 - columns[..., ::6]
    return columns


def test_certain_flaws_touch_every_sample_and_stay_in_range():
    texture = ramp()
    before = texture.clone()
    flawed = camera_flaws(texture, 1.0)
    assert torch.equal(texture, before)
    assert flawed.shape == texture.shape
    assert flawed.dtype == torch.float32
    assert flawed.min() >= 0
    assert flawed.max() <= 1
    error = (flawed - texture).abs().flatten(1)
    assert (error.mean(1) > 1e-3).all()
    assert (error.mean(1) < 0.2).all()  # still the same picture
    assert len(set(error.mean(1).tolist())) == len(texture)


def test_impossible_flaws_change_nothing():
    texture = ramp()
    assert torch.equal(camera_flaws(texture, 0.0), texture)


def test_flaws_come_as_often_as_asked():
    texture = ramp(batch=200, height=16, width=16)
    touched = (camera_flaws(texture, 0.2) != texture).flatten(1).any(1).float().mean()
    assert abs(touched - (1 - 0.8**3)) < 0.12  # any of three


def test_flaws_repeat_with_the_seed():
    texture = ramp()
    torch.manual_seed(3)
    first = camera_flaws(texture, 0.7)
    assert not torch.equal(camera_flaws(texture, 0.7), first)
    torch.manual_seed(3)
    assert torch.equal(camera_flaws(texture, 0.7), first)


def test_mixed_precision_does_not_coarsen_the_picture():
    texture = ramp()
    torch.manual_seed(3)
    exact = camera_flaws(texture, 1.0)
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = camera_flaws(texture, 1.0)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact)


def test_any_size():
    for size in ((17, 31), (8, 8), (1, 5)):
        assert camera_flaws(torch.rand(2, 3, *size), 1.0).shape == (2, 3, *size)


def test_kornia_is_imported_when_it_is_needed():
    program = "import sys, realface.shading.camera; sys.exit('kornia' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
