"""Trained generators with their descriptors: from a checkpoint, or from a weights folder.

A checkpoint is a training artefact of Lightning; a weights folder is what is shared:
``<translator>.safetensors`` and ``<translator>.json`` (the descriptor), beside which
`realface.export.share` writes the model card and graphs. Neither can run code when it is loaded.
"""

import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from realface.errors import InputError
from realface.maps.files import disk_failure, partial_path
from realface.maps.kinds import REFLECTANCE
from realface.networks.channels import WHOLE_LIGHT
from realface.networks.generator import GENERATORS, Generator
from realface.networks.interface import Interface, NormalSpace
from realface.networks.whole_face import WholeFaceNetwork

VERSION = 2
JOINT = "joint"
"""Name of the translator that makes several maps at once."""

WHOLE_FACE = "whole_face"
"""Name of the translator that finds the light on a whole face, and of its generator."""

PREFIX = "generator."
"""Of the generator's tensors in a checkpoint."""

NETWORKS = {**GENERATORS, WHOLE_FACE: WholeFaceNetwork}
"""Networks by the name that descriptors use."""

_DAMAGE = (InputError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)
"""What a damaged or foreign weights folder raises."""


@dataclass(frozen=True)
class Descriptor:
    """What a generator is, reads and writes.

    Attributes:
        translator: Its name: the map that it makes, ``joint``, or ``whole_face``.
        inputs: Words of `realface.networks.channels.INPUTS`, in the order of its channels.
        outputs: Kinds of map that it makes, in the order of its channels; of ``whole_face``:
            `realface.networks.channels.WHOLE_LIGHT`.
        generator: Its name in `realface.networks.generator.GENERATORS`, or ``whole_face``.
        arguments: Of its constructor.
        multiple_of: Height and width of its input must be multiples of this [px].
        receptive_margin: How far an input texel reaches [px], statistics of norms aside.
        spatial_statistics: Whether its output depends on statistics of the whole window.
        space: Of the normals in its channels; the maps are in object space either way.
        frame_millimetres: In tangent space, sigma of the low-pass of ``shape_normals`` that
            makes the frame [mm].
        millimetres_per_texel: Of the maps that it was trained on; None: not known.
        metrics: On validation data, when it was saved.
        data: What it was trained on: ``samples``, ``subjects``, and ``terms``, each with
            ``source``, ``licence`` and ``expires``; what is not known is left out.
        epochs: Trained.
        licence: On what terms it may be used; None: the trainer has not said.
        version: Of this format.
    """

    translator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    generator: str
    arguments: Mapping[str, Any]
    multiple_of: int
    receptive_margin: int
    spatial_statistics: bool
    space: NormalSpace = "object"
    frame_millimetres: float = 0.0
    millimetres_per_texel: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    licence: str | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"version={self.version}, and this realface reads {VERSION}")
        named = (*REFLECTANCE, JOINT, WHOLE_FACE)
        if self.translator not in named:
            raise ValueError(f"translator={self.translator!r} is not among {named}")
        own = (WHOLE_LIGHT,) if self.translator == WHOLE_FACE else (self.translator,)
        if self.translator != JOINT and self.outputs != own:
            raise ValueError(f"outputs={self.outputs} are not those of {self.translator}")
        if self.generator not in NETWORKS:
            raise ValueError(f"generator={self.generator!r} is not among {tuple(NETWORKS)}")
        _check_record(self)
        read, made = self.arguments["in_channels"], self.arguments["out_channels"]
        if self.interface.in_channels != read:
            raise ValueError(f"inputs={self.inputs} do not fill in_channels={read}")
        if self.interface.out_channels != made:
            raise ValueError(f"out_channels={made} are not those of {', '.join(self.outputs)}")

    @property
    def interface(self) -> Interface:
        """Its maps and channels."""
        sigma = 0.0
        if self.space == "tangent":
            if not self.millimetres_per_texel:
                raise ValueError("tangent space, and millimetres_per_texel is not known")
            sigma = self.frame_millimetres / self.millimetres_per_texel
        return Interface(self.inputs, self.outputs, self.space, sigma)

    def to_json(self) -> str:
        """What stands beside the weights, and within the graphs made from them."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> "Descriptor":
        """The inverse of `to_json`.

        Raises:
            ValueError, KeyError, TypeError, InputError: If it is no descriptor.
        """
        return _descriptor_from(json.loads(text))


class TrainedTranslator:
    """A generator ready to run: maps in, reflectance maps out.

    Attributes:
        descriptor: What it is.
        source: The file it came from.
        generator: The network.
    """

    def __init__(self, descriptor: Descriptor, generator: Generator, source: Path) -> None:
        self.descriptor, self.source = descriptor, source
        self.generator = generator.eval().requires_grad_(False)
        self._interface = descriptor.interface

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of map that it reads."""
        return self._interface.kinds

    @property
    def minimum_size(self) -> int:
        """Least height and width of its input [px]."""
        return self.generator.minimum_size

    def to(self, device: torch.device | str) -> "TrainedTranslator":
        """Move the generator to a device."""
        self.generator.to(device)
        return self

    def state(self) -> dict[str, Tensor]:
        """The generator's tensors."""
        return self.generator.state_dict()

    def __call__(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Predict.

        Args:
            maps: By kind, ``(B, C, H, W)``; ``shape`` in millimetres relative to the subject's
                median position. Where ``mask`` is there, inputs are blank outside it, as they
                are in training.

        Returns:
            The maps that it makes, by kind: albedo as encoded, unclamped; normals unit, in object
            space.
        """
        frame = self._interface.frame(maps)
        raw = self.generator(self._interface.read(maps, frame))
        return self._interface.absolute(self._interface.split(raw), frame)


def load_checkpoint(path: Path) -> TrainedTranslator:
    """The generator in a training checkpoint.

    Raises:
        InputError: If it is no checkpoint of a realface translator.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        descriptor = _descriptor_from(checkpoint["descriptor"])
        tensors = {
            name.removeprefix(PREFIX): tensor
            for name, tensor in checkpoint["state_dict"].items()
            if name.startswith(PREFIX)
        }
        return TrainedTranslator(descriptor, _generator(descriptor, tensors), path)
    except Exception as error:  # a foreign pickle raises whatever it likes
        raise InputError(
            f"{path}: {_first_line(error)}",
            "a checkpoint that `train.py fit` wrote",
            "check the path; a foreign checkpoint cannot be read",
        ) from error


def load_weights(folder: Path) -> dict[str, TrainedTranslator]:
    """All translators of a weights folder, by name.

    Raises:
        InputError: If there are none, or a file is not what it should be.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    if not found:
        raise InputError(
            f"{folder} without any .safetensors file",
            "a weights folder",
            "make one with `realface weights export CKPT DIR`",
        )
    return {name: _load_pair(path) for name, path in found.items()}


def shipped_weights() -> Path | None:
    """The weights folder that the package brings along; None: it holds no weights."""
    folder = Path(str(package_files("realface") / "pretrained"))
    return folder if any(folder.glob("*.safetensors")) else None


def _load_pair(path: Path) -> TrainedTranslator:
    try:
        descriptor = Descriptor.from_json(path.with_suffix(".json").read_text(encoding="utf-8"))
        if descriptor.translator != path.stem:
            raise ValueError(f"its descriptor is of {descriptor.translator}")
        generator = _generator(descriptor, load_file(path))
    except _DAMAGE as error:
        raise InputError(
            f"{path}: {_first_line(error)}",
            "a .safetensors file with its .json descriptor",
            "export the weights again with `realface weights export`",
        ) from error
    return TrainedTranslator(descriptor, generator, path)


def export_weights(translator: TrainedTranslator, folder: Path) -> Path:
    """Write a translator's tensors and descriptor; returns the ``.safetensors`` file.

    Raises:
        FailureError: If the disk refuses; no file is left half-written.
    """
    descriptor = translator.descriptor
    path = folder / f"{descriptor.translator}.safetensors"
    about = path.with_suffix(".json")
    files = (about, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial_path(about).write_text(descriptor.to_json(), encoding="utf-8")
        tensors = {name: tensor.contiguous() for name, tensor in translator.state().items()}
        metadata = {"format": "pt", "realface": descriptor.translator}
        # Not save_file, which makes a file that only its owner may read.
        partial_path(path).write_bytes(save(tensors, metadata=metadata))
        # Both are whole: a new descriptor never stands beside old tensors.
        for file in files:
            os.replace(partial_path(file), file)
    except (OSError, SafetensorError) as error:
        raise disk_failure(path, OSError(str(error))) from error
    finally:
        for file in files:
            partial_path(file).unlink(missing_ok=True)
    return path


def _generator(descriptor: Descriptor, tensors: Mapping[str, Tensor]) -> Generator:
    counts = (
        descriptor.arguments.get(name, 0) for name in ("blocks", "local_blocks", "downsamples")
    )
    if sum(counts) > len(tensors):  # a hostile number would take hours and all memory
        raise ValueError(f"its generator has more blocks than there are tensors, {len(tensors)}")
    with torch.device("meta"):  # memory is taken for the tensors that there are
        generator = NETWORKS[descriptor.generator](**descriptor.arguments)
    if generator.multiple_of != descriptor.multiple_of:
        raise ValueError(
            f"multiple_of={descriptor.multiple_of}, and its generator's is {generator.multiple_of}"
        )
    reach = generator.receptive_margin + descriptor.interface.frame_reach
    if descriptor.receptive_margin < reach:  # windows would be cut where their borders still show
        raise ValueError(
            f"receptive_margin={descriptor.receptive_margin}, and its generator's is {reach}"
        )
    if generator.spatial_statistics and not descriptor.spatial_statistics:
        raise ValueError("spatial_statistics=False, and its generator has norms that take them")
    own = generator.state_dict()  # in float32, and what counts in whole numbers
    wide = {
        name: tensor.to(own[name].dtype if name in own else torch.float32).contiguous()
        for name, tensor in tensors.items()
    }
    generator.load_state_dict(wide, strict=True, assign=True)
    return generator


def _check_record(descriptor: Descriptor) -> None:
    """Refuses, by name, what the model card could not tell."""
    terms = descriptor.data.get("terms", ()) if isinstance(descriptor.data, Mapping) else None
    numbers = descriptor.metrics.values() if isinstance(descriptor.metrics, Mapping) else (None,)
    right = {
        "metrics": all(isinstance(number, int | float) for number in numbers),
        "data": isinstance(terms, list | tuple) and all(isinstance(one, Mapping) for one in terms),
        "licence": isinstance(descriptor.licence, str | None),
        "epochs": isinstance(descriptor.epochs, int),
        "millimetres_per_texel": isinstance(descriptor.millimetres_per_texel, int | float | None),
    }
    wrong = [f"{name}={getattr(descriptor, name)!r}" for name, holds in right.items() if not holds]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: not of the descriptor's types")


def _descriptor_from(data: Mapping[str, Any]) -> Descriptor:
    unknown = sorted(set(data) - {item.name for item in fields(Descriptor)})
    if unknown:
        raise ValueError(f"unknown keys {', '.join(unknown)} in the descriptor")
    lists = {name: tuple(data[name]) for name in ("inputs", "outputs")}
    return Descriptor(**{**data, **lists})


def _first_line(error: Exception) -> str:
    if isinstance(error, InputError):
        return error.given
    if isinstance(error, pickle.UnpicklingError):  # its own text advises to run what is in there
        return "not plain data: it could run code, or is no checkpoint at all"
    text = f"no entry {error}" if isinstance(error, KeyError) else str(error)
    return (text.splitlines() or [type(error).__name__])[0]
