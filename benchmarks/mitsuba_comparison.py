"""Does our shading look like path tracing? Mitsuba 3 on the same head, maps and lights, in UV.

    python benchmarks/mitsuba_comparison.py --output DIR [--seed 3] [--height 256] [--samples 32]

Prints one table a light: how far our shading is from Mitsuba's direct light (with its shadows) and
from all of its light, with and without our shadows and occlusion; then the highlights, a head that
is made of skin, and a shadow's edge through skin. Errors are root mean squares in percent of
Mitsuba's mean, and PSNR with the 99th percentile of Mitsuba's values as the peak. Mitsuba's noise
is beside them and not in them: a squared error is the product of the errors against two independent
halves of the samples, in which noise cancels. Writes Mitsuba | ours | 8 x error for each light,
and all of them as mitsuba.jpg.
With the default settings and two panoramas five minutes of one core.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import imagecodecs
import mitsuba_scene as scenes
import mitsuba_skin as skin
import numpy as np
import torch
from mitsuba_face import ROUGHNESS, Ours, Tracer, Truth, procedural_face, summed

from realface.maps.encoding import linear_to_srgb
from realface.maps.files import write_image
from realface.shading import harmonics, latlong
from realface.shading.environment import Environment, read_environment
from realface.shading.lights import Lights

KEY, FILL, TOP = (-0.60, 0.35, 0.72), (0.75, 0.10, 0.65), (0.10, 0.90, 0.42)
COLOURS = ((0.60, 0.57, 0.52), (0.26, 0.28, 0.32), (0.25, 0.25, 0.25))
DISC = 0.12  # rad, radius of the soft light: a window of 0.5 m two metres away
LEVELS = (1.0, 3.0, 9.0, 27.0, 81.0, 243.0)  # exponents of the prefiltered reflections
BELOW_NOISE = 1e-4  # relative error that no two halves of the samples can tell from none
NOISY = 2  # times the samples, where light is noisiest: surroundings and skin


def lamps(places, colours, radius=0.0):
    """Directional lights (unit vectors) or, with (x, y, z, 1) as places, point lights."""
    rows = torch.tensor([[*_unit(p), 0.0] if len(p) == 3 else list(p) for p in places])
    colours = torch.tensor(colours)
    radii = torch.full((1, len(rows)), radius)
    return Lights(rows[None].float(), colours[None], radii, torch.zeros(1, 9, 3))


def _unit(vector):
    return (np.asarray(vector) / np.linalg.norm(vector)).tolist()


def surround(environment):
    """An environment as harmonics alone."""
    return replace(lamps([(0.0, 0.0, 1.0)], [(0.0, 0.0, 0.0)]), harmonics=environment.harmonics())


class Report:
    """Prints the tables and writes the panels."""

    def __init__(self, output):
        self.output, self.panels = output, {}
        output.mkdir(parents=True, exist_ok=True)

    def case(self, title, direct, full, ours):
        """A table and a panel.

        Args:
            title: Up to the colon the panel's name.
            direct: Truth of direct light, or None.
            full: Truth of all light, or None.
            ours: Name -> image (1, 3, H, W); the last one is drawn beside the truth.
        """
        print(f"\n### {title}\n\n| ours | error, direct | PSNR | error, all light | PSNR |")
        print("|---|---:|---:|---:|---:|")
        for name, image in ours.items():
            cells = [f"{name:36}"]
            for truth in (direct, full):
                error, ratio = truth.error(image) if truth else (None, None)
                if not truth:
                    cells += ["-", "-"]
                elif error <= BELOW_NOISE:  # the halves' product came out negative
                    cells += ["within noise", "-"]
                else:
                    cells += [f"{100 * error:.1f} %", f"{ratio:.1f} dB"]
            print("| " + " | ".join(cells) + " |")
        truths = [truth for truth in (direct, full) if truth]
        notes = ["noise " + " and ".join(f"{100 * truth.noise:.1f} %" for truth in truths)]
        if direct and full:
            pairs = zip(full.halves, direct.halves, strict=True)
            lost = np.mean(np.prod([all_light - once for all_light, once in pairs], axis=0))
            lost = np.sqrt(max(lost, 0)) / full.mean.mean()
            darker = 1 - direct.mean.mean() / full.mean.mean()
            notes += [
                f"direct light misses {100 * lost:.1f} % rms, {100 * darker:.1f} % of the mean"
            ]
        print(f"\nMitsuba: {'; '.join(notes)}; {truths[0].texels.sum()} texels.", flush=True)
        self._panel(title, truths[0], list(ours.values())[-1])

    def _panel(self, title, truth, image):
        image = image[0].permute(1, 2, 0).numpy()
        theirs = np.zeros_like(image)
        theirs[truth.texels] = truth.mean
        image = np.where(truth.texels[..., None], image, 0)
        row = np.concatenate((theirs, image, 8 * np.abs(theirs - image)), axis=1)
        scaled = torch.from_numpy(row / np.quantile(truth.mean, 0.99)).clamp(0, 1)
        pixels = (255 * linear_to_srgb(scaled)).round().byte().numpy()
        name = title.split(":")[0].replace(" ", "_")
        self.panels[name] = pixels
        write_image(self.output / f"{name}.png", pixels)

    def picture(self):
        """All panels as one picture, highlights on the right, at half their size."""
        left, right = [], []
        for name, panel in self.panels.items():
            (right if "ighlights" in name else left).append(panel)
        blank = np.zeros_like(left[0])
        height = max(len(left), len(right))
        columns = [np.concatenate(c + [blank] * (height - len(c))) for c in (left, right)]
        whole = torch.from_numpy(np.concatenate(columns, axis=1)).permute(2, 0, 1).float()
        half = torch.nn.functional.avg_pool2d(whole, 2).round().byte().permute(1, 2, 0)
        jpeg = imagecodecs.jpeg_encode(np.ascontiguousarray(half.numpy()), level=85)
        (self.output / "mitsuba.jpg").write_bytes(jpeg)


def directional_case(tracer, ours, report):
    sources = [
        scenes.directional(_unit(p), c) for p, c in zip((KEY, FILL, TOP), COLOURS, strict=True)
    ]
    direct = summed([tracer.diffuse([source], 2, samples=2) for source in sources])
    full = summed([tracer.diffuse([source], -1) for source in sources])
    lights = lamps((KEY, FILL, TOP), COLOURS)
    made = {
        "no shadows": ours.diffuse(lights),
        "+ visibility": ours.diffuse(lights, visibility=ours.seen(lights)),
    }
    report.case("Three lamps: directional, hard", direct, full, made)


def point_case(tracer, ours, report):
    places = [np.asarray(_unit(p)) * 700 for p in (KEY, FILL, TOP)]
    traced = []
    for place, colour in zip(places, COLOURS, strict=True):
        truth = tracer.diffuse([scenes.point(place, colour)], 2, samples=2)
        apart = place - tracer.face.image("shape")[truth.texels]
        squared = (apart**2).sum(1, keepdims=True)  # our lamps do not fall off
        traced.append(Truth(truth.texels, tuple(half * squared for half in truth.halves)))
    lights = lamps([(*place, 1.0) for place in places], COLOURS)
    made = {
        "no shadows": ours.diffuse(lights),
        "+ visibility": ours.diffuse(lights, visibility=ours.seen(lights)),
    }
    report.case("Near lamps: three points at 700 mm", summed(traced), None, made)


def disc_case(tracer, ours, report):
    height = 512
    texels = Environment(torch.zeros(3, height, 2 * height))
    towards = latlong.directions(height, 2 * height, texels.radiance)
    middle = torch.tensor(_unit(KEY)).view(3, 1, 1).float()
    cosine = (towards * middle).sum(0)
    disc = (cosine > np.cos(DISC)).float()
    facing = (disc * cosine * latlong.solid_angles(height, 2 * height, texels.radiance)).sum()
    radiance = (disc * np.pi / facing).expand(3, -1, -1)
    emitter = [scenes.sky(tracer.mi, radiance.permute(1, 2, 0).numpy())]
    soft, hard = (lamps((KEY,), ((1.0, 1.0, 1.0),), radius) for radius in (DISC, 0.0))
    made = {
        "no shadows": ours.diffuse(soft),
        "+ visibility, hard": ours.diffuse(soft, visibility=ours.seen(hard)),
        "+ visibility, soft": ours.diffuse(soft, visibility=ours.seen(soft)),
    }
    title = f"Soft lamp: a disc of {np.degrees(DISC):.0f} degrees radius"
    report.case(title, tracer.diffuse(emitter, 2), tracer.diffuse(emitter, -1), made)


def sky_case(tracer, ours, report):
    emitter = [scenes.constant((1.0, 1.0, 1.0))]
    lights = replace(
        lamps([(0.0, 0.0, 1.0)], [(0.0, 0.0, 0.0)]), harmonics=harmonics.constant(torch.ones(1, 3))
    )
    made = {
        "no occlusion": ours.diffuse(lights),
        "+ the subject's own occlusion map": ours.diffuse(
            lights, occlusion=ours.face.maps["occlusion"]
        ),
        "+ ambient_occlusion": ours.diffuse(lights, occlusion=ours.occlusion),
    }
    report.case(
        "White sky: radiance 1 all around",
        tracer.diffuse(emitter, 2), tracer.diffuse(emitter, -1), made,
    )  # fmt: skip


def panorama_case(tracer, ours, report, path, count, hot):
    environment = normalised(read_environment(path))
    emitter = [scenes.sky(tracer.mi, environment.radiance.permute(1, 2, 0).numpy())]
    smooth = surround(environment)
    many, split = environment.lights(count), environment.surroundings(hot, LEVELS)
    seen, split_seen = ours.seen(many), ours.seen(split)
    split_name = f"{hot} lamps, rest smooth; both shadowed"
    made = {
        "harmonics": ours.diffuse(smooth),
        "harmonics + occlusion": ours.diffuse(smooth, occlusion=ours.occlusion),
        f"{count} lamps": ours.diffuse(many),
        f"{count} lamps + visibility": ours.diffuse(many, visibility=seen),
        split_name: ours.diffuse(split, visibility=split_seen, occlusion=ours.occlusion),
    }
    samples = NOISY * tracer.samples
    direct, full = (tracer.diffuse(emitter, depth, samples) for depth in (2, -1))
    report.case(f"{path.stem}: diffuse", direct, full, made)
    prefiltered = environment.prefiltered(LEVELS)
    f0 = ours.face.maps["specular_albedo"]
    made = {
        "harmonics": ours.highlights(smooth, f0),
        "prefiltered": ours.highlights(prefiltered, f0),
        "prefiltered + occlusion": ours.highlights(prefiltered, f0, occlusion=ours.occlusion),
        f"{count} lamps": ours.highlights(many, f0),
        f"{count} lamps + visibility": ours.highlights(many, f0, visibility=seen),
        split_name: ours.highlights(split, f0, visibility=split_seen, occlusion=ours.occlusion),
    }
    bsdf = scenes.schlick_bsdf(ROUGHNESS**2)
    direct, full = (tracer.highlights(emitter, bsdf, depth, samples) for depth in (2, -1))
    report.case(f"{path.stem} highlights: GGX, Schlick", direct, full, made)


def normalised(environment):
    """With a mean radiance of 1, so that panoramas read alike."""
    weights = latlong.solid_angles(*environment.radiance.shape[1:], environment.radiance)
    mean = (
        (environment.radiance * weights).sum() / weights.sum() / environment.radiance.shape[2] / 3
    )
    return Environment(environment.radiance / mean)


def highlight_cases(tracer, ours, report):
    sources = [
        scenes.directional(_unit(p), c) for p, c in zip((KEY, FILL, TOP), COLOURS, strict=True)
    ]
    lights = lamps((KEY, FILL, TOP), COLOURS)
    seen = ours.seen(lights)
    f0 = ours.face.maps["specular_albedo"]
    plain = torch.ones_like(f0)  # Schlick's term of a perfect mirror is 1: F0 is multiplied after
    for name, bsdf, shaded in (
        ("no Fresnel", scenes.mirror_bsdf(ROUGHNESS**2),
         lambda **parts: f0 * ours.highlights(lights, plain, **parts)),
        ("Schlick", scenes.schlick_bsdf(ROUGHNESS**2),
         lambda **parts: ours.highlights(lights, f0, **parts)),
    ):  # fmt: skip
        direct = summed([tracer.highlights([source], bsdf, samples=2) for source in sources])
        full = summed([tracer.highlights([source], bsdf, depth=-1) for source in sources])
        made = {"no shadows": shaded(), "+ visibility": shaded(visibility=seen)}
        report.case(
            f"Highlights {name}: three lamps, GGX, roughness {ROUGHNESS}", direct, full, made
        )


def skin_case(tracer, ours, report):
    """The head made of skin1; two numbers a channel are fitted, so that spread is compared.

    Skin without a boundary returns more of oblique light than Lambert's law has it: the irradiance
    and its square (one lamp: the cosine's) are mixed to fit, in each row by itself.
    """
    emitter = [scenes.directional(_unit(KEY), (1.0, 1.0, 1.0))]
    truth = tracer.skin(emitter, NOISY * tracer.samples)
    lights = lamps((KEY,), ((1.0, 1.0, 1.0),))
    plain, shadowed = ours.irradiance(lights), ours.irradiance(lights, visibility=ours.seen(lights))
    pairs = {name: (light, light**2) for name, light in
             (("no shadows, no scattering", plain), ("+ visibility", shadowed))}  # fmt: skip
    pairs["scattering, no shadows"] = tuple(map(ours.scattered, (plain, plain**2)))
    pairs["+ visibility, scattering"] = tuple(map(ours.scattered, (shadowed, shadowed**2)))
    made = {name: fitted(pair, truth) for name, pair in pairs.items()}
    report.case("A head of skin: skin1, one hard lamp", None, truth, made)


def fitted(images, truth):
    """The mixture of ``images`` (1, 3, H, W) closest to ``truth``, channel by channel."""
    result = torch.zeros_like(images[0])
    for channel in range(3):
        columns = np.stack([image[0, channel].numpy()[truth.texels] for image in images], 1)
        shares = np.linalg.lstsq(columns, truth.mean[:, channel], rcond=None)[0]
        for image, share in zip(images, shares, strict=True):
            result[:, channel] += float(share) * image[:, channel]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the panels")
    parser.add_argument("--seed", type=int, default=3, help="of the procedural subject")
    parser.add_argument("--height", type=int, default=256, help="of its maps [texels]")
    parser.add_argument("--samples", type=int, default=32, help="paths a texel")
    parser.add_argument("--edge-samples", type=int, default=12000, help="paths a point of an edge")
    parser.add_argument("--lamps", type=int, default=64, help="that stand for a panorama")
    parser.add_argument("--hot", type=int, default=24, help="lamps of a panorama's hot spots alone")
    parser.add_argument("--environment", type=Path, nargs="*", default=[], help="HDR panoramas")
    given = parser.parse_args()
    face = procedural_face(given.seed, given.height)
    tracer, report = Tracer(face, given.samples), Report(given.output)
    ours = Ours(face)
    for case in (directional_case, point_case, disc_case, sky_case, highlight_cases, skin_case):
        case(tracer, ours, report)
    for path in given.environment:
        panorama_case(tracer, ours, report, path, given.lamps, given.hot)
    report.picture()
    skin.report(tracer.mi, given.edge_samples)


if __name__ == "__main__":
    main()
