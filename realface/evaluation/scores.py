"""Scores as one flat table of numbers, and what its columns are called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from realface.metrics.angle_shares import WITHIN


class Key(NamedTuple):
    """What one number is about."""

    map: str
    region: str
    method: str
    metric: str


Scores = dict[Key, float]

PREDICTED = "predicted"
"""The method that is under test; the others are baselines."""

RELIT = "relit"
"""In place of a map's name: all four, shaded."""

COLUMNS: dict[str, tuple[str, str]] = {
    "gain_psnr_srgb": ("PSNR sRGB, gain", "{:.2f}"),
    "gain_ssim_srgb": ("SSIM sRGB, gain", "{:.4f}"),
    "gain_psnr_linear": ("PSNR linear, gain", "{:.2f}"),
    "gain_ssim_linear": ("SSIM linear, gain", "{:.4f}"),
    "psnr_srgb": ("PSNR sRGB", "{:.2f}"),
    "ssim_srgb": ("SSIM sRGB", "{:.4f}"),
    "psnr_linear": ("PSNR linear", "{:.2f}"),
    "ssim_linear": ("SSIM linear", "{:.4f}"),
    "mean_angle": ("mean angle", "{:.2f}"),
    "median_angle": ("median angle", "{:.2f}"),
    **{f"within_{limit}": (f"< {limit} deg", "{:.1%}") for limit in WITHIN},
    "detail_x": ("detail r, x", "{:+.3f}"),
    "detail_y": ("detail r, y", "{:+.3f}"),
    "detail_finest_mm": ("down to [mm]", "{:.2f}"),
}
"""Metric: its column's head and format. Spectra have `spectrum_metric`."""

HEADLINES = {
    "diffuse_albedo": "gain_psnr_srgb",
    "specular_albedo": "gain_psnr_srgb",
    "diffuse_normals": "mean_angle",
    "specular_normals": "mean_angle",
    RELIT: "psnr_srgb",
}
"""The one number of each map, where there is room for one."""


def spectrum_metric(longest: float, shortest: float) -> str:
    """Name of a band's difference [dB]."""
    return f"spectrum_{longest:g}_{shortest:g}mm"


def column(metric: str) -> tuple[str, str]:
    """Head and format of a metric."""
    if metric in COLUMNS:
        return COLUMNS[metric]
    _, longest, shortest = metric.removesuffix("mm").split("_")
    return f"{longest}-{shortest} mm [dB]", "{:+.1f}"


def shown(metric: str, value: float, signed: bool = False) -> str:
    """A number as tables have it."""
    if math.isinf(value):
        return "inf"
    form = column(metric)[1]
    return (form.replace("{:.", "{:+.") if signed else form).format(value)


def keyed(kind: str, method: str, by_region: Mapping[str, Mapping[str, float]]) -> Scores:
    """Numbers by region and metric, under their keys; what is not a number is left out."""
    return {
        Key(kind, region, method, metric): value
        for region, numbers in by_region.items()
        for metric, value in numbers.items()
        if not math.isnan(value)
    }
