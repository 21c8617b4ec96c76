"""What is refused before the first step of a training."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

from realface.errors import InputError
from realface.metrics.image import SMALLEST
from realface.networks.generator import Generator
from realface.shading.capture import SCATTERING_MARGIN
from realface.tiling.windows import next_multiple

_Rule = tuple[Callable[[float], bool], str]

_NOT_NEGATIVE: _Rule = (lambda value: 0 <= value < math.inf, "a finite number, 0 or more")
_MOMENTUM: _Rule = (lambda value: 0 <= value < 1, "a number from 0 to below 1")
_SHARE: _Rule = (lambda value: 0 <= value <= 1, "a number from 0 to 1")
_COUNT: _Rule = (lambda value: value >= 1, "1 or more")

_NUMBERS: dict[str, _Rule] = {
    "base_channels": _COUNT,
    "downsamples": _COUNT,
    "blocks": _NOT_NEGATIVE,
    "local_blocks": _NOT_NEGATIVE,
    "discriminator_channels": _COUNT,
    "discriminator_layers": _COUNT,
    "discriminator_scales": _COUNT,
    "learning_rate": _NOT_NEGATIVE,
    "beta1": _MOMENTUM,
    "beta2": _MOMENTUM,
    "constant_share": _SHARE,
    "adversarial_weight": _NOT_NEGATIVE,
    "feature_matching_weight": _NOT_NEGATIVE,
    "reconstruction_weight": _NOT_NEGATIVE,
    "gradient_weight": _NOT_NEGATIVE,
    "rendering_weight": _NOT_NEGATIVE,
    "rendering_lights": _COUNT,
    "r1_weight": _NOT_NEGATIVE,
    "r1_interval": _COUNT,
    "frame_millimetres": (lambda value: 0 < value < math.inf, "a finite number above 0"),
    "flaw_probability": _SHARE,
    "clip_gradient_norm": (_NOT_NEGATIVE[0], "0, which does not clip, or a finite number above"),
    "accumulate_batches": (_COUNT[0], "1, which accumulates nothing, or more"),
    "gain_weight": _NOT_NEGATIVE,
    "albedo_weight": _NOT_NEGATIVE,
    "cleaned_share": _SHARE,
    "shadow_samples": _COUNT,
    "relight_every": _COUNT,
    "collapse_patience": (_NOT_NEGATIVE[0], "0, which never ends a run, or more"),
}


def check_numbers(arguments: Mapping[str, Any]) -> None:
    """Refuse a translator's number that is out of its range.

    Args:
        arguments: By name; None and those without a range are passed over.

    Raises:
        InputError: With the name and the range.
    """
    for name, value in arguments.items():
        if name not in _NUMBERS or value is None:
            continue
        fits, words = _NUMBERS[name]
        if not fits(value):
            raise InputError(
                f"{name} {value}", words, f"correct --model.init_args.{name} or the config's line"
            )


def check_generator(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what a generator has not got.

    Args:
        name: Of the generator.
        arguments: By name; None is passed over.

    Raises:
        InputError: With the arguments.
    """
    foreign = [one for one in ("upsampling", "local_blocks") if arguments[one] is not None]
    if name == "unet" and foreign:
        raise InputError(
            f"{', '.join(f'{one} {arguments[one]}' for one in foreign)} with generator unet",
            "its own arguments: base_channels, downsamples, blocks and norm",
            "begin from a config with generator: unet, or give "
            + " ".join(f"--model.init_args.{one} null" for one in foreign)
            + " and numbers that suit it (16, 4 and 2)",
        )


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


def check_data(on_whole_faces: bool, data: Any) -> None:
    """Refuse whole faces for what trains on patches, and patches for what trains on whole faces.

    Raises:
        InputError: With the data that fits.
    """
    given = getattr(data, "whole_faces", on_whole_faces)
    if given == on_whole_faces:
        return
    if on_whole_faces:
        remedy = "--config configs/whole_face.yaml names WholeFaceDataModule"
        raise InputError(f"{type(data).__name__}, data of patches", "whole faces", remedy)
    raise InputError(
        f"{type(data).__name__}, data of whole faces",
        "patches",
        "take ReflectanceDataModule with --data.shards, or --config configs/procedural.yaml",
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
