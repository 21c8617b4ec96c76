"""Tiny translators with fresh weights, as checkpoints leave them."""

from pathlib import Path

import torch

from realface.maps.kinds import REFLECTANCE
from realface.networks.channels import WHOLE_LIGHT
from realface.networks.generator import GlobalGenerator
from realface.networks.interface import RESIDUAL_BASE, Interface
from realface.networks.whole_face import INPUTS as WHOLE_FACE_INPUTS
from realface.networks.whole_face import WholeFaceNetwork
from realface.weights import JOINT, WHOLE_FACE, Descriptor, TrainedTranslator, export_weights

INPUTS = {
    "diffuse_albedo": ("texture", "depth"),
    "specular_albedo": ("diffuse_albedo",),
    "diffuse_normals": ("grey_albedo", "shape_normals"),
    "specular_normals": ("grey_albedo", "shape_normals"),
}


def translator(kind: str, *, seed: int = 0, norm: str = "none", **about) -> TrainedTranslator:
    """A small generator, multiples of 4 px; without a norm windows agree exactly.

    Args:
        kind: The map that it makes, or ``joint``.
        seed: Of its weights.
        norm: Of its layers.
        **about: Of the descriptor; ``inputs``, ``space`` and ``frame_millimetres`` too.
    """
    torch.manual_seed(seed)
    outputs = REFLECTANCE if kind == JOINT else (kind,)
    inputs = about.pop("inputs", INPUTS.get(kind, ("texture", "shape_normals")))
    about_maps = Interface(inputs, outputs)
    residual = about_maps.residual_channels() if kind in (*RESIDUAL_BASE, JOINT) else None
    generator = GlobalGenerator(
        about_maps.in_channels,
        about_maps.out_channels,
        base_channels=2,
        downsamples=2,
        blocks=1,
        norm=norm,
        residual_channels=residual,
    )
    for parameter in generator.parameters():  # fresh heads are nearly zero: make them matter
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3 / parameter[0].numel() ** 0.5)
    descriptor = Descriptor(
        translator=kind,
        inputs=inputs,
        outputs=outputs,
        generator="global",
        arguments=generator.arguments,
        multiple_of=generator.multiple_of,
        receptive_margin=generator.receptive_margin,
        spatial_statistics=generator.spatial_statistics,
        **about,
    )
    return TrainedTranslator(descriptor, generator, Path(f"{kind}.ckpt"))


def whole_face(*, seed: int = 0, **about) -> TrainedTranslator:
    """A small whole-face stage, multiples of 4 px."""
    torch.manual_seed(seed)
    network = WholeFaceNetwork(37, base_channels=2, downsamples=2, blocks=1)
    torch.nn.init.normal_(network.everywhere.weight, std=0.1)
    descriptor = Descriptor(
        translator=WHOLE_FACE,
        inputs=WHOLE_FACE_INPUTS,
        outputs=(WHOLE_LIGHT,),
        generator=WHOLE_FACE,
        arguments=network.arguments,
        multiple_of=network.multiple_of,
        receptive_margin=network.receptive_margin,
        spatial_statistics=network.spatial_statistics,
        **about,
    )
    return TrainedTranslator(descriptor, network, Path(f"{WHOLE_FACE}.ckpt"))


def save_checkpoint(one: TrainedTranslator, path: Path) -> Path:
    """What of a training checkpoint is read again."""
    from dataclasses import asdict

    state = {f"generator.{name}": tensor for name, tensor in one.state().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"descriptor": asdict(one.descriptor), "state_dict": state}, path)
    return path


def write_weights(folder: Path, kinds=tuple(INPUTS), *, seed: int = 0, **about) -> Path:
    """A weights folder of tiny translators."""
    for kind in kinds:
        export_weights(translator(kind, seed=seed, **about), folder)
    return folder
