"""What spectra do not say of skin's relief: how steep it is, which way it runs, how even it is."""

import torch
from head_scan import BANDS, REGIONS, Patch, in_bands
from torch import Tensor

from realface.metrics.spectra import decibels, low_passed_normals, micro_slopes, tilt_degrees

SHARES = (0.25, 0.5, 0.75, 0.95)
BASE = 32.0  # mm; coarser waves are the face's shape
PATCHES = 4.0  # mm; sides of the squares whose levels are compared
PATCHY_BAND = (2.8, 1.4)  # mm; the octave that both scan and squares resolve


def slopes_between(patch: Patch, longest: float, shortest: float) -> Tensor:
    """Slopes of waves between two lengths [mm], ``(1, 2, H, W)``."""
    whole = torch.ones_like(patch.normals[:, :1])
    fine, base = (
        low_passed_normals(patch.normals, whole, patch.normals_pitch, w)
        for w in (shortest, longest)
    )
    return micro_slopes(fine, base)


def tilts(patch: Patch) -> Tensor:
    """Percentiles of the angle of waves between 8 and 1 mm [degrees]."""
    slopes = slopes_between(patch, 8.0, 1.0)
    return tilt_degrees(slopes, torch.ones_like(slopes[:, :1]), SHARES)


def anisotropy(patch: Patch) -> Tensor:
    """Variance of slopes upwards over that of slopes sideways, in `BANDS` [dB]."""
    whole = torch.ones_like(patch.normals[:, :1])
    base = low_passed_normals(patch.normals, whole, patch.normals_pitch, BASE)
    sideways, upwards = in_bands(micro_slopes(patch.normals, base), patch.normals_pitch)
    return decibels(upwards, sideways)


def patchiness(patch: Patch) -> Tensor:
    """Deviation of the relief's level from one square to the next [dB]; even noise has some too."""
    level = slopes_between(patch, *PATCHY_BAND).square().sum(1, keepdim=True)
    size = [int(PATCHES / pitch) for pitch in patch.normals_pitch]
    squares = torch.nn.functional.avg_pool2d(level, size, size)
    return decibels(squares, torch.ones(())).std()


def report_tilts(scan: dict[str, Patch], subjects: list[dict[str, Patch]]) -> None:
    """Print percentiles of the tilt."""
    print("| tilt of 8-1 mm [degrees] | " + " | ".join(f"{s:.0%}" for s in SHARES) + " |")
    print("|---|" + "---|" * len(SHARES))
    for name in REGIONS:
        ours = torch.stack([tilts(patches[name]) for patches in subjects]).mean(0)
        for whose, values in (("scan", tilts(scan[name])), ("procedural", ours)):
            print(f"| {name}, {whose} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    print()


def report_texture(scan: dict[str, Patch], subjects: list[dict[str, Patch]]) -> None:
    """Print which way the relief runs and how even it is."""
    bands = range(1, 4)  # 8 to 1 mm
    heads = [f"upwards over sideways, {BANDS[i][0]:g}-{BANDS[i][1]:g} mm [dB]" for i in bands]
    longest, shortest = PATCHY_BAND
    heads.append(f"deviation of level of {longest:g}-{shortest:g} mm over {PATCHES:g} mm [dB]")
    print("| relief | " + " | ".join(heads) + " |")
    print("|---|" + "---|" * len(heads))
    for name in REGIONS:
        for whose, those in (("scan", [scan]), ("procedural", subjects)):
            runs = torch.stack([anisotropy(patches[name]) for patches in those]).mean(0)
            uneven = torch.stack([patchiness(patches[name]) for patches in those]).mean()
            shown = [f"{runs[i]:+.1f}" for i in bands] + [f"{uneven:.1f}"]
            print(f"| {name}, {whose} | " + " | ".join(shown) + " |")
    print()
