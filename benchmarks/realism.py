"""Do procedural subjects have the statistics of skin? Against a scan, and against the literature.

    python benchmarks/realism.py [--scan FOLDER] [--subjects 8] [--people 200]

Prints Markdown. First the variance per octave of wavelength of micro-normals and albedo, in dB,
beside the head scan of Lee Perry-Smith (CC-BY 3.0, Infinite-Realities, www.triplegangers.com),
where the scan resolves it: its maps are 8-bit JPEG, and a band counts where it stands 6 dB above
what one more such encoding changes, its blocks laid off the first one's. His colour is cleaned, so
its level is the least that skin has. The scan is one man, light-skinned, not old, hardly freckled:
the subjects beside him are the first seeds that are so too, and the mean of their decibels is
judged; the range is theirs. Then how steep the relief is, which way it runs and how even it is, and
the colour of many faces against published measurements of skin.

Normals are taken against their own low-pass at 32 mm. The scan's are its mesh's normals with the
slopes of its displacement map, whose unit is found on its tangent map between 16 and 4 mm; its
millimetres come from the face's width (150 mm, `realface.geometry.measure`), sure to about 6 %.
"""

import argparse
import itertools
import os
import time
from pathlib import Path

import torch
from head_scan import BANDS, REGIONS, Patch, find, in_bands, pitch_of, scan_patches
from relief_statistics import BASE, report_texture, report_tilts
from torch import Tensor

from realface.maps.encoding import srgb_to_linear
from realface.metrics.skin_tone import TONES, lab, tone_counts, typology_angle
from realface.metrics.spectra import decibels, low_passed_normals, micro_slopes
from realface.synthetic import ProceduralSubject
from realface.synthetic.lattice import CHART_TOP, CHART_WIDTH
from realface.synthetic.traits import draw_traits

ROWS = {"forehead": ("forehead",), "cheeks": ("right cheek", "left cheek"), "nose": ("nose",)}
FLOOR = 6.0  # dB that a band must stand above the encoding's own noise
LIMIT = 3.0  # dB
LIGHT = 28.0  # degrees of typology angle: the scan's man is lighter
OLD, FRECKLED, STUBBLED = 0.5, 0.15, 0.3  # traits: he is neither of the first two
MARKS = ("face_paint", "dirt", "vitiligo", "birthmark", "melasma", "tan_line")
SEARCHED = 2000  # seeds, for subjects like him
SHOWN = 3072  # width of the procedural maps that are measured: 0.1 mm a texel
PLACES = {
    "forehead": ((0, 71), (10, 10)),
    "cheek": ((44, 2), (10, 10)),
    "lips": ((0, -41), (3, 10)),
}
"""Middle on the chart [mm], height and width."""

# Only what an abstract or an open paper states is called published; ranges are ours around it.
HAN = "Han et al., Skin Res. Technol. 12, 2006, 600 Koreans"
KOREAN_WOMEN = "543 Korean women by tone, doi:10.1186/s41702-017-0002-7: 60.7, 63.9, 66.7"
SHADES = "darkest of 5 clusters of 119 faces, doi:10.1016/S0022-3913(13)60344-3"
CHOI = "Choi, AIC 2017, 157 Korean women: forehead darkest, tan where cheeks are intermediate"
XIAO = "Xiao et al. 2017, doi:10.1111/srt.12295: forehead is the reddest site; Han: the cheek is"
BARAS = "lips darker and redder than the skin around, doi:10.1111/srt.13583 and Baras 2008"
DEL_BINO = "Del Bino and Bernerd 2013, doi:10.1111/bjd.12529 (range from memory)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("REALFACE_REAL_DATA")
    default = Path(data) / "lee-perry-smith" if data else None
    parser.add_argument("--scan", type=Path, default=default, help="folder of the head scan")
    parser.add_argument("--subjects", type=int, default=8, help="whose detail is measured")
    parser.add_argument("--people", type=int, default=200, help="whose colour is measured")
    given = parser.parse_args()
    start = time.perf_counter()
    tones = [tone(seed) for seed in range(given.people)]
    alike = list(itertools.islice(filter(like_the_scan, range(SEARCHED)), given.subjects))
    failed = 0
    if given.scan is None or not given.scan.is_dir():
        print("No scan: name its folder with --scan or REALFACE_REAL_DATA.\n")
    elif not alike:
        print(f"None of {SEARCHED} seeds is like the scan's man.\n")
    else:
        subjects = [subject_patches(seed) for seed in alike]
        scan, scan_floor = scan_patches(given.scan)
        failed = report_spectra(scan, scan_floor, subjects)
        report_tilts(scan, subjects)
        report_texture(scan, subjects)
    report_gamut(tones)
    print(f"\nSeeds {alike}; {time.perf_counter() - start:.0f} s.")
    return int(failed > 0)


