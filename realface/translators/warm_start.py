"""Training that starts from weights that are there already."""

import logging
from pathlib import Path
from typing import Any

import torch

from realface.errors import InputError
from realface.translators.base import Translator
from realface.weights import Descriptor, TrainedTranslator, load_checkpoint, load_weights

log = logging.getLogger(__name__)

_DISCRIMINATOR = "discriminator."


def start_from(translator: Translator, path: Path) -> None:
    """Give a fresh translator the weights of a trained one.

    Of a checkpoint also the discriminator's, where it is of the same form: a generator that meets a
    fresh discriminator is led astray at first. Optimisers and schedules begin anew.

    Args:
        translator: Changed in place.
        path: A checkpoint, or a weights folder that holds this translator.

    Raises:
        InputError: If there are none, or they are of another network.
    """
    trained = _load(translator.name, path)
    differing = differences(trained.descriptor, translator)
    if differing:
        raise InputError(
            f"{path}, weights with {', '.join(differing)}",
            "weights of the network that the config describes",
            "change the config to theirs, or start anew",
        )
    translator.generator.load_state_dict(trained.state())
    if translator.discriminator is None:
        log.info("starting from %s", path)
    elif _load_discriminator(translator, path):
        log.info("starting from %s, generator and discriminator", path)
    else:
        log.info("starting from %s; it has no such discriminator, which begins anew", path)


def differences(found: Descriptor, translator: Translator) -> list[str]:
    """How a trained generator differs from a translator's own, in words; empty: not at all."""
    theirs = _facts(found.translator, found.inputs, found.space, found.generator, found.arguments)
    ours = _facts(
        translator.name,
        translator.inputs,
        translator.interface.space,
        translator.generator_name,
        translator.generator.arguments,
    )
    return [
        f"{name} {theirs.get(name)} and not {ours.get(name)}"
        for name in dict.fromkeys((*theirs, *ours))
        if theirs.get(name) != ours.get(name)
    ]


def _facts(
    name: str, inputs: tuple[str, ...], space: str, generator: str, arguments: Any
) -> dict[str, Any]:
    facts = {"translator": name, "inputs": list(inputs), "space": space, "generator": generator}
    return {**facts, **arguments}


def _load(name: str, path: Path) -> TrainedTranslator:
    if not path.exists():
        raise InputError(
            f"{path}, which does not exist", "a checkpoint, or a weights folder", "check the path"
        )
    if path.is_file():
        return load_checkpoint(path)
    found = load_weights(path)
    if name not in found:
        raise InputError(
            f"{path} with weights of {', '.join(found)}",
            f"weights of {name}",
            "name another folder, or the config of one of these",
        )
    return found[name]


def _load_discriminator(translator: Translator, path: Path) -> bool:
    """Whether there was one of the same form."""
    assert translator.discriminator is not None
    if path.is_dir():
        return False
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    tensors = {
        name.removeprefix(_DISCRIMINATOR): tensor
        for name, tensor in stored.items()
        if name.startswith(_DISCRIMINATOR)
    }
    own = translator.discriminator.state_dict()
    shapes, wanted = ({n: t.shape for n, t in one.items()} for one in (tensors, own))
    if shapes != wanted:
        return False
    translator.discriminator.load_state_dict(tensors)
    return True
