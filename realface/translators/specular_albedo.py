"""Diffuse albedo to specular albedo."""

from realface.translators.base import Translator


class SpecularAlbedo(Translator):
    """AvatarMe's psi: RGB to one channel.

    It reads the diffuse albedo and not the texture, whose baked highlights would mislead it.
    """

    name = "specular_albedo"
    outputs = (name,)