# --- spectra ---


def spectra(patch: Patch) -> dict[str, Tensor]:
    """Variance of each quantity in `BANDS`, NaN where a band is finer than the patch."""
    whole = torch.ones_like(patch.normals[:, :1])
    base = low_passed_normals(patch.normals, whole, patch.normals_pitch, BASE)
    slopes = in_bands(micro_slopes(patch.normals, base), patch.normals_pitch).sum(0)
    linear = srgb_to_linear(patch.colour).clamp(min=0.002)
    luminance = (linear * linear.new_tensor((0.2126, 0.7152, 0.0722))[:, None, None]).sum(1, True)
    redness = (linear[:, :1] / linear[:, 1:2]).log()
    colour = in_bands(torch.cat((luminance.log(), redness), 1), patch.colour_pitch)
    return {
        "micro-normals (slope)": slopes,
        "albedo (log luminance)": colour[0],
        "albedo (log red/green)": colour[1],
    }


def row_levels(patches: dict[str, Patch]) -> dict[tuple[str, str], Tensor]:
    """Level of each quantity in each row's regions, mean of their decibels, ``(len(BANDS),)``."""
    each = {name: spectra(patch) for name, patch in patches.items()}
    one = torch.ones(())
    return {
        (quantity, row): torch.stack([decibels(each[n][quantity], one) for n in names]).mean(0)
        for row, names in ROWS.items()
        for quantity in each[names[0]]
    }


