"""What is refused before the first step of a training."""

from collections.abc import Mapping

import pytorch_lightning as pl

from realface.errors import InputError
from realface.metrics.image import SMALLEST
from realface.networks.generator import Generator
from realface.shading.capture import SCATTERING_MARGIN
from realface.tiling.windows import next_multiple


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse losses that all weigh nothing.

    Raises:
        InputError: With their names.
    """
    if not any(weights.values()):
        raise InputError(
            f"{', '.join(f'{name}_weight' for name in weights)}: all 0",
            "a loss to train with",
            "give one of them a weight above 0",
        )


def check_precision(trainer: pl.Trainer) -> None:
    """Refuse float16: its range is too small for the norms and losses of these networks.

    Its gradient scaler would be changed between the steps of the two optimisers, too.

    Raises:
        InputError: With the precisions that work.
    """
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        raise InputError(
            f"trainer.precision {trainer.precision}",
            "bf16-mixed, or 32-true on cards that are slow at it (before NVIDIA's Ampere): "
            "float16 overflows in networks of this kind",
            "give --trainer.precision bf16-mixed",
        )


def check_accumulation(batches: int) -> None:
    """Refuse steps of no batch.

    Raises:
        InputError: With what works.
    """
    if batches < 1:
        raise InputError(
            f"accumulate_batches {batches}",
            "1 batch or more for each step",
            "give 1, which accumulates nothing, or more",
        )


def check_crop(crop: int, generator: Generator) -> None:
    """Refuse a crop that the generator or the metrics cannot take.

    Raises:
        InputError: With the nearest crops that fit.
    """
    multiple = generator.multiple_of
    smallest = next_multiple(max(generator.minimum_size, SMALLEST), multiple)
    if crop % multiple or crop < smallest:
        below, above = crop // multiple * multiple, next_multiple(crop, multiple)
        nearest = [f"{size}" for size in (below, above) if size >= smallest] or [f"{smallest}"]
        raise InputError(
            f"data.crop {crop}",
            f"a multiple of {multiple}, at least {smallest}, for this generator",
            f"crop to {' or '.join(nearest)}",
        )


def check_rim(crop: int, texel: float) -> None:
    """Refuse a crop that is all rim, where scattered light comes from beyond the edge.

    Args:
        crop: Its side [px].
        texel: Millimetres per texel.

    Raises:
        InputError: With the least crop.
    """
    least = 2 * SCATTERING_MARGIN / texel
    if crop <= least:
        raise InputError(
            f"data.crop {crop}, {crop * texel:.2g} mm",
            f"more than {least:.0f}: light scatters in from {SCATTERING_MARGIN} mm beyond "
            "every edge, and such texels are not judged",
            "give larger crops, or --model.init_args.lighting studio, which scatters nothing",
        )


def check_scale(texel: float | None, frame_millimetres: float) -> float:
    """The sigma of tangent space's frame in texels.

    Args:
        texel: Millimetres per texel, if known.
        frame_millimetres: The sigma.

    Raises:
        InputError: If the scale is not known.
    """
    if not texel:
        raise InputError(
            "space tangent, and data that does not know its millimetres per texel",
            f"a scale: the frame is of normals low-passed by {frame_millimetres} mm",
            "pack with the scale known (millimetres_per_unit), or train with space object",
        )
    return frame_millimetres / texel
