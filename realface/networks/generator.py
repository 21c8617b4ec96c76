"""All generators, by name."""

from collections.abc import Callable

from realface.networks.base import Generator
from realface.networks.pix2pixhd import GlobalGenerator, LocalGenerator
from realface.networks.unet import UNet

__all__ = ["GENERATORS", "Generator", "GlobalGenerator", "LocalGenerator", "UNet"]

GENERATORS: dict[str, Callable[..., Generator]] = {
    "global": GlobalGenerator,
    "local": LocalGenerator,
    "unet": UNet,
}
"""Generators by the name that configs and descriptors use: ``GENERATORS[name](**arguments)``."""