def report_spectra(
    scan: dict[str, Patch], floor: dict[str, Patch], subjects: list[dict[str, Patch]]
) -> int:
    """Print the table; how many resolved bands miss the limit."""
    real, noise = row_levels(scan), row_levels(floor)
    made = [row_levels(patches) for patches in subjects]
    print(
        "| quantity | region | wavelength [mm] | scan [dB] | procedural [dB] | range | difference "
        f"| within {LIMIT:.0f} dB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    failed = counted = 0
    for (quantity, row), levels in real.items():
        ours = torch.stack([one[quantity, row] for one in made])
        for i, (longest, shortest) in enumerate(BANDS):
            above = levels[i] - noise[quantity, row][i]
            if levels[i].isnan() or above < FLOOR:
                continue
            gap = float(ours[:, i].mean() - levels[i])
            counted += 1
            failed += abs(gap) > LIMIT
            print(
                f"| {quantity} | {row} | {longest:g}-{shortest:g} | {levels[i]:.1f} | "
                f"{ours[:, i].mean():.1f} | {ours[:, i].min():.1f} .. {ours[:, i].max():.1f} | "
                f"{gap:+.1f} | {'yes' if abs(gap) <= LIMIT else 'NO'} |"
            )
    print(f"\n{counted - failed} of {counted} resolved bands within {LIMIT:.0f} dB.\n")
    return failed


# --- the procedural subjects ---


def like_the_scan(seed: int) -> bool:
    """Light, not old, hardly freckled; no hair, beard, marks or paint where he has bare skin."""
    traits = draw_traits([seed], torch.device("cpu"))
    plain = traits.age < OLD and traits.freckles < FRECKLED and traits.beard < STUBBLED
    bare = traits.hairline > 90 and traits.curtain > 150 and traits.widows_peak == 0
    clean = all(getattr(traits, name) == 0 for name in MARKS)
    return bool(plain and bare and clean) and float(typology_angle(tone(seed)["cheek"])) > LIGHT


def subject_patches(seed: int) -> dict[str, Patch]:
    subject = ProceduralSubject(seed)
    small = subject.maps(256, 384)
    texel = CHART_WIDTH / SHOWN
    patches = {}
    for name, (middle, size) in REGIONS.items():
        y, x = find(small["shape"], small["shape_normals"], small["mask"], middle)
        rows, columns = (round(s / texel) for s in size)
        top = round((y + 0.5) * SHOWN / 384) - rows // 2
        left = round((x + 0.5) * SHOWN / 384) - columns // 2
        maps = subject.maps(SHOWN * 2 // 3, SHOWN, (top, left, rows, columns))
        pitch = pitch_of(maps["shape"])
        patches[name] = Patch(
            maps["specular_normals"][None], pitch, maps["diffuse_albedo"][None], pitch
        )
    return patches


# --- colour ---


def tone(seed: int) -> dict[str, Tensor]:
    """Median L*, a*, b* of a few millimetres of a subject's forehead, cheek and lower lip."""
    subject, found, texel = ProceduralSubject(seed), {}, CHART_WIDTH / 384
    for name, ((x, y), size) in PLACES.items():
        rows, columns = (round(s / texel) for s in size)
        top = round((CHART_TOP - y) / texel) - rows // 2
        left = round((CHART_WIDTH / 2 + x) / texel) - columns // 2
        maps = subject.maps(256, 384, (top, left, rows, columns))
        found[name] = lab(maps["diffuse_albedo"].flatten(1).median(dim=1).values)
    return found


def report_gamut(tones: list[dict[str, Tensor]]) -> None:
    """Print how evenly skins are spread, and their colours against published ones."""
    at = {name: torch.stack([t[name] for t in tones]) for name in PLACES}
    angles = typology_angle(at["cheek"])
    counts = tone_counts(angles)
    print(f"| cheeks of {len(tones)} seeds | " + " | ".join(counts) + " |")
    print("|---|" + "---|" * len(counts))
    print("| least typology angle | " + " | ".join(f"{least:g}" for _, least in TONES) + " |")
    print("| share | " + " | ".join(f"{n / len(tones):.0%}" for n in counts.values()) + " |\n")
    print(
        "| colour (D65, 2 degrees) | procedural: median (5 % .. 95 %) | published | source | fits |"
    )
    print("|---|---|---|---|---|")
    for name, values, low, high, source in claims(at, angles):
        if not len(values):
            print(f"| {name} | no such skin | {low:g} .. {high:g} | {source} | |")
            continue
        least, middle, most = values.quantile(torch.tensor((0.05, 0.5, 0.95))).tolist()
        fits = "yes" if low <= middle <= high else "NO"
        print(f"| {name} | {middle:.1f} ({least:.1f} .. {most:.1f}) | {low:g} .. {high:g} | "
              f"{source} | {fits} |")  # fmt: skip


def claims(at: dict[str, Tensor], angles: Tensor) -> list[tuple[str, Tensor, float, float, str]]:
    """What is compared, our values, least and largest published value, and where it stands."""
    cheek, forehead, lips = at["cheek"], at["forehead"], at["lips"]
    medium, dark, light = (angles > 28) & (angles <= 41), angles <= -30, angles > 28
    lightness = cheek[:, 0]
    return [
        ("L* of the lightest twentieth", lightness.quantile(0.95)[None], 68, 75, DEL_BINO),
        ("L* of the darkest twentieth", lightness.quantile(0.05)[None], 25, 35, DEL_BINO),
        ("L*, forehead, intermediate skin", forehead[medium, 0], 55, 61, HAN + ": 58.0"),
        ("L*, cheek, intermediate skin", cheek[medium, 0], 60.7, 66.7, KOREAN_WOMEN),
        ("a*, cheek, intermediate skin", cheek[medium, 1], 9.9, 13.9, HAN + ": 11.9"),
        ("b*, cheek, intermediate skin", cheek[medium, 2], 14.6, 19.6, HAN + ": 17.1, all sites"),
        ("a*, cheek, dark skin", cheek[dark, 1], 9, 17.2, SHADES + ": 14.6 nose and lip"),
        ("b*, cheek, dark skin", cheek[dark, 2], 11.7, 17.7, SHADES + ": 14.7 nose and lip"),
        ("L*, cheek - forehead, light skin", (cheek - forehead)[light, 0], 1, 6, CHOI),
        ("a*, cheek - forehead, light skin", (cheek - forehead)[light, 1], -1, 3, XIAO),
        ("L*, lips - cheek, light skin", (lips - cheek)[light, 0], -20, -3, BARAS),
        ("a*, lips - cheek, light skin", (lips - cheek)[light, 1], 3, 15, BARAS),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
