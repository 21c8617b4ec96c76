"""De-lighting by windows that see nothing else of the face: cut, cross-faded, offsets solved.

    python benchmarks/offsets.py [--norms none instance] [--steps 400] [--window 256]
        [--overlap 64] [--lights 3] [--networks FOLDER] [--pictures FOLDER]

A small network for each norm is trained here with L1 on procedural patches under varied light, and
stitched over a held-out procedural subject, lit as a whole, with as many texels a millimetre. For
each way to join its windows, over the lights: PSNR against the true albedo after the best gain of
each channel in linear light, which no picture tells, and as it is; how far neighbours differ in
grey levels of 255 within the mask, and how much of that is tone (root mean square of the pairs'
mean differences; the largest one). The peers: the texture as it is, and the network on the whole
image at once. ``offsets, log`` solves for a gain of each window in place of a constant;
``true offsets`` gives each window the mean of the truth, which is the most that constants can do.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from realface.data.procedural import TRAINING_SUBJECTS, VALIDATION_SUBJECTS, draw_batch, make_batch
from realface.metrics.gain import with_best_gain
from realface.metrics.image import psnr
from realface.networks.generator import GENERATORS
from realface.networks.interface import Interface
from realface.shading.capture import known_light, patch_texture, random_capture, whole_texture
from realface.synthetic import ProceduralSubject
from realface.tiling.disagreement import Disagreement
from realface.tiling.engine import Source, stitch
from realface.tiling.offsets import NoSink, OffsetSource, window_offsets
from realface.tiling.plan import Plan, plan
from realface.tiling.tensors import TensorSink, TensorSource
from realface.weights import Descriptor, TrainedTranslator, export_weights, load_weights

KIND = "diffuse_albedo"
INPUTS = ("texture", "depth")
HEIGHT, WIDTH = 1024, 1536
POOL, PATCH, CROP = 48, 160, 128  # patches made, their side, and the side of what is trained on
DARKEST = 1 / 255  # below it a logarithm is of noise


@cache
def pool() -> dict[str, Tensor]:
    """Patches of as many faces, unlit."""
    draws = [
        draw_batch(f"offsets {index}", TRAINING_SUBJECTS, 4, PATCH, (WIDTH, WIDTH), 0.6)
        for index in range(POOL // 4)
    ]
    made = [make_batch(one, "cpu") for one in draws]
    kinds = [kind for kind, one in made[0].items() if isinstance(one, Tensor) and one.ndim == 4]
    return {kind: torch.cat([one[kind] for one in made]) for kind in kinds}


def build(norm: str) -> TrainedTranslator:
    torch.manual_seed(0)
    interface = Interface(INPUTS, (KIND,))
    generator = GENERATORS["global"](
        interface.in_channels,
        interface.out_channels,
        base_channels=8,
        downsamples=3,
        blocks=2,
        norm=norm,
        upsampling="resize",
        residual_channels=interface.residual_channels(),
    )
    descriptor = Descriptor(
        translator=KIND,
        inputs=INPUTS,
        outputs=(KIND,),
        generator="global",
        arguments=generator.arguments,
        multiple_of=generator.multiple_of,
        receptive_margin=generator.receptive_margin,
        spatial_statistics=generator.spatial_statistics,
    )
    return TrainedTranslator(descriptor, generator, Path("fresh"))


def train(translator: TrainedTranslator, patches: dict[str, Tensor], steps: int) -> None:
    """L1 under fresh lights; texels lit from beyond the patch carry no loss."""
    generator, interface = translator.generator, translator.descriptor.interface
    generator.train().requires_grad_(True)
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draw = torch.Generator().manual_seed(0)
    recent = copied = 0.0
    for step in range(steps):
        chosen = torch.randint(POOL, (4,), generator=draw)
        y, x = torch.randint(PATCH - CROP + 1, (2,), generator=draw).tolist()
        crop = {kind: one[chosen][..., y : y + CROP, x : x + CROP] for kind, one in patches.items()}
        with torch.no_grad():
            capture = random_capture(4, "varied", generator=draw)
            crop["texture"] = patch_texture(crop, capture, draw)
        known = known_light(crop["mask"], crop["shape"])
        made = interface.split(generator(interface.read(crop, None)))[KIND]
        loss = ((made - crop[KIND]).abs() * known).sum() / known.sum() / 3
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step >= steps - 50:
            recent += float(loss.detach()) / min(steps, 50)
            error = ((crop["texture"] - crop[KIND]).abs() * known).sum() / known.sum() / 3
            copied += float(error) / min(steps, 50)
    generator.eval().requires_grad_(False)
    print(f"trained: L1 {255 * recent:.1f} grey levels, where copying has {255 * copied:.1f}")


def trained(norm: str, steps: int, folder: Path | None) -> TrainedTranslator:
    kept = folder / f"{norm}-{steps}" if folder else None
    if kept and kept.exists():
        return load_weights(kept)[KIND]
    made = build(norm)
    train(made, pool(), steps)
    if kept:
        export_weights(made, kept)
    return made


def lit_subject(maps: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """What the network reads of the subject under a light of its own."""
    batch = {kind: one[None] for kind, one in maps.items()}
    capture = random_capture(1, "varied", generator=torch.Generator().manual_seed(seed))
    texture = whole_texture(batch, capture, (HEIGHT, WIDTH))[0]
    return {"texture": texture, "shape": maps["shape"], "mask": maps["mask"]}


def logarithm(values: Tensor) -> Tensor:
    return values.clamp(min=DARKEST).log()


def unchanged(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True)
class Predicted:
    """What the network makes of each window, computed once, as a source of windows."""

    plan: Plan
    windows: dict[tuple[int, int], Tensor]

    @property
    def size(self) -> tuple[int, int]:
        """Of the map [px]."""
        return self.plan.size

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """The window at ``(y, x)``."""
        return self.windows[y, x]


def predicted(translator: TrainedTranslator, given: dict[str, Tensor], laid: Plan) -> Predicted:
    made = {}
    for top, bottom in laid.rows:
        for left, right in laid.columns:
            maps = {kind: one[None, :, top:bottom, left:right] for kind, one in given.items()}
            made[top, left] = translator(maps)[KIND][0]
    return Predicted(laid, made)


def joined(
    sources: dict[str, Source],
    laid: Plan,
    to: Callable[[Tensor], Tensor] = unchanged,
    back: Callable[[Tensor], Tensor] = unchanged,
    offsets: Tensor | None = None,
) -> tuple[Tensor, Disagreement]:
    """The stitched map, windows shifted in the space that ``to`` leads to."""

    def shifted(maps: dict[str, Tensor]) -> dict[str, Tensor]:
        values = maps["predicted"]
        return {KIND: back(to(values) + maps["offsets"]) if "offsets" in maps else values}

    if offsets is not None:
        sources = {**sources, "offsets": OffsetSource(laid, offsets)}
    sink = TensorSink(laid.size)
    done = stitch(shifted, sources, {KIND: sink}, laid, counted="mask")
    return sink.values, done.disagreement[KIND]


def solved(
    sources: dict[str, Source], laid: Plan, to: Callable[[Tensor], Tensor] = unchanged
) -> Tensor:
    """Offsets of the windows in the space that ``to`` leads to."""
    done = stitch(
        lambda maps: {KIND: to(maps["predicted"])},
        sources,
        {KIND: NoSink()},
        laid,
        counted="mask",
    )
    return window_offsets(done.disagreement[KIND])


def true_offsets(sources: dict[str, Source], truth: Tensor, laid: Plan) -> Tensor:
    """What each window's mean over the mask is short of."""
    made = torch.zeros(len(laid.rows), len(laid.columns), 3)
    for row, (top, bottom) in enumerate(laid.rows):
        for column, (left, right) in enumerate(laid.columns):
            maps = {kind: one.read(top, left, *laid.window) for kind, one in sources.items()}
            counted = maps["mask"][0] > 0.5
            if counted.any():
                short = truth[:, top:bottom, left:right] - maps["predicted"]
                made[row, column] = short[:, counted].mean(1)
    return made


