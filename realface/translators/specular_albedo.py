"""Diffuse albedo to specular albedo."""

from realface.translators.base import Translator


class SpecularAlbedo(Translator):
    """AvatarMe's psi: RGB to one channel.

    It reads the diffuse albedo and not the texture, whose baked highlights would mislead it.
    """

    output = "specular_albedo"
    residual_base = None  # pale lips and dark skin: neither tone nor contrast carries over
    typical = -0.6  # 0.2: captured faces have a mean of about 0.22
