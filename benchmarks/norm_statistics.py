"""Instance norm over a map in windows: the ways to take its statistics, against the whole image.

    python benchmarks/norm_statistics.py [--height 1024] [--window 512] [--ramp 64] [--steps 200]
        [--pictures DIR] [--counted]

For each generator and mode: mean and largest error against the run in one piece, in grey levels of
255 within the mask; how far windows differ where they are faded into each other (both beyond the
network's margin, so that only statistics can differ); pixels computed, over those of the windows
alone (a partial run counts as a whole one); seconds. The generators: pix2pixHD's, small, with fresh
weights; and the global one after ``--steps`` steps of L1 on 256 px patches of the same map, with
its error against the truth, since a network trained on patches need not be best with the whole
image's statistics. ``live`` windows, cut or faded, are the peers: what every tiling engine does.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from realface.maps.kinds import KINDS
from realface.networks.generator import GENERATORS
from realface.networks.interface import Interface
from realface.networks.norms import without_norms
from realface.networks.receptive import measured_margin
from realface.pipeline.statistics import frozen_statistics
from realface.synthetic import ProceduralSubject
from realface.tiling.engine import stitch
from realface.tiling.plan import Plan, plan
from realface.tiling.seams import seam_ratio
from realface.tiling.tensors import TensorSink, TensorSource
from realface.weights import Descriptor, TrainedTranslator

MODES = ("live", "live, hann", "pooled", "thumbnail", "patch", "exact")
PATCH = 256
INPUTS = {
    "specular_albedo": ("diffuse_albedo",),
    "diffuse_normals": ("grey_albedo", "shape_normals"),
}
SMALL = {
    "global": {"base_channels": 16, "downsamples": 2, "blocks": 3},
    "local": {"base_channels": 8, "downsamples": 1, "blocks": 3, "local_blocks": 1},
}


class PixelCounter:
    """Counts what a generator is given."""

    def __init__(self, generator: nn.Module) -> None:
        self.pixels = 0
        generator.register_forward_pre_hook(self._count)

    def _count(self, module: nn.Module, given: tuple[Tensor]) -> None:
        batch, _, height, width = given[0].shape
        self.pixels += batch * height * width


def build(kind: str, name: str, residual: bool) -> TrainedTranslator:
    torch.manual_seed(0)
    interface = Interface(INPUTS[kind], (kind,))
    generator = GENERATORS[name](
        interface.in_channels,
        interface.out_channels,
        residual_channels=interface.residual_channels() if residual else None,
        **SMALL[name],
    )
    descriptor = Descriptor(
        translator=kind,
        inputs=INPUTS[kind],
        outputs=(kind,),
        generator=name,
        arguments=generator.arguments,
        multiple_of=generator.multiple_of,
        receptive_margin=generator.receptive_margin,
        spatial_statistics=True,
    )
    return TrainedTranslator(descriptor, generator, Path("fresh"))


def train(translator: TrainedTranslator, kind: str, maps: dict[str, Tensor], steps: int) -> None:
    """L1 on random patches, as the translators' crops are: windows of live statistics."""
    generator, interface = translator.generator, translator.descriptor.interface
    generator.train().requires_grad_(True)
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    height, width = maps["mask"].shape[-2:]
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        y, x = (int(torch.randint(0, side - PATCH, (), generator=draw)) for side in (height, width))
        crop = {k: one[None, :, y : y + PATCH, x : x + PATCH] for k, one in maps.items()}
        truth = interface.join(crop)
        loss = l1_loss(generator(interface.read(crop, None)) * crop["mask"], truth * crop["mask"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    generator.eval().requires_grad_(False)


def measure(
    translator: TrainedTranslator,
    maps: dict[str, Tensor],
    laid: Plan,
    mode: str,
    counted: bool,
) -> tuple[Tensor, float, float, int, float]:
    """The stitched map, mean and largest disagreement, pixels computed and seconds."""
    kind = translator.descriptor.outputs[0]
    sources = {name: TensorSource(one) for name, one in maps.items()}
    sink = TensorSink(laid.size)
    counter = PixelCounter(translator.generator)
    started = time.perf_counter()
    with frozen_statistics(
        translator,
        sources,
        laid,
        mode.split(",")[0],
        counted="mask" if counted else None,
        patch=PATCH,
    ) as (fn, given):
        done = stitch(fn, given, {kind: sink}, laid, counted="mask")
    seconds = time.perf_counter() - started
    one = done.disagreement[kind]
    return sink.values, one.mean, one.max, counter.pixels, seconds


def report(
    title: str, translator: TrainedTranslator, maps: dict[str, Tensor], given: argparse.Namespace
) -> None:
    generator, kind = translator.generator, translator.descriptor.outputs[0]
    read = {k: maps[k] for k in (*translator.kinds, "mask")}
    with torch.no_grad():
        whole = translator({k: one[None] for k, one in read.items()})[kind][0]
    with without_norms(generator):
        margin = -(-measured_margin(generator) // generator.multiple_of) * generator.multiple_of
    size, mask = tuple(whole.shape[-2:]), maps["mask"][0] > 0.5
    levels = 255 / 2 if KINDS[kind].encoding == "unit_vector" else 255
    about = {"window": given.window, "multiple_of": generator.multiple_of}
    faded = plan(size, overlap=2 * margin + given.ramp, ramp=given.ramp, **about)
    cut = plan(size, overlap=2 * margin + given.ramp, ramp=0, **about)
    truth = (whole - maps[kind]).abs()[:, mask].mean() * levels
    print(f"\n**{title}**, {faded.windows} windows, redundancy {faded.redundancy:.2f}, ", end="")
    print(f"margin {margin}; the whole image is {truth:.2f} levels from the truth\n")
    print("| statistics | mean | max | mismatch | max | seam | px | s | from truth |")
    print("|---|---|---|---|---|---|---|---|---|")
    pictures = {"whole": whole}
    for mode in given.modes or MODES:
        _, mean, largest, pixels, seconds = measure(translator, read, faded, mode, given.counted)
        # Disagreement is measured in ramps; the error is that of the cut, where that is the mode.
        laid = faded if mode.endswith("hann") else cut
        made = measure(translator, read, laid, mode, given.counted)[0]
        error = (made - whole).abs()[:, mask] * levels
        off = (made - maps[kind]).abs()[:, mask].mean() * levels
        dearer = pixels / (size[0] * size[1] * faded.redundancy)
        row = (
            f"{error.mean():.2f} | {error.max():.1f} | {mean * levels:.2f} | "
            f"{largest * levels:.1f} | {seam_ratio(made, whole, cut):.2f} | {dearer:.2f} | "
            f"{seconds:.1f} | {off:.2f}"
        )
        print(f"| {mode} | {row} |", flush=True)
        pictures[mode] = made
    if given.pictures:
        save(pictures, mask, kind, given.pictures / title.replace(" ", "_").replace(",", ""))


def save(pictures: dict[str, Tensor], mask: Tensor, kind: str, folder: Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name, values in pictures.items():
        shown = (values + 1) / 2 if KINDS[kind].encoding == "unit_vector" else values
        grey = ((shown * mask).clamp(0, 1) * 255).byte().movedim(0, -1).squeeze(-1).numpy()
        Image.fromarray(grey).save(folder / f"{name.replace(', ', '_')}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=1024, help="of the map; its width is 3/2")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--ramp", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200, help="of the brief training")
    parser.add_argument("--pictures", type=Path, help="folder for them")
    parser.add_argument("--counted", action="store_true", help="count texels of the mask only")
    parser.add_argument("--modes", nargs="+", choices=MODES)
    parser.add_argument("--maps", type=Path, help="keep the subject's maps here, and reuse them")
    given = parser.parse_args()
    if given.maps and given.maps.exists():
        maps = torch.load(given.maps)
    else:
        maps = ProceduralSubject(3).maps(given.height, given.height * 3 // 2)
        if given.maps:
            torch.save(maps, given.maps)
    for name in SMALL:
        report(f"{name}, fresh", build("specular_albedo", name, False), maps, given)
    for kind in INPUTS:
        translator = build(kind, "global", residual=kind == "diffuse_normals")
        train(translator, kind, maps, given.steps)
        report(f"{kind}, trained", translator, maps, given)


if __name__ == "__main__":
    main()