@torch.no_grad()
def ways(
    translator: TrainedTranslator, given: dict[str, Tensor], truth: Tensor, laid: Plan, cut: Plan
) -> dict[str, tuple[Tensor, Disagreement | None]]:
    """The albedo by each way to join windows."""
    whole = translator({kind: one[None] for kind, one in given.items()})[KIND][0]
    sources: dict[str, Source] = {
        "predicted": predicted(translator, given, laid),
        "mask": TensorSource(given["mask"]),
    }
    gains = solved(sources, laid, logarithm)
    return {
        "texture as it is": (given["texture"], None),
        "whole image at once": (whole, None),
        "windows, cut": (joined(sources, cut)[0], None),
        "windows, Hann": joined(sources, laid),
        "offsets, Hann": joined(sources, laid, offsets=solved(sources, laid)),
        "offsets, log, Hann": joined(sources, laid, logarithm, torch.exp, gains),
        "true offsets, Hann": joined(sources, laid, offsets=true_offsets(sources, truth, laid)),
    }


def measure(
    made: Tensor, truth: Tensor, mask: Tensor, disagreement: Disagreement | None
) -> list[float]:
    """PSNR after the best gain and as it is [dB]; mean, tone and largest tone [grey levels]."""
    made = made.clamp(0, 1)[None]
    scores = [with_best_gain(made, truth[None], mask[None]).clamp(0, 1), made]
    row = [float(psnr(one, truth[None], mask[None])) for one in scores]
    if disagreement is None:
        return [*row, math.nan, math.nan, math.nan]
    largest = max(float(pair.difference.abs().max()) for pair in disagreement.pairs)
    return [*row, 255 * disagreement.mean, 255 * disagreement.tone, 255 * largest]


def report(norm: str, given: argparse.Namespace, maps: dict[str, Tensor]) -> None:
    started = time.perf_counter()
    print(f"\n**norm {norm}**")
    translator = trained(norm, given.steps, given.networks)
    about = {
        "window": given.window,
        "overlap": given.overlap,
        "multiple_of": translator.descriptor.multiple_of,
    }
    laid, cut = plan((HEIGHT, WIDTH), **about), plan((HEIGHT, WIDTH), ramp=0, **about)
    print(f"{laid.windows} windows of {laid.window[0]}x{laid.window[1]}, ramps of {laid.ramp} px; ")
    print(f"the network's margin is {translator.descriptor.receptive_margin} px\n")
    rows: dict[str, list[list[float]]] = {}
    for seed in range(given.lights):
        read = lit_subject(maps, seed)
        for name, (made, differing) in ways(translator, read, maps[KIND], laid, cut).items():
            scores = measure(made, maps[KIND], maps["mask"], differing)
            rows.setdefault(name, []).append(scores)
            if given.pictures:
                save(made * maps["mask"], given.pictures / f"{norm}-{seed}-{name}.png")
    print("| windows joined | PSNR, gain | each light | PSNR | differ | tone | largest |")
    print("|---|---|---|---|---|---|---|")
    for name, scores in rows.items():
        means = torch.tensor(scores).mean(0).tolist()
        lights = " ".join(f"{one[0]:.1f}" for one in scores)
        levels = " | ".join("" if math.isnan(one) else f"{one:.2f}" for one in means[2:])
        print(f"| {name} | {means[0]:.2f} | {lights} | {means[1]:.2f} | {levels} |")
    print(f"\n{time.perf_counter() - started:.0f} s")


def save(values: Tensor, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((values.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--norms", nargs="+", default=["none", "instance"])
    parser.add_argument("--steps", type=int, default=400, help="of training")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--lights", type=int, default=3)
    parser.add_argument("--networks", type=Path, help="keep them here, and reuse them")
    parser.add_argument("--pictures", type=Path, help="folder for them")
    given = parser.parse_args()
    maps = ProceduralSubject(VALIDATION_SUBJECTS[0]).maps(HEIGHT, WIDTH)
    inside = maps["mask"][0] > 0.5
    median = maps["shape"][:, inside].median(dim=1).values  # networks read depth from the median
    maps["shape"] = maps["shape"] - median[:, None, None]
    for norm in given.norms:
        report(norm, given, maps)


if __name__ == "__main__":
    main()
